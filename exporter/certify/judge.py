"""Is a segment whole? What must be asked again? Pure: pages in, a verdict out.

Rows of an identity are the largest number that one single response showed, taken from the latest such response. A page
that repeats a record of another page thus never doubles it, and records that are truly alike are kept when one response
shows them side by side; both leave the count short, and the count must match.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.certify.join import OPEN, Boundary
from exporter.certify.pages import Page, Zone, absent
from exporter.certify.spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """The evidence that a segment is whole: all its rows, and nothing but them, are held.

    `totals` are those of its closed responses, `requests` the number of responses it rests on. `way` is the strategy:
    `pages` (boundary page and interior pages), `seek` (first pages only, each a snapshot), `halves` (spans that fit one
    page). `fetched_from` and `fetched_to` are the local clock, in Unix seconds; `reason` says why it was repaired.
    """

    span: Span
    rows: int
    totals: tuple[int, ...]
    requests: int
    fetched_from: float
    fetched_to: float
    way: str = "pages"
    reason: str | None = None
    values_in_extra: int = 0
    """The number of values of its rows that only `_extra` can give back."""

    @classmethod
    def of(
        cls,
        span: Span,
        rows: pa.Table,
        *,
        closed: Sequence[Page],
        overlapping: Sequence[Page] = (),
        way: str = "pages",
        reason: str | None = None,
    ) -> Self:
        """Make the certificate of `rows`: the evidence is the closed responses, and others that show a part of them."""
        pages = [*closed, *overlapping]
        moments = [page.received for page in pages]
        return cls(
            span=span,
            rows=rows.num_rows,
            totals=tuple(page.total for page in closed if page.total is not None),
            requests=len(pages),
            fetched_from=min(moments),
            fetched_to=max(moments),
            way=way,
            reason=reason,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the pages of a span come to. It is whole when `doubt` is None."""

    table: pa.Table
    """The rows of the span, in the result's order."""
    held: int
    """Rows that the closed responses show, those outside the span included."""
    below: int
    """Rows before the span's end, those before its start included."""
    doubt: str | None
    doubtful: tuple[int, ...] = ()
    """The seconds of records that more than one response shows."""
    repeats: int = 0
    """How often a record came on two pages of one range though one response shows it fewer times: unstable ties."""
    ascending: bool = True
    short: bool = False
    """Fewer distinct records came than the one total that all closed responses gave: asking again may settle it."""


