"""JSON without recursion: the same as the standard library's, and no depth is too much."""

from __future__ import annotations

import json
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.columns import deep_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def spelled(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@given(VALUES)
def test_writing_is_as_the_standard_library_does(value: object) -> None:
    assert deep_json.dumps(value) == spelled(value)


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_reading_gives_what_the_standard_library_gives(value: object, plain: bool, indent: int | None) -> None:
    read = deep_json.loads(json.dumps(value, ensure_ascii=plain, indent=indent))
    assert read == value
    assert spelled(read) == spelled(value)


def test_lone_surrogates_and_large_integers_are_kept() -> None:
    value = {"\ud800": [2**70, "\udfff", '"\\']}
    assert deep_json.loads(deep_json.dumps(value)) == value


def test_no_depth_is_too_much() -> None:
    depth = 10 * sys.getrecursionlimit()
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = opening * depth + "7" + closing * depth
        value: Any = deep_json.loads(text)
        assert deep_json.dumps(value) == text
