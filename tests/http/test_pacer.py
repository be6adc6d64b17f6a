"""When a request may leave, how the guard is learned, and when a failed request is given up."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.http.pacer import FIRST_MARGIN, LONGEST_PAUSE, Pacer
from exporter.http.retries import FIRST_BACKOFF, LONGEST_BACKOFF, Circuit, backoff
from exporter.simulator.rate_rules import Rule, RuleName, rule


def drive(
    pacer: Pacer, server: Rule, *, requests: int, jitter: float = 0.0, latency: float = 0.05, seed: int = 1
) -> tuple[float, int]:
    """Send until so many requests are served; return the seconds it took and how many were refused."""
    random = Random(seed)
    start = now = max(1_000.0, pacer.slot())
    served = refused = 0
    while served < requests:
        now = max(now, pacer.slot())
        pacer.left(now)
        if server.allows(now + jitter * random.random()):
            served += 1
            pacer.accepted()
        else:
            refused += 1
            pacer.refused(now + latency, left_at=now)
    return now - start, refused


@pytest.mark.parametrize(("rate", "margin"), [(1.0, 0.015), (0.1, FIRST_MARGIN), (20.0, 0.00075), (1000.0, 0.000015)])
def test_a_slot_is_a_gap_and_a_margin_after_the_last_departure(rate: float, margin: float) -> None:
    pacer = Pacer(rate)
    assert pacer.slot() < 0
    pacer.left(100.0)
    assert pacer.slot() == pytest.approx(100 + 1 / rate + margin)
    pacer.left(100.4)
    assert pacer.slot() == pytest.approx(100.4 + 1 / rate + margin)


def test_above_a_thousand_a_second_no_slot_sleeps_unless_the_server_asks_for_a_pause() -> None:
    pacer = Pacer(1001.0)
    pacer.left(100.0)
    assert pacer.slot() == -math.inf
    assert pacer.refused(100.0, left_at=100.0, retry_after=2.0) == 2.0
    assert pacer.slot() == 102.0


def test_retry_after_moves_every_slot_after_it() -> None:
    pacer = Pacer(1.0)
    pacer.left(100.0)
    assert pacer.refused(100.2, left_at=100.0, retry_after=7.0) == 7.0
    assert pacer.slot() == pytest.approx(107.2)
    pacer.pause(105.0)
    assert pacer.slot() == pytest.approx(107.2)


def test_requests_refused_together_teach_one_lesson() -> None:
    pacer = Pacer(1.0)
    margin = pacer.margin
    for left in (100.0, 101.0, 102.0):
        pacer.left(left)
    for left, now in ((100.0, 102.1), (101.0, 102.2), (102.0, 102.3)):
        pacer.refused(now, left_at=left)
    assert pacer.margin == pytest.approx(1.5 * margin)
    assert pacer.statistics().refusals == 3
    assert not pacer.persistent


def test_refusals_in_a_row_double_the_pause_up_to_a_bound_and_are_told() -> None:
    pacer = Pacer(1.0)
    now, pauses = 100.0, []
    for _ in range(12):
        pacer.left(now)
        pauses.append(pacer.refused(now, left_at=now))
        now += pauses[-1]
    assert pauses[2:6] == pytest.approx([2.0, 4.0, 8.0, 16.0])
    assert max(pauses) == pytest.approx(LONGEST_PAUSE)
    assert pacer.persistent
    pacer.accepted()
    assert pacer.margin <= pacer.gap


@given(
    st.floats(0.05, 5000),
    st.lists(st.one_of(st.just(None), st.just(-1.0), st.floats(0, 100)), max_size=200),
)
def test_the_margin_stays_in_its_bounds_and_no_slot_lies_before_the_gap(rate: float, story: list[float | None]) -> None:
    pacer = Pacer(rate)
    now = 1_000.0
    for event in story:
        now = max(now, pacer.slot())
        pacer.left(now)
        if event is None:
            pacer.accepted()
        else:
            pause = pacer.refused(now, left_at=now, retry_after=None if event < 0 else event)
            assert pause >= event - 1e-9
        assert 0 < pacer.margin <= pacer.gap
        assert pacer.unpaced or pacer.slot() >= now + pacer.gap


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["gap", "fixed", "sliding"])
@pytest.mark.parametrize(
    ("jitter", "share", "refused"), [(0.0, 0.985, 0.005), (0.005, 0.985, 0.005), (0.05, 0.94, 0.01)]
)
def test_the_allowed_rate_is_used_and_hardly_anything_refused(
    name: RuleName, strict: bool, jitter: float, share: float, refused: float
) -> None:
    seconds, refusals = drive(Pacer(1.0), rule(name, 1.0, strict=strict), requests=3000, jitter=jitter)
    assert 3000 / seconds >= share
    assert refusals / (3000 + refusals) <= refused


@pytest.mark.parametrize("name", ["gap", "fixed", "sliding"])
@pytest.mark.parametrize("rate", [1.0, 20.0])
def test_a_server_that_allows_less_than_told_is_learned_in_a_tenth_of_the_run(name: RuleName, rate: float) -> None:
    pacer, server = Pacer(rate), rule(name, 0.9 * rate)
    drive(pacer, server, requests=100)
    seconds, refusals = drive(pacer, server, requests=900)
    assert 900 / seconds >= 0.93 * 0.9 * rate
    assert refusals <= 9
    assert not pacer.persistent


def test_a_margin_learned_in_bad_times_shrinks_in_good_ones() -> None:
    pacer = Pacer(1.0)
    drive(pacer, rule("gap", 0.7), requests=100)
    assert pacer.margin > 0.4
    drive(pacer, rule("gap", 1.0), requests=2000)
    assert pacer.margin < 0.02


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_spread_over_an_exponential_bound(failures: int, draw: float) -> None:
    assert 0 <= backoff(failures, draw) < LONGEST_BACKOFF
    assert backoff(1, draw) == draw * FIRST_BACKOFF
    assert backoff(failures + 1, draw) >= backoff(failures, draw)


def test_a_request_that_fails_while_others_come_through_is_given_up() -> None:
    circuit = Circuit(max_attempts=3, patience=900.0)
    attempts = circuit.attempts()
    assert circuit.failed(1.0, attempts) is None
    circuit.came_through()
    assert circuit.failed(2.0, attempts) is None
    assert circuit.failed(3.0, attempts) == "3 attempts failed while other requests came through"


def test_while_nothing_comes_through_patience_counts_and_not_attempts() -> None:
    circuit = Circuit(max_attempts=3, patience=900.0)
    requests = [circuit.attempts(), circuit.attempts()]
    circuit.came_through()
    for second in range(0, 890, 10):
        assert circuit.failed(100.0 + second, requests[second // 10 % 2]) is None
    assert circuit.patience_left(995.0) == 5.0
    assert circuit.failed(1000.0, requests[0]) == "nothing has come through for 900 s"


def test_what_failed_in_an_outage_is_no_request_s_own_failure() -> None:
    circuit = Circuit(max_attempts=3, patience=900.0)
    requests = [circuit.attempts(), circuit.attempts()]
    for second in range(0, 300, 10):
        circuit.failed(100.0 + second, requests[second // 10 % 2])
    circuit.came_through()
    assert circuit.failed(400.0, requests[0]) is None
    circuit.came_through()
    assert circuit.failed(401.0, requests[0]) is not None


def test_an_answer_starts_patience_anew() -> None:
    circuit = Circuit(max_attempts=3, patience=900.0)
    assert circuit.failed(100.0, circuit.attempts()) is None
    circuit.came_through()
    assert circuit.patience_left(1100.0) == 900.0
    assert circuit.failed(1100.0, circuit.attempts()) is None
