"""Which spans without orders to ask for alone: a server may cut a long range without a word. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.certify.spans import OUTER, Span

DAY = 86_400
USUAL_LIMITS = (366 * DAY, 90 * DAY, 7 * DAY)
"""Seconds at which servers are used to cut ranges, tried where no response has proven a longer one."""

GAPS = 3
"""Gaps that are remembered of a segment."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The seconds of the first and the last order of a span, and the longest gaps between two orders."""

    first: int
    last: int
    gaps: tuple[Span, ...] = ()


@dataclass(slots=True)
class Timeline:
    """Where the orders that are held are in time."""

    extents: dict[Span, Extent | None] = field(default_factory=dict)
    """By span; None where there is no order."""

    def add(self, span: Span, rows: pa.Table) -> None:
        """Take the rows of a span, in order of time; they replace those that it had."""
        self.extents[span] = _extent(columns.seconds(rows)) if rows.num_rows else None

    @property
    def occupied(self) -> list[Extent]:
        """The extents of the spans with orders, in order of time."""
        return [extent for span in sorted(self.extents) if (extent := self.extents[span])]

    def last_before(self, second: int) -> int | None:
        """Return the second of the last order before another one, as far as it is known."""
        ends = [end for extent in self.occupied for end in (extent.first, extent.last)]
        ends += [gap.start - 1 - OUTER for gap in self.gaps()]
        return max((end for end in ends if end < second), default=None)

    def gaps(self) -> list[Span]:
        """Return the longest spans between two orders, the longest first."""
        occupied = self.occupied
        found = [gap for extent in occupied for gap in extent.gaps]
        found += [_gap(one.last, other.first) for one, other in pairwise(occupied)]
        return sorted((gap for gap in found if gap.seconds > 0), key=lambda gap: -gap.seconds)


def _extent(seconds: pa.Int64Array) -> Extent:
    first, last = seconds[0].as_py(), seconds[-1].as_py()
    steps = pc.subtract(seconds[1:], seconds[:-1])
    widest = pc.select_k_unstable(steps, k=min(GAPS, len(steps)), sort_keys=[("steps", "descending")]).to_pylist()
    gaps = (_gap(seconds[place].as_py(), seconds[place + 1].as_py()) for place in widest)
    return Extent(first, last, tuple(gap for gap in gaps if gap.seconds > 0))


def _gap(one: int, other: int) -> Span:
    """Return what is between two seconds with orders, without the seconds that a bound may take for theirs."""
    return Span(one + 1 + OUTER, other - OUTER)


def silences(whole: Span, timeline: Timeline, *, proven: int) -> Iterator[Span]:
    """Yield spans of a range that must be without orders, the most telling first.

    `proven` is the longest time, in seconds, between two orders that one response has counted. The cases:
    - no order at all: the last week, the quarter before it, the year before that, in the opposite order: of each, a
      server that shows the first or the last days only shows others;
    - before the first order: the whole of it, as a server that shows the last days only would leave it out;
    - no time before the first order: the longest gap between two orders.
    Then, only where they are longer than what is proven:
    - after the last order (the tail check was one request for it): its parts, from the end, as a server that shows the
      first days only would leave them out;
    - gaps between two orders;
    - before the first order: its parts, from there back.
    """
    occupied = timeline.occupied
    if not occupied:
        yield from _usual(whole)
        return
    before = Span(whole.start, occupied[0].first - OUTER)
    after = Span(occupied[-1].last + 1 + OUTER, whole.stop)
    part, gaps = max(proven, min(USUAL_LIMITS)), timeline.gaps()
    if before.seconds > 0:
        yield before
    elif gaps:
        yield gaps.pop(0)
    if after.seconds > part:
        yield from _parts(after, part)
    yield from (gap for gap in gaps if gap.seconds > part)
    if before.seconds > part:
        yield from _parts(Span(before.start, before.stop - part), part)


def _usual(whole: Span) -> list[Span]:
    """Return adjacent spans up to the end of a range, as long as servers usually answer for, the longest first."""
    spans, stop = list[Span](), whole.stop
    for seconds in reversed(USUAL_LIMITS):
        span = Span(max(whole.start, stop - seconds), stop)
        if span.seconds and span != whole:
            spans.insert(0, span)
        stop = span.start
    return spans


def _parts(span: Span, seconds: int) -> Iterator[Span]:
    """Yield a span in parts, the last one first."""
    stop = span.stop
    while stop > span.start:
        yield Span(max(span.start, stop - seconds), stop)
        stop -= seconds
