"""Is a segment whole? What must be asked again? Pure: pages in, a verdict out.

Rows of an identity are the largest number that one single answer showed, taken from the latest such answer. A page that
repeats a record of another page thus never doubles it, and records that are truly alike are kept when one answer shows
them side by side; both leave the count short, and the count must match.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.errors import CertificateError
from exporter.orders import Answer, Question, second_of
from exporter.plan import Span

LEEWAY = 1
"""Seconds by which a record may be shown outside the range that was asked: times are rounded somewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """The evidence that a segment is whole: all its rows, and nothing but them, are held.

    `totals` are those of its closed answers, `requests` how many answers it rests on. `way` tells how it was asked:
    `pages` (hop and fill), `seek` (first pages only, each a snapshot), `halves` (spans that fit one page).
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
    values_in_extra: int = 0
    """How many values of its rows only `_extra` can give back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """An answer whose records have become columns. `first` and `last` are the seconds of its first and last record."""

    question: Question
    cells: columns.Cells
    rows: int
    total: int | None
    number: int
    received: float
    first: int | None
    last: int | None
    before_last: int
    """How many of its records come before those of its last second."""
    head: columns.Cells
    """The records of its last second: the first ones of the segment that starts there."""


def page_of(answer: Answer, total: int | None) -> Page:
    """Turn an answer into a page; raise CertificateError where an order has no time, or one that was not asked for."""
    records = answer.records
    first = last = None
    before = len(records)
    try:
        if records:
            first, last = second_of(records[0]), second_of(records[-1])
            while before and second_of(records[before - 1]) == last:
                before -= 1
    except ValueError as error:
        raise CertificateError(
            f"an order without a time came with {answer.question}: {error}",
            hint="without its time neither order nor completeness can be known; ask the vendor about this record",
        ) from None
    if first is not None and last is not None:
        _check_bounds(answer.question, min(first, last), max(first, last))
    return Page(
        question=answer.question,
        cells=columns.gather(records),
        rows=len(records),
        total=total,
        number=answer.number,
        received=answer.received,
        first=first,
        last=last,
        before_last=before,
        head=columns.gather(records[before:]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """How cells become a table: the result's time zone and language."""

    timezone: str
    language: str

    def table(self, pages: Sequence[columns.Cells]) -> pa.Table:
        """Return the rows of all pages, in the order given."""
        return columns.typed(pages, timezone=self.timezone, language=self.language)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the pages of a span come to. It is whole when `doubt` is None."""

    table: pa.Table
    """The rows of the span, in the result's order."""
    held: int
    """Rows that the closed answers show, those beside the span included."""
    below: int
    """Rows before the span's end, those before its start included."""
    doubt: str | None
    doubtful: tuple[int, ...] = ()
    """The seconds of records that more than one answer shows."""
    repeats: int = 0
    """How often a record came on two pages of one question though one answer shows it fewer times: unstable ties."""
    ascending: bool = True
    short: bool = False
    """Fewer distinct records came than the one total that all closed answers gave: asking again may settle it."""


def judge(
    span: Span,
    zone: Zone,
    *,
    closed: Sequence[Page],
    beside: Sequence[Page] = (),
    snapshots: Sequence[Page] = (),
    rank: int | None = None,
    head: Sequence[columns.Cells] = (),
    tries: int = 1,
) -> Verdict:
    """Judge a span by the pages of its closed question.

    `beside` are pages of a longer question, of which only the records before `span.stop` are taken; `snapshots` are
    answers that show one doubtful second whole. `rank` is how many records the hop page says lie before `span.stop`;
    `head` are the records at `span.start` that the segment before has seen; `tries` is how often all pages were asked.
    """
    pages = [*closed, *beside, *snapshots]
    table = zone.table([page.cells for page in pages])
    seconds = columns.seconds(table)
    ascending = True
    keep: list[pa.Array] = []
    at = 0
    for index, page in enumerate(pages):
        on_page = seconds.slice(at, page.rows)
        at += page.rows
        ascending = ascending and is_ascending(on_page)
        check_range(page, on_page)
        supplement = len(closed) <= index < len(closed) + len(beside)
        keep.append(pc.less(on_page, span.stop) if supplement else pa.repeat(pa.scalar(value=True), page.rows))
    mask = pa.chunked_array(keep, pa.bool_())
    if not pc.all(mask, min_count=0).as_py():
        table, seconds = table.filter(mask), seconds.filter(pa.concat_arrays(keep))
    sizes = [pc.sum(kept, min_count=0).as_py() for kept in keep]
    own = len(closed) + len(beside)
    chosen, doubtful, repeats = merge(columns.identities(table), pages, sizes, own)
    if chosen is not None:
        table, seconds = table.take(chosen), seconds.take(chosen)
    held = table.num_rows
    below = pc.sum(pc.less(seconds, span.stop), min_count=0).as_py()
    inside = pc.and_(pc.greater_equal(seconds, span.start), pc.less(seconds, span.stop))
    rows = table if pc.all(inside, min_count=0).as_py() else table.filter(inside)
    doubtful_seconds = tuple(sorted({seconds[index].as_py() for index in doubtful}))
    return Verdict(
        table=columns.ordered(rows),
        held=held,
        below=below,
        doubt=_doubt(held, sum(sizes[:own]) / tries, below, closed, rank, ascending=ascending)
        or _missing_head(rows, span.start, head, zone),
        doubtful=doubtful_seconds,
        repeats=repeats,
        ascending=ascending,
        short=len({page.total for page in closed}) == 1 and held < (closed[0].total or 0),
    )


def _doubt(  # noqa: PLR0911 - one return a reason
    held: int, shown: float, below: int, closed: Sequence[Page], rank: int | None, *, ascending: bool
) -> str | None:
    totals = sorted({page.total for page in closed if page.total is not None})
    if not ascending:
        return "the records did not come in order of time"
    if any(page.total is None for page in closed):
        return "the answers have no total"
    if len(totals) > 1:
        return f"the total changed while it was asked: {' then '.join(map(str, totals))}"
    if totals and held != totals[0]:
        return f"{held} distinct records came where the total is {totals[0]}"
    if totals and shown != totals[0]:
        return f"{shown:g} records came, some alike, where the total is {totals[0]}"
    if rank is not None and below != rank:
        return f"{below} records came where the next page's place says {rank}"
    return None


def _missing_head(rows: pa.Table, start: int, head: Sequence[columns.Cells], zone: Zone) -> str | None:
    if not head:
        return None
    missing = absent(zone.table(head), at_second(rows, start))
    return f"{missing} records of the segment's first second did not come again" if missing else None


def at_second(table: pa.Table, second: int) -> pa.Table:
    """Return the rows of one second."""
    return table.filter(pc.equal(columns.seconds(table), second))


def absent(expected: pa.Table, found: pa.Table) -> int:
    """Return how many rows of `expected` have no partner of the same identity in `found`."""
    both = columns.identities(pa.concat_tables([expected, found])).to_pylist()
    return (Counter(both[: expected.num_rows]) - Counter(both[expected.num_rows :])).total()


def is_ascending(seconds: pa.Array) -> bool:
    """Tell whether seconds never go back."""
    ups = pc.less_equal(seconds.slice(0, max(len(seconds) - 1, 0)), seconds.slice(1))
    return bool(pc.all(ups, min_count=0).as_py())


def check_range(page: Page, seconds: pa.Array) -> None:
    """Raise CertificateError if an answer shows records of another range than was asked."""
    if len(seconds):
        bounds = pc.min_max(seconds).as_py()
        _check_bounds(page.question, bounds["min"], bounds["max"])


def _check_bounds(asked: Question, first: int, last: int) -> None:
    if first < asked.first - LEEWAY or last > asked.last + LEEWAY:
        raise CertificateError(
            f"asked for {asked}, got orders of {Span(first, last + 1)}",
            hint="the server does not keep to the range it is asked for, so nothing it says can be certified",
        )


def merge(
    identities: pa.Array, pages: Sequence[Page], sizes: Sequence[int], own: int
) -> tuple[pa.Array | None, list[int], int]:
    """Choose the rows of each identity: those of the latest answer among the ones that show it most often.

    `sizes` are the rows of each page in turn; the first `own` pages are those of the span itself, the rest snapshots.
    Returns the chosen row indices (None: all), the positions among them of records that several answers show, and how
    many times the span's own pages repeat a record beyond what one answer shows.
    """
    count = len(identities)
    if pc.count_distinct(identities).as_py() == count:
        return None, [], 0
    starts = list(accumulate(sizes, initial=0))
    counted = pc.value_counts(identities)
    often = pc.filter(counted.field("values"), pc.greater(counted.field("counts"), 1))
    suspects = pc.is_in(identities, often)
    places: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in pc.indices_nonzero(suspects).to_pylist():
        places[identities[row].as_py()][bisect_right(starts, row) - 1].append(row)
    chosen = pc.indices_nonzero(pc.invert(suspects)).to_pylist()
    shared: set[int] = set()
    repeats = 0
    for answers in places.values():
        best = max(answers, key=lambda page: (len(answers[page]), pages[page].number))
        chosen += answers[best]
        if len(answers) > 1:
            shared.update(answers[best])
        seen = sum(len(rows) for page, rows in answers.items() if page < own)
        repeats += max(0, seen - len(answers[best]))
    chosen.sort()
    return pa.array(chosen, pa.int64()), [place for place, row in enumerate(chosen) if row in shared], repeats


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
    """A span that may lack records: too few, or none at all, came of it."""

    span: Span
    rows: int
    short: bool = False
    """The next answer's total is not what this one's leaves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seam:
    """What one answer says of the next, which starts at the last second of its page."""

    head: tuple[columns.Cells, ...] = ()
    """Records of that second, which must come again."""
    left: int | None = None
    """The total that the next answer should have."""
    piece: Jump = Jump(span=Span(0, 0), rows=0)
    """The piece before."""


NO_SEAM = Seam()
"""Nothing is known of what comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembly:
    """What consecutive pieces come to."""

    table: pa.Table
    ascending: bool
    gone: Gone | None
    jumps: tuple[Jump, ...]
    seam: Seam


def assemble(zone: Zone, pieces: Sequence[Piece], seam: Seam = NO_SEAM) -> Assembly:
    """Join pieces in order of time, the first of them at the given seam.

    Each piece takes from its own page the records of its span, so what two answers say of one second never mixes; but
    where a page ended within a second, the next answer must show that second's records again.
    """
    tables: list[pa.Table] = []
    ascending, gone = True, None
    jumps: list[Jump] = []
    for piece in pieces:
        page = piece.page
        table = zone.table([page.cells])
        seconds = columns.seconds(table)
        check_range(page, seconds)
        ascending = ascending and is_ascending(seconds)
        before = pc.sum(pc.less(seconds, piece.span.start), min_count=0).as_py()
        below = pc.sum(pc.less(seconds, piece.span.stop), min_count=0).as_py()
        if gone is None and seam.head:
            missing = absent(zone.table(seam.head), at_second(table, piece.span.start))
            gone = Gone(second=piece.span.start, seen=seam.head, missing=missing) if missing else None
        if None not in {seam.left, page.total} and page.total != (seam.left or 0) + before:
            jumps.append(replace(seam.piece, short=True))
        if piece.rows is not None:
            tables.append(piece.rows)
            seam = NO_SEAM
            continue
        inside = pc.and_(pc.greater_equal(seconds, piece.span.start), pc.less(seconds, piece.span.stop))
        tables.append(table.filter(inside))
        seam = NO_SEAM
        if page.last == piece.span.stop:
            here = Jump(span=piece.span, rows=tables[-1].num_rows)
            left = None if page.total is None else page.total - below
            seam = Seam(head=(page.head,), left=left, piece=here)
            if not tables[-1].num_rows:
                jumps.append(here)
    joined = pa.concat_tables(tables) if tables else zone.table([])
    return Assembly(table=columns.ordered(joined), ascending=ascending, gone=gone, jumps=tuple(jumps), seam=seam)
