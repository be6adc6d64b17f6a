"""Find the segments whose rows and the server's totals differ, by halving. Pure: asking is the caller's business."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from exporter.certify.spans import Span

SpanRows = tuple[Span, int]
"""A segment's span and the rows held of it."""

Bisection = Generator[Span, int | None, list[Span]]


def differing(segments: Sequence[SpanRows], *, cap: int | None = None) -> Bisection:
    """Yield the spans whose total is wanted, be sent each total, return the segments in doubt, in order of time.

    `segments` are disjoint and in order of time. A yielded span is the union of consecutive ones, never across a gap
    between two; its total is None if it can't be known. A total at or above `cap`, where the server's totals stop,
    says only that there are at least that many. One span is asked for when all is well, fewer than two a segment at
    worst.

    In doubt are the segments whose total differs from their rows. Where a union differs though its halves agree, they
    are those whose total is unknown, or, if there are none, the two that meet in its middle. Segments that merely
    can't be known are not returned: their total shows no difference.
    """
    doubtful: set[Span] = set()
    for run in _adjoining(segments):
        found, _ = yield from _bisect(run, cap)
        doubtful |= found
    return sorted(doubtful)


def _bisect(run: Sequence[SpanRows], cap: int | None) -> Generator[Span, int | None, tuple[set[Span], set[Span]]]:
    """Return the segments of one gapless run that are in doubt, and those whose total can't be known."""
    total = yield Span(run[0][0].start, run[-1][0].stop)
    agrees = _agrees(total, sum(rows for _, rows in run), cap)
    if agrees:
        return set(), set()
    if len(run) == 1:
        itself = {run[0][0]}
        return (set(), itself) if agrees is None else (itself, set())
    middle = len(run) // 2
    found, unknown = yield from _bisect(run[:middle], cap)
    found_right, unknown_right = yield from _bisect(run[middle:], cap)
    found |= found_right
    unknown |= unknown_right
    if agrees is False and not found:
        found = unknown or {run[middle - 1][0], run[middle][0]}
    return found, unknown


def _agrees(total: int | None, rows: int, cap: int | None) -> bool | None:
    """Return whether a total is the number of rows held; None if it can't show that."""
    if total is None:
        return None
    if cap is not None and total >= cap:
        return None if rows >= cap else False
    return total == rows


def _adjoining(segments: Sequence[SpanRows]) -> Iterator[Sequence[SpanRows]]:
    """Split segments where one does not begin where the last one ended."""
    start = 0
    for at in range(1, len(segments) + 1):
        if at == len(segments) or segments[at][0].start != segments[at - 1][0].stop:
            yield segments[start:at]
            start = at
