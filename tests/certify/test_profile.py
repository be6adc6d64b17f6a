"""What is known of a server only ever gets worse, whoever finds it out and in whatever order."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.certify.profile import Findings, ServerProfile

numbers = st.integers(1, 100)
findings = st.fixed_dictionaries(
    {},
    optional={
        "full_page": numbers,
        "fullest": numbers,
        "largest": numbers,
        "segment_pages": numbers,
        "pad_start": st.integers(0, 1),
        "pad_end": st.integers(0, 1),
        "start_in": st.booleans(),
        "end_in": st.booleans(),
        "stable_ties": st.booleans(),
        "ascending": st.booleans(),
        "totals": st.sampled_from(["exact", "capped", "ignored"]),
        "cap": numbers,
        "longest": numbers,
    },
)


def learned(*found: Any) -> ServerProfile:
    profile = ServerProfile(asked_page_size=500, segment_pages=20)
    for finding in found:
        profile.learn(**finding)
    return profile


def test_every_field_that_can_change_is_a_finding() -> None:
    assert {field.name for field in fields(ServerProfile)} - {"asked_page_size"} == set(Findings.__annotations__)


@given(st.lists(findings, max_size=5), st.randoms())
def test_findings_add_up_to_the_same_in_any_order_and_however_often(found: list[Any], random: Any) -> None:
    shuffled = [*found, *found]
    random.shuffle(shuffled)
    assert learned(*found) == learned(*shuffled)


@given(st.lists(findings, max_size=3), findings)
def test_no_finding_makes_anything_allowed_that_was_not(found: list[Any], another: Any) -> None:
    before, after = learned(*found), learned(*found, another)
    for way in ("pages", "seek", "halves"):
        assert before.allows(way) or not after.allows(way)
    assert after.only_seeks() or not before.only_seeks()
    assert after.segment_pages <= before.segment_pages
    assert after.padded or not before.padded


def test_nothing_is_changed_but_by_learning() -> None:
    profile = learned()
    with pytest.raises(FrozenInstanceError):
        profile.ascending = True  # type: ignore[misc]