def judge(
    span: Span,
    zone: Zone,
    *,
    closed: Sequence[Page],
    overlapping: Sequence[Page] = (),
    snapshots: Sequence[Page] = (),
    rank: int | None = None,
    boundary: Boundary = OPEN,
    tries: int = 1,
) -> Verdict:
    """Judge a span by the pages of its closed range.

    `overlapping` are pages of a longer range, of which only the records before `span.stop` are taken; `snapshots` are
    responses that show one doubtful second whole. `rank` is how many records the boundary page says are before
    `span.stop`; `boundary` is what is known of `span.start`; `tries` is how often all pages were asked for.
    """
    pages = [*closed, *overlapping, *snapshots]
    starts = list(accumulate((page.rows for page in pages), initial=0))
    came = zone.table([*(page.cells for page in pages), *boundary.records])
    table, expected = came.slice(0, starts[-1]), came.slice(starts[-1])
    instants = columns.instants(table)
    ascending = _pages_ascend(instants, starts)
    own = len(closed) + len(overlapping)
    sizes = [page.rows for page in pages]
    for index in range(len(closed), own):
        sizes[index] = columns.place_of(table.slice(starts[index], sizes[index]), span.stop)
    if sum(sizes) < starts[-1]:
        table = pa.concat_tables(table.slice(*run) for run in _runs(starts, sizes))
        instants = columns.instants(table)
    doubtful, repeats = list[int](), 0
    rows, may_repeat = columns.in_order(table)
    if may_repeat:
        chosen, doubtful, repeats = merge(columns.identities(table), pages, sizes, own)
        if chosen is not None:
            instants = instants.take(chosen)
            rows = columns.ordered(table.take(chosen))
    held = rows.num_rows
    before, up_to_start, below = (columns.place_of(rows, second) for second in (span.start, span.start + 1, span.stop))
    return Verdict(
        table=rows.slice(before, below - before),
        held=held,
        below=below,
        doubt=_doubt(held, sum(sizes[:own]) / tries, below, closed, rank, ascending=ascending)
        or _missing_at_boundary(expected, rows.slice(before, up_to_start - before)),
        doubtful=tuple(sorted({instants[index].as_py() // columns.SECOND for index in doubtful})),
        repeats=repeats,
        ascending=ascending,
        short=len({page.total for page in closed}) == 1 and held < (closed[0].total or 0),
    )


def _runs(starts: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return where runs of rows start, and how long they are: what adjoins is joined."""
    runs = [(0, 0)]
    for start, size in zip(starts, sizes, strict=False):
        if start == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + size)
        else:
            runs.append((start, size))
    return runs


def _pages_ascend(instants: pa.Int64Array, starts: Sequence[int]) -> bool:
    """Return whether times go back at most within a second, or where a page begins."""
    back = pc.less(instants[1:], instants[:-1])
    if not back.true_count:
        return True
    before, after = (each.filter(back).to_pylist() for each in (instants[:-1], instants[1:]))
    places = pc.indices_nonzero(back).to_pylist()
    return all(
        at + 1 in starts or one // columns.SECOND == other // columns.SECOND
        for at, one, other in zip(places, before, after, strict=True)
    )


def _doubt(  # noqa: PLR0911 - one return a reason
    held: int, shown: float, below: int, closed: Sequence[Page], rank: int | None, *, ascending: bool
) -> str | None:
    totals = sorted({page.total for page in closed if page.total is not None})
    if not ascending:
        return "the records did not come in order of time"
    if any(page.total is None for page in closed):
        return "the responses have no total"
    if len(totals) > 1:
        return f"the total changed while it was asked: {' then '.join(map(str, totals))}"
    if totals and held != totals[0]:
        return f"{held} distinct records came where the total is {totals[0]}"
    if totals and shown != totals[0]:
        return f"{shown:g} records came, some alike, where the total is {totals[0]}"
    if rank is not None and below != rank:
        return f"{below} records came where the next page's place says {rank}"
    return None


def _missing_at_boundary(expected: pa.Table, at_start: pa.Table) -> str | None:
    missing = absent(expected, at_start) if len(expected) else 0
    return f"{missing} records of the segment's first second did not come again" if missing else None


def merge(
    identities: pa.Array, pages: Sequence[Page], sizes: Sequence[int], own: int
) -> tuple[pa.Array | None, list[int], int]:
    """Choose the rows of each identity: those of the latest response among the ones that show it most often.

    `sizes` are the rows of each page in turn; the first `own` pages are those of the span itself, the rest snapshots.
    Returns the chosen row indices (None: all), the positions among them of records that several responses show, and
    how many times the span's own pages repeat a record beyond what one response shows.
    """
    count = len(identities)
    if pc.count_distinct(identities).as_py() == count:
        return None, [], 0
    starts = list(accumulate(sizes, initial=0))
    counted = pc.value_counts(identities)
    often = counted.field("values").filter(pc.greater(counted.field("counts"), columns.integers([1])[0]))
    suspects = pc.is_in(identities, often)
    places: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in pc.indices_nonzero(suspects).to_pylist():
        places[identities[row].as_py()][bisect_right(starts, row) - 1].append(row)
    chosen = pc.indices_nonzero(pc.invert(suspects)).to_pylist()
    shared: set[int] = set()
    repeats = 0
    for responses in places.values():
        best = max(responses, key=lambda page: (len(responses[page]), pages[page].number))
        chosen += responses[best]
        if len(responses) > 1:
            shared.update(responses[best])
        seen = sum(len(rows) for page, rows in responses.items() if page < own)
        repeats += max(0, seen - len(responses[best]))
    chosen.sort()
    return columns.integers(chosen), [place for place, row in enumerate(chosen) if row in shared], repeats
