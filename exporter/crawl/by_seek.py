"""Certify a span by first pages only: each answer is one snapshot, whole by construction.

This is how a segment that fails its certificate is repaired, how a window ends (the tail is a seek that finds nothing
new), and how the rest of an export goes on once a server's ties have proved unstable. Where even the order of records
can't be relied on, the span is halved until each half fits one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

from exporter import columns
from exporter.certify.join import NO_SEAM, Assembly, Gone, Jump, Piece, Seam, assemble
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page, absent, absent_of_any, at_second, is_ascending
from exporter.certify.spans import OUTER, Span
from exporter.crawl.context import TRIES, Commit, CrawlContext, Doubt
from exporter.crawl.crowded_second import whole_second
from exporter.errors import RejectedError


class _NothingMoreError(Doubt):
    """A total promises more than all that comes."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"the total of {page.request} is {page.total}, but only {page.rows} records come")


class _Group(NamedTuple):
    """Consecutive pieces and what they come to."""

    pieces: Sequence[Piece]
    assembly: Assembly
    doubt: tuple[Span, str] | None
    """The span after the pieces that is not certain, and why, if there is one."""
    way: Literal["seek", "halves"]


class Seek:
    """Certify and commit spans by snapshots, a group of pages at a time."""

    def __init__(self, work: CrawlContext, commit: Commit | None = None) -> None:
        self._work = work
        self._commit = commit or work.commit
        self._first: Page | None = None

    async def run(
        self,
        span: Span,
        *,
        head: Sequence[columns.Cells] = (),
        first: Page | None = None,
        reason: str | None = None,
    ) -> int:
        """Commit all that can be certified of a span; the rest goes to `work.missing`. Return the rows committed.

        `head` are records of the span's first second that must come again; `first` is its first page, if that has come;
        `reason` tells why a repair was needed.
        """
        self._first = first
        at, rows, seam = span.start, 0, Seam(head=tuple(head))
        while at < span.stop:
            group = await self._group(at, span.stop, seam)
            if not self._work.profile.allows(group.way):
                continue  # found out meanwhile, by another window: what the group rests on no longer holds
            if group.pieces:
                end, pages = group.pieces[-1].span.stop, [piece.page for piece in group.pieces]
                table = group.assembly.table
                certificate = Certificate.of(Span(at, end), table, closed=pages, way=group.way, reason=reason)
                await self._commit(certificate, table)
                at = end
                rows += table.num_rows
            seam = group.assembly.seam
            if group.doubt is not None:
                hole, why = group.doubt
                self._work.give_up(hole, why)
                at, seam = hole.stop, NO_SEAM
        return rows

    async def _group(self, at: int, stop: int, seam: Seam) -> _Group:
        """Ask for up to a group of pages: by order, as long as there is one, else by halves."""
        if self._work.profile.ascending:
            group = await self._by_order(at, stop, seam)
            if self._work.profile.ascending:
                return group
        pieces, doubt = await self._halves(at, stop)
        assembly = await self._work.off_loop(assemble, self._work.zone, pieces)
        return _Group(pieces, assembly, doubt, "halves")

    async def _by_order(self, at: int, stop: int, seam: Seam) -> _Group:
        """Ask page after page until what came agrees; it is worth nothing if the profile knows no order any more."""
        work, suspect = self._work, False
        for _ in range(1 + TRIES):  # one may be spent on learning that spans must be padded
            padded = work.profile.pad_start > 0
            pieces, doubt = await self._pieces(at, stop, overlaps=bool(seam.head))
            following = None if doubt else await self._following(pieces, stop)
            assembly = await work.off_loop(assemble, work.zone, pieces, seam, following)
            work.profile.learn(ascending=assembly.ascending)
            if not work.profile.ascending:
                break
            if not padded and not await self._deleted(assembly.gone):
                continue
            if not await self._skipped(self._doubtful(at, stop, pieces, assembly), stop):
                return _Group(pieces, assembly, doubt, "seek")
            work.profile.learn(ascending=not suspect)
            if not work.profile.allows("seek"):
                break
            suspect = True
        empty = await work.off_loop(assemble, work.zone, [])
        again = "records that one answer showed do not come again in the next"
        return _Group([], empty, (Span(at, stop), again), "seek")

    async def _pieces(self, at: int, stop: int, *, overlaps: bool) -> tuple[list[Piece], tuple[Span, str] | None]:
        """Ask page after page; `overlaps` tells whether records of second `at` are known, to see them come again."""
        pieces = list[Piece]()
        while at < stop and len(pieces) < self._work.group_pages:
            try:
                page, end = await self._advance(at, stop, overlaps=overlaps)
                overlaps = end > at
                if overlaps:
                    pieces.append(Piece(span=Span(at, end), page=page))
                else:
                    end = at + 1
                    pieces.append(Piece(span=Span(at, end), page=page, rows=await whole_second(self._work, at, page)))
            except _NothingMoreError as doubt:
                return pieces, (Span(at, stop), str(doubt))
            except Doubt as doubt:
                return pieces, (Span(at, at + 1), str(doubt))
            at = end
        return pieces, None

    async def _following(self, pieces: Sequence[Piece], stop: int) -> Piece | None:
        """Ask for the page after a group, at whose seam it shows whether the group's last one left nothing out.

        None where the group itself tells, or where nothing certain follows: that is found again when its turn comes.
        """
        at = pieces[-1].span.stop
        if at == stop or pieces[-1].rows is not None:
            return None
        try:
            self._first, _ = await self._advance(at, stop, overlaps=True)
        except Doubt:
            return None
        return Piece(span=Span(at, stop), page=self._first)

    async def _advance(self, at: int, stop: int, *, overlaps: bool) -> tuple[Page, int]:
        """Ask what comes from `at` on; return the page and the second up to which it is whole (exclusive).

        `at` itself means that the page holds nothing but a part of that one second.
        """
        asker = self._work.asker
        pad = self._work.profile.pad_start if overlaps else OUTER
        for _ in range(TRIES):
            first, self._first = self._first, None
            fits = first is not None and (first.request.first, first.request.last) == (at - pad, stop)
            page = first if first and fits else await asker.page(at - pad, stop)
            if page.last is not None and page.last > at:
                return page, min(page.last, stop)
            if await self._work.is_whole(page):
                return page, stop  # nothing after this second: the end
            if page.last == at:
                return page, at
            if not is_ascending(await self._work.off_loop(self._work.zone.seconds, page)):
                self._work.profile.learn(ascending=False)
                raise Doubt("the records did not come in order of time")
            if pad and page.last is not None:
                # The second before fills the page. Asked for alone, it shows whether a span's first second is in it.
                if (await asker.page(at - pad, at - pad)).rows:
                    pad = 0
                else:
                    self._work.profile.learn(pad_start=1, pad_end=1)
                    return page, at
        raise _NothingMoreError(page)

    async def _halves(self, at: int, stop: int) -> tuple[list[Piece], tuple[Span, str] | None]:
        """Halve what is left until each half fits one page: needs no order at all."""
        pieces, pending = list[Piece](), [Span(at, stop)]
        while pending and len(pieces) < self._work.group_pages:
            span = pending.pop()
            page, whole = await self._look(span)
            if whole:
                pieces.append(Piece(span=span, page=page))
            elif page.rows < self._work.profile.fullest:
                return pieces, (span, str(_NothingMoreError(page)))
            elif span.seconds > 1:
                middle = span.start + span.seconds // 2
                pending += [Span(middle, span.stop), Span(span.start, middle)]
            else:
                try:
                    pieces.append(Piece(span=span, page=page, rows=await whole_second(self._work, span.start, page)))
                except Doubt as doubt:
                    return pieces, (span, str(doubt))
        return pieces, None

    async def _look(self, span: Span) -> tuple[Page, bool]:
        """Ask for a span until its page is full or whole, three times at most; tell whether it is whole."""
        for _ in range(TRIES):
            page = await self._work.asker.page(span.start - OUTER, span.stop)
            if (whole := await self._work.is_whole(page)) or page.rows >= self._work.profile.fullest:
                break
        return page, whole

    def _doubtful(self, at: int, stop: int, pieces: Sequence[Piece], assembly: Assembly) -> Sequence[Jump]:
        """Return what of a group may lack records: where that can be counted at once, the group itself."""
        if not pieces:
            return assembly.jumps
        end, rows, profile = pieces[-1].span.stop, assembly.table.num_rows, self._work.profile
        group = Jump(span=Span(at, end), table=assembly.table)
        if profile.totals == "ignored" and assembly.jumps and rows % max(1, profile.fullest):
            return (group,)
        if assembly.seam.head and end == stop:
            # No answer follows that would show whether the last one left something out.
            return (*assembly.jumps, group)
        return assembly.jumps

    async def _skipped(self, jumps: Sequence[Jump], stop: int) -> bool:
        """Return whether a piece lacks records: a count of it says so, or counts on its two sides never add up.

        An answer that starts with its latest second looks as if nothing came before it. Without totals, the rows of
        the last page that there should be are the count. What comes with a count must be among the piece's records: of
        another order, there may be as many.
        """
        asker, profile = self._work.asker, self._work.profile
        for jump in jumps:
            span, rows = jump.span, jump.table.num_rows
            before = rows // max(1, profile.fullest) if profile.totals == "ignored" else 0
            try:
                page = await asker.page(span.start, span.stop - 1, before + 1)
            except RejectedError:
                return True
            shown = before * profile.fullest + page.rows
            count = shown if page.total is None or page.rows < profile.fullest else page.total
            if count > rows or (not rows and await self._within(span)):
                return True
            if await self._work.off_loop(partial(_unknown, self._work, page, jump)):
                return True
            if jump.short and profile.padded:
                return True  # counts of spans say nothing then
            if jump.short and profile.cap is None:
                counts = await asker.find_cap(span.start, span.stop, stop)
                if counts is not None and profile.totals == "exact":
                    return True
        return False

    async def _within(self, span: Span) -> bool:
        """Tell whether orders of a span come if it is asked for with the seconds beside it, which bounds may need.

        With one of them, too: a full page that starts with its latest second may show nothing but that one.
        """
        before, after = span.start - OUTER, span.stop
        for first, last in ((before, after), (before, after - 1), (span.start, after)):
            page = await self._work.asker.page(first, last)
            seconds = await self._work.off_loop(self._work.zone.seconds, page)
            if any(second in span for second in seconds.to_pylist()):
                return True
            if page.rows < self._work.profile.fullest:
                break
        return False

    async def _deleted(self, seams: Sequence[Gone]) -> bool:
        """Tell whether all records that did not come again are gone; if not, spans must be padded at the start."""
        work = self._work
        for gone in seams:
            page = await work.asker.page(gone.second - 1, gone.second + 1)
            missing = await work.off_loop(_absent, work, gone.seen, page, gone.second)
            if missing < gone.missing or not await work.is_whole(page):
                work.profile.learn(pad_start=1)
                return False
        return True


def _unknown(work: CrawlContext, page: Page, jump: Jump) -> int:
    """Return how many records a page shows of a span that the span's own records don't hold."""
    shown = columns.within(work.zone.table([page.cells]), jump.span.start, jump.span.stop)
    return absent(shown, jump.table)


def _absent(work: CrawlContext, seen: Sequence[columns.Cells], page: Page, second: int) -> int:
    expected, found = [work.zone.table([each]) for each in seen], work.zone.table([page.cells])
    return absent_of_any(expected, at_second(found, second))
