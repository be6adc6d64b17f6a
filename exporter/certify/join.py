"""Join answers that follow each other: is anything lost between them? Pure: pieces in, an assembly out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from exporter import columns
from exporter.certify.pages import Page, Zone, absent_of_any, at_second, check_range, is_ascending
from exporter.certify.spans import Span


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a span that one answer shows whole.

    Of a second with more than a page, `page` shows only some records; `rows` are all of them, found another way.
    """

    span: Span
    page: Page
    rows: pa.Table | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """Records that one answer showed at the end of its page, `missing` of which the next answer does not show."""

    second: int
    seen: Sequence[columns.Cells]
    missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Jump:
    """A span that may lack records: too few came of it, or none at all, or no total tells how many there are."""

    span: Span
    table: pa.Table
    """The records that came of it."""
    short: bool = False
    """The next answer's total is not what this one's leaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seam:
    """What one answer says of the next, which starts at the last second of its page."""

    head: tuple[columns.Cells, ...] = ()
    """Records of that second, which must come again; of more than one answer, those that any of them shows."""
    left: int | None = None
    """The total that the next answer should have."""
    piece: Jump | None = None
    """The piece before, if `left` is known."""


NO_SEAM = Seam()
"""Nothing is known of what comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """What consecutive pieces come to."""

    table: pa.Table
    ascending: bool
    gone: tuple[Gone, ...]
    jumps: tuple[Jump, ...]
    seam: Seam


def assemble(zone: Zone, pieces: Sequence[Piece], seam: Seam = NO_SEAM, following: Piece | None = None) -> Assembly:
    """Join pieces in order of time, the first of them at the given seam, the last one to the piece that follows.

    Each piece takes from its own page the records of its span, so what two answers say of one second never mixes; but
    where a page ended within a second, the next answer must show that second's records again.
    """
    tables: list[pa.Table] = []
    ascending, gone = True, list[Gone]()
    jumps: list[Jump] = []
    for piece in (*pieces, *filter(None, [following])):
        page = piece.page
        table = zone.table([page.cells])
        seconds = columns.seconds(table)
        check_range(page, seconds)
        ascending = ascending and is_ascending(seconds)
        before = columns.before(table, piece.span.start).true_count
        below = columns.before(table, piece.span.stop).true_count
        if seam.head:
            shown = table if piece.rows is None else piece.rows
            missing = absent_of_any([zone.table([each]) for each in seam.head], at_second(shown, piece.span.start))
            if missing:
                gone.append(Gone(second=piece.span.start, seen=seam.head, missing=missing))
        if seam.left is not None and seam.piece is not None and page.total != seam.left + before:
            jumps.append(replace(seam.piece, short=page.total is not None))
        if piece is following:
            break
        if piece.rows is not None:
            tables.append(piece.rows)
            seam = NO_SEAM
            continue
        tables.append(columns.within(table, piece.span.start, piece.span.stop))
        seam = NO_SEAM
        if page.last is None or page.last < piece.span.stop:
            continue
        here = Jump(span=piece.span, table=tables[-1])
        if page.total is None or not here.table.num_rows:
            jumps.append(here)
        if page.last == piece.span.stop:
            left = None if page.total is None else page.total - below
            seam = Seam(head=(page.head,), left=left, piece=here)
    joined = pa.concat_tables(tables) if tables else zone.table([])
    return Assembly(table=columns.ordered(joined), ascending=ascending, gone=tuple(gone), jumps=tuple(jumps), seam=seam)
