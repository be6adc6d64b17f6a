from __future__ import annotations

import gzip
import json
from collections import Counter
from random import Random

import pytest

from exporter.simulator.faults import KINDS, Faults, Spoiler, spoiled

BODY = b'{"code":200,"data":{"list":[],"page":1,"pagesize":500,"total":0,"total_page":0},"message":"Success"}'


def choices(faults: Faults, count: int = 1000, seed: int = 1) -> list[str | None]:
    spoiler = Spoiler(faults, Random(seed))
    return [spoiler.choose() for _ in range(count)]


def test_every_kind_of_fault_can_be_made() -> None:
    replies = {kind: spoiled(kind, BODY, faults=Faults(stall_seconds=9, slow_seconds=3)) for kind in KINDS}
    assert replies["server_error"].status in {500, 502, 503, 504}
    assert replies["html"].body.startswith(b"<html>")
    assert replies["reset"].status == 0
    assert replies["cut"].sent is not None
    assert replies["cut"].sent < len(BODY)
    with pytest.raises(json.JSONDecodeError):
        json.loads(replies["malformed"].body)
    assert replies["empty"].body == b""
    assert json.loads(replies["null_data"].body)["data"] is None
    assert json.loads(replies["code_500"].body)["code"] == 500
    assert (replies["stall"].delay, replies["stall"].body) == (9, BODY)
    assert (replies["slow"].duration, replies["slow"].body) == (3, BODY)
    assert gzip.decompress(replies["gzip"].body) == BODY
    assert json.loads(replies["refusals"].body)["code"] == 160004


def test_no_fault_happens_unless_asked_for() -> None:
    assert set(choices(Faults())) == {None}


def test_faults_come_as_often_as_their_shares_say_and_the_same_for_the_same_seed() -> None:
    faults = Faults(html=0.2, reset=0.1)
    counts = Counter(choices(faults, 10_000))
    assert counts["html"] == pytest.approx(2000, rel=0.1)
    assert counts["reset"] == pytest.approx(1000, rel=0.1)
    assert choices(faults) == choices(faults) != choices(faults, seed=2)


def test_faults_of_all_kinds_share_what_they_spoil() -> None:
    counts = Counter(choices(Faults.of_all_kinds(0.5, stall_seconds=0), 20_000))
    assert set(counts) == {*KINDS, None}


def test_a_script_names_the_first_faults_and_a_burst_of_refusals_goes_on() -> None:
    chosen = choices(Faults(script=("none", "cut", "refusals"), burst=3), 7)
    assert chosen == [None, "cut", "refusals", "refusals", "refusals", None, None]


@pytest.mark.parametrize("wrong", [{"script": ("fire",)}, {"html": 0.6, "reset": 0.6}])
def test_faults_that_have_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown faults: [a-z, ]+; known|more than 1"):
        Faults(**wrong)  # type: ignore[arg-type]
