"""Windows and segments: arithmetic on times. Pure.

Times are Unix seconds. A `Span` is half-open, `[start, stop)`; a `Question` is closed on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from exporter.vendor.orders import wire_time

WINDOW_COST = 3
"""Requests that one more window costs: its first page, its tail check, and a last page that is not full."""

WINDOW_BUDGET = 0.006
"""The share of all requests that windows may cost. With the ties at segment ends it stays below the promised 1%."""

OUTER = 1
"""Seconds by which a window is asked for beyond its own ends, so that no reading of its bounds loses a record."""

HEAVY = 2
"""The multiple of its fair share above which a window is split again."""


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A half-open span `[start, stop)` of Unix seconds."""

    start: int
    stop: int

    def __str__(self) -> str:
        return f"[{wire_time(self.start)}, {wire_time(self.stop)})"

    def __contains__(self, second: int) -> bool:
        return self.start <= second < self.stop

    @property
    def seconds(self) -> int:
        """How long it is."""
        return self.stop - self.start


def gaps(whole: Span, done: Iterable[Span]) -> list[Span]:
    """Return what of `whole` is in none of the disjoint spans `done`, in order of time: what is left to do."""
    left, at = [], whole.start
    for span in sorted(done):
        if at < span.start:
            left.append(Span(at, span.start))
        at = max(at, span.stop)
    if at < whole.stop:
        left.append(Span(at, whole.stop))
    return left


def split(span: Span, count: int) -> list[Span]:
    """Cut a span into at most `count` parts of about equal length, none empty."""
    count = max(1, min(count, span.seconds))
    cuts = [span.start + span.seconds * number // count for number in range(count + 1)]
    return [Span(start, stop) for start, stop in pairwise(cuts)]


def pages_of(rows: int, page_size: int) -> int:
    """Return the number of pages that hold a number of rows."""
    return math.ceil(rows / page_size)


def pages_in_flight(*, rate: float, latency: float, bound: int) -> int:
    """Return how many requests must be under way at once to use the rate, `latency` being in seconds."""
    return max(1, min(bound, math.ceil(rate * latency)))


def window_count(*, pages: int, in_flight: int, segment_pages: int) -> int:
    """Return the number of windows that a range of some pages is split into.

    A window keeps one segment's pages in flight while it waits for its next boundary page; more windows than that
    needs, or than the request budget allows, are not made.
    """
    needed = 1 + (in_flight - 1) // segment_pages
    allowed = 1 + int(pages * WINDOW_BUDGET / WINDOW_COST)
    return min(needed, allowed)


def leaves(span: Span, counts: Iterable[tuple[int, int]], *, rows: int) -> list[tuple[Span, int]]:
    """Cut a span into parts of at most `rows` rows where its seconds allow that; return each part with its rows.

    `counts` are the span's seconds that have rows, ascending, and how many.
    """
    parts: list[tuple[Span, int]] = []
    at, held = span.start, 0
    for second, count in counts:
        if held and held + count > rows:
            parts.append((Span(at, second), held))
            at, held = second, 0
        held += count
    return [*parts, (Span(at, span.stop), held)]
