from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.rate_rules import FixedSecond, MinimumGap, Rule, RuleName, SlidingSecond, rule

NAMES: tuple[RuleName, ...] = ("gap", "fixed", "sliding")
arrivals = st.lists(st.integers(0, 20_000).map(lambda thousandths: thousandths / 1000), max_size=80).map(sorted)
rates = st.sampled_from([0.9, 1.0, 1.5, 3.0, 20.0])


def served(limit: Rule, times: list[float]) -> list[float]:
    return [now for now in times if limit.allows(now)]


@given(arrivals, rates)
def test_a_minimum_gap_keeps_served_requests_apart(times: list[float], rate: float) -> None:
    kept = served(MinimumGap(rate), times)
    assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in pairwise(kept))


@given(arrivals, st.sampled_from([1, 3, 20]))
def test_a_fixed_second_serves_no_more_than_the_rate(times: list[float], rate: int) -> None:
    kept = served(FixedSecond(rate), times)
    assert all(sum(second <= now < second + 1 for now in kept) <= rate for second in range(21))


@given(arrivals, st.sampled_from([1, 3, 20]))
def test_a_sliding_second_serves_no_more_than_the_rate_in_any_second(times: list[float], rate: int) -> None:
    kept = served(SlidingSecond(rate), times)
    assert all(bisect_left(kept, now + 1 - 1e-6) - index <= rate for index, now in enumerate(kept))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strict", [False, True])
@given(rates)
def test_requests_exactly_at_the_rate_are_all_served(name: RuleName, strict: bool, rate: float) -> None:
    times = [number / rate for number in range(100)]
    assert served(rule(name, rate, strict=strict), times) == times


def test_refused_requests_count_for_a_strict_gap_and_a_strict_sliding_second() -> None:
    storm = [0.0, 0.5, 1.0, 1.5, 2.6]
    assert served(MinimumGap(1), storm) == [0.0, 1.0, 2.6]
    assert served(MinimumGap(1, strict=True), storm) == [0.0, 2.6]
    assert served(SlidingSecond(1), storm) == [0.0, 1.0, 2.6]
    assert served(SlidingSecond(1, strict=True), storm) == [0.0, 2.6]


def test_a_fixed_second_forgets_at_its_end_what_a_gap_and_a_sliding_second_remember() -> None:
    times = [0.9, 1.0]
    assert served(FixedSecond(1), times) == times
    assert served(SlidingSecond(1), times) == served(MinimumGap(1), times) == [0.9]


def test_a_rate_of_nothing_is_no_limit() -> None:
    assert all(rule("gap", 0).allows(0.0) for _ in range(100))
