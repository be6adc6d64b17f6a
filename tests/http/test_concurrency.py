"""How many requests in flight pay, found out from latencies alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from exporter.http.concurrency import LARGEST, SMALLEST, Concurrency


def drive(concurrency: Concurrency, latency: Callable[[int], float], *, seconds: float) -> list[int]:
    """Keep the limit filled for some seconds, by Little's law; return the limits that were tried."""
    elapsed, limits = 0.0, [concurrency.limit]
    while elapsed < seconds:
        level = concurrency.limit
        took = latency(level)
        concurrency.answered(took, level)
        elapsed += took / level
        limits.append(concurrency.limit)
    return limits


def saturating(base: float, service: float, noise: float = 0.1) -> Callable[[int], float]:
    """Return the latency of a server that takes `base` seconds and serves one request each `service` seconds."""
    random = Random(7)
    return lambda level: max(base, level * service) * (1 + noise * (random.random() - 0.5))


def test_a_near_server_keeps_few_in_flight() -> None:
    limits = drive(Concurrency.of(None, rate=1e6, unpaced=True), saturating(0.001, 0.0005), seconds=30)
    assert sum(limits) / len(limits) <= 16
    assert limits[-1] <= 16


def test_a_distant_server_is_saturated_within_a_second() -> None:
    limits = drive(Concurrency.of(None, rate=1e6, unpaced=True), saturating(0.2, 0.0005), seconds=1)
    assert limits[-1] == LARGEST
    assert limits[0] == SMALLEST


def test_one_slow_answer_at_the_start_does_not_make_a_near_server_a_distant_one() -> None:
    concurrency = Concurrency.of(None, rate=1e6, unpaced=True)
    for latency in (0.5, 0.004, 0.003):
        concurrency.answered(latency, 1)
    assert concurrency.limit == SMALLEST


def test_a_server_that_saturates_in_between_is_met_in_between() -> None:
    limits = drive(Concurrency.of(None, rate=1e6, unpaced=True), saturating(0.05, 0.0015), seconds=60)
    settled = limits[len(limits) // 2 :]
    assert 24 <= sum(settled) / len(settled) <= 80


def test_a_server_that_grows_slow_under_many_is_relieved() -> None:
    concurrency = Concurrency.of(None, rate=1e6, unpaced=True)
    drive(concurrency, saturating(0.2, 0.0005), seconds=3)
    assert concurrency.limit == LARGEST
    limits = drive(concurrency, saturating(0.002, 0.001), seconds=60)
    assert limits[-1] <= 32


@pytest.mark.parametrize(("rate", "limit"), [(1.0, 8), (20.0, 100), (900.0, 128)])
def test_a_pace_finds_room_for_slow_answers_from_the_start(rate: float, limit: int) -> None:
    assert Concurrency.of(None, rate=rate, unpaced=False).limit == limit


def test_a_fixed_limit_stays_and_half_empty_levels_teach_nothing() -> None:
    fixed = Concurrency.of(3, rate=1.0, unpaced=False)
    assert set(drive(fixed, saturating(0.2, 0.0005), seconds=5)) == {3}
    idle = Concurrency.of(None, rate=1e6, unpaced=True)
    for _ in range(1000):
        idle.answered(0.002, 2)
    assert idle.limit == SMALLEST
