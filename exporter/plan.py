"""Windows and segments: arithmetic on times. Pure.

Times are Unix seconds. A `Span` is half-open, `[start, stop)`; a `Question` is closed on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.orders import wire_time


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A half-open span `[start, stop)` of Unix seconds."""

    start: int
    stop: int

    def __str__(self) -> str:
        return f"[{wire_time(self.start)}, {wire_time(self.stop)})"


def gaps(whole: Span, done: list[Span]) -> list[Span]:
    """Return what of `whole` is in none of the disjoint spans `done`, in order of time: what is left to do."""
    left, at = [], whole.start
    for span in sorted(done):
        if at < span.start:
            left.append(Span(at, span.start))
        at = max(at, span.stop)
    if at < whole.stop:
        left.append(Span(at, whole.stop))
    return left
