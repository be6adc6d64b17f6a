"""Join responses that follow each other: is anything lost between them? Pure: pieces in, a chain out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from exporter import columns
from exporter.certify.pages import Page, Zone, absent_of_any, at_second, check_range, is_ascending
from exporter.certify.spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a span that one response shows whole.

    Of a second with more than a page, `page` shows only some records; `rows` are all of them, found another way.
    """

    span: Span
    page: Page
    rows: pa.Table | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Vanished:
    """Records that one response showed at the end of its page, `missing` of which the next one does not show."""

    second: int
    seen: Sequence[columns.Cells]
    missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A span that may lack records: too few came of it, or none at all, or no total says how many there are."""

    span: Span
    table: pa.Table
    """The records that came of it."""
    short: bool = False
    """The next response's total is not what this one's leaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Boundary:
    """What one response says of the next, which starts at the last second of its page."""

    records: tuple[columns.Cells, ...] = ()
    """Records of that second, which must come again; of more than one response, those that any of them shows."""
    left: int | None = None
    """The total that the next response should have."""
    before: Gap | None = None
    """The piece before, if `left` is known."""
    rows: pa.Table | None = None
    """All rows of that second, if they are known."""

    def is_all_of(self, page: Page) -> bool:
        """Return whether a page shows its records and nothing else, to the letter."""
        return bool(self.records) and all(cells == page.cells for cells in self.records)

    def table_of(self, page: Page, zone: Zone) -> pa.Table:
        """Return a page's rows; they need not be made anew where they are those that are known."""
        if self.rows is not None and len(self.rows) == page.rows and self.is_all_of(page):
            return self.rows
        return zone.table([page.cells])

    def absent_from(self, rows: pa.Table, zone: Zone) -> int:
        """Return how many of its records are not among the rows of its second."""
        return absent_of_any([zone.table([cells]) for cells in self.records], rows)


OPEN = Boundary()
"""Nothing is known of what comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """What consecutive pieces come to, joined in order of time."""

    table: pa.Table
    ascending: bool = True
    vanished: tuple[Vanished, ...] = ()
    gaps: tuple[Gap, ...] = ()
    end: Boundary = OPEN


def join(zone: Zone, pieces: Sequence[Piece], start: Boundary = OPEN, following: Piece | None = None) -> Chain:
    """Join pieces in order of time, the first of them at the given boundary, the last one to the piece that follows.

    Each piece takes from its own page the records of its span, so what two responses say of one second never mixes; but
    where a page ended within a second, the next response must show that second's records again.
    """
    tables: list[pa.Table] = []
    ascending, vanished, gaps = True, list[Vanished](), list[Gap]()
    boundary = start
    for piece in (*pieces, *filter(None, [following])):
        page = piece.page
        table = boundary.table_of(page, zone)
        seconds = columns.seconds(table)
        check_range(page, seconds)
        ascending = ascending and is_ascending(seconds)
        before = columns.before(table, piece.span.start).true_count
        below = columns.before(table, piece.span.stop).true_count
        if boundary.records and (piece.rows is not None or not boundary.is_all_of(page)):
            shown = table if piece.rows is None else piece.rows
            if missing := boundary.absent_from(at_second(shown, piece.span.start), zone):
                vanished.append(Vanished(second=piece.span.start, seen=boundary.records, missing=missing))
        if boundary.left is not None and boundary.before is not None and page.total != boundary.left + before:
            gaps.append(replace(boundary.before, short=page.total is not None))
        if piece is following:
            break
        boundary = OPEN
        if piece.rows is not None:
            tables.append(piece.rows)
            continue
        tables.append(columns.within(table, piece.span.start, piece.span.stop))
        if page.last is None or page.last < piece.span.stop:
            continue
        here = Gap(span=piece.span, table=tables[-1])
        if page.total is None or not here.table.num_rows:
            gaps.append(here)
        if page.last == piece.span.stop:
            left = None if page.total is None else page.total - below
            boundary = Boundary(records=(page.ending,), left=left, before=here)
    joined = pa.concat_tables(tables) if tables else zone.table([])
    return Chain(
        table=columns.ordered(joined), ascending=ascending, vanished=tuple(vanished), gaps=tuple(gaps), end=boundary
    )
