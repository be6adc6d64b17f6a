"""The descent by counts finds what differs, and asks no more than it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from exporter.certify.bisect import SpanRows, differing
from exporter.certify.spans import Span


def descend(
    segments: Sequence[SpanRows], total: Callable[[Span], int | None], *, cap: int | None = None
) -> tuple[list[Span], list[Span]]:
    """Return what the descent finds and the spans that it asked."""
    asked: list[Span] = []
    descent = differing(segments, cap=cap)
    response: int | None = None
    while True:
        try:
            asked.append(descent.send(response) if asked else next(descent))
        except StopIteration as end:
            return end.value, asked
        response = total(asked[-1])


counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40)
"""For each segment the rows held and the rows that the server has."""


def laid_out(held: Sequence[int], *, gap_after: frozenset[int] = frozenset()) -> list[SpanRows]:
    segments, at = [], 0
    for index, rows in enumerate(held):
        segments.append((Span(at, at + 10), rows))
        at += 20 if index in gap_after else 10
    return segments


def summing(segments: Sequence[SpanRows], there: Sequence[int]) -> Callable[[Span], int]:
    return lambda asked: sum(
        rows
        for (span, _), rows in zip(segments, there, strict=True)
        if asked.start <= span.start and span.stop <= asked.stop
    )


@given(counts=counts, gaps=st.frozensets(st.integers(0, 39)))
def test_finds_only_segments_that_differ_within_two_requests_each(
    counts: list[tuple[int, int]], gaps: frozenset[int]
) -> None:
    segments = laid_out([held for held, _ in counts], gap_after=gaps)
    found, asked = descend(segments, summing(segments, [there for _, there in counts]))
    assert len(asked) < 2 * len(segments)
    assert len(asked) == len(set(asked))
    differ = [span for (span, held), (_, there) in zip(segments, counts, strict=True) if held != there]
    assert set(found) <= set(differ)
    assert found == sorted(found)


@given(held=st.lists(st.integers(0, 50), min_size=1, max_size=40), more=st.data())
def test_finds_every_segment_that_grew(held: list[int], more: st.DataObject) -> None:
    there = [rows + more.draw(st.integers(0, 2)) for rows in held]
    segments = laid_out(held)
    found, _ = descend(segments, summing(segments, there))
    assert found == [span for (span, rows), now in zip(segments, there, strict=True) if rows != now]


@given(held=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_asks_once_when_all_is_well(held: list[int]) -> None:
    segments = laid_out(held)
    assert descend(segments, summing(segments, held)) == ([], [Span(0, 10 * len(held))])


def test_asks_nothing_when_nothing_is_held() -> None:
    assert descend([], lambda _: 0) == ([], [])


@given(held=st.lists(st.integers(0, 50), min_size=1, max_size=40), cap=st.integers(1, 500), more=st.data())
def test_a_cap_hides_no_segment_below_it(held: list[int], cap: int, more: st.DataObject) -> None:
    there = [rows + more.draw(st.integers(0, 2)) for rows in held]
    segments = laid_out(held)
    total = summing(segments, there)
    found, _ = descend(segments, lambda span: min(cap, total(span)), cap=cap)
    grown = [span for (span, rows), now in zip(segments, there, strict=True) if rows != now and rows < cap]
    assert set(found) >= set(grown)


def test_doubts_both_sides_of_a_boundary_when_only_the_union_differs() -> None:
    segments = laid_out([3, 4, 5, 6])
    found, asked = descend(segments, lambda span: summing(segments, [3, 4, 5, 6])(span) + (span == Span(0, 40)))
    assert found == [Span(10, 20), Span(20, 30)]
    assert asked == [Span(0, 40), Span(0, 20), Span(20, 40)]


def test_doubts_the_segment_without_a_total_when_only_the_union_differs() -> None:
    segments = laid_out([3, 4])
    totals = {Span(0, 20): 8, Span(0, 10): 3, Span(10, 20): None}
    assert descend(segments, totals.__getitem__)[0] == [Span(10, 20)]


def test_totals_that_are_never_known_show_no_difference() -> None:
    segments = laid_out([3, 4, 5])
    found, asked = descend(segments, lambda _: None)
    assert found == []
    assert len(asked) == 5
