"""Is a segment whole? What must be asked again? Pure."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.plan import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """The evidence that a segment is whole: all its rows, and nothing but them, are held.

    `totals` are those of its closed answers, `requests` how many answers it rests on; `way` tells how it was asked:
    `pages` (hop and fill), `seek` (page 1 only, each a snapshot), `second` (the pages or facets of one dense second).
    `fetched_from` and `fetched_to` are the local clock, in Unix seconds; `reason` tells why it was repaired, if it was.
    """

    span: Span
    rows: int
    totals: tuple[int, ...]
    requests: int
    fetched_from: float
    fetched_to: float
    way: str = "pages"
    reason: str | None = None
