"""Certify a span by first pages only: each answer is one snapshot, whole by construction.

This is how a segment that fails its certificate is repaired, how a window ends (the tail is a seek that finds nothing
new), and how the rest of an export goes on once a server's ties have proved unstable. Where even the order of records
can't be relied on, the span is halved until each half fits one page.
"""

from __future__ import annotations

from collections.abc import Sequence

from exporter import columns
from exporter.certify.join import NO_SEAM, Assembly, Gone, Jump, Piece, Seam, assemble
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page, absent, at_second, is_ascending
from exporter.certify.spans import OUTER, Span
from exporter.crawl.context import TRIES, Commit, CrawlContext, Doubt
from exporter.crawl.crowded_second import whole_second
from exporter.errors import RejectedError


class _NothingMoreError(Doubt):
    """A total promises more than all that comes."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"the total of {page.request} is {page.total}, but only {page.rows} records come")


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
            pieces, assembly, doubt = await self._group(at, span.stop, seam)
            if pieces:
                end, pages = pieces[-1].span.stop, [piece.page for piece in pieces]
                way = "seek" if self._work.profile.ascending else "halves"
                certificate = Certificate.of(Span(at, end), assembly.table, closed=pages, way=way, reason=reason)
                await self._commit(certificate, assembly.table)
                at = end
                rows += assembly.table.num_rows
            seam = assembly.seam
            if doubt is not None:
                hole, why = doubt
                self._work.give_up(hole, why)
                at, seam = hole.stop, NO_SEAM
        return rows

    async def _group(self, at: int, stop: int, seam: Seam) -> tuple[list[Piece], Assembly, tuple[Span, str] | None]:
        """Ask for up to a group of pages; return what is certain of them and the span that is not, if there is one."""
        work, suspect = self._work, False
        for _ in range(1 + TRIES):  # one may be spent on learning that spans must be padded
            ascending, padded = work.profile.ascending, work.profile.pad_start > 0
            found = self._pieces(at, stop, overlaps=bool(seam.head)) if ascending else self._halves(at, stop)
            pieces, doubt = await found
            following = await self._following(pieces, stop) if ascending and not doubt else None
            assembly = await work.off_loop(assemble, work.zone, pieces, seam, following)
            work.profile.ascending = work.profile.ascending and (assembly.ascending or not ascending)
            if ascending and not work.profile.ascending:
                continue
            if not ascending:
                return pieces, assembly, doubt
            if not padded and not await self._deleted(assembly.gone):
                continue
            if not await self._skipped(self._doubtful(at, stop, pieces, assembly), stop):
                return pieces, assembly, doubt
            work.profile.ascending = not suspect
            suspect = True
        empty = await work.off_loop(assemble, work.zone, [])
        return [], empty, (Span(at, stop), "records that one answer showed do not come again in the next")

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
                self._work.profile.ascending = False
                raise Doubt("the records did not come in order of time")
            if pad and (await asker.page(at - pad, at - pad)).rows:
                pad = 0  # the second before fills the page; and its orders show that a span's first second is in it
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
        group = Jump(span=Span(at, end), rows=rows)
        if profile.totals == "ignored" and assembly.jumps and rows % max(1, profile.fullest):
            return (group,)
        if assembly.seam.head and end == stop:
            # No answer follows that would show whether the last one left something out.
            return (*assembly.jumps, group)
        return assembly.jumps

    async def _skipped(self, jumps: Sequence[Jump], stop: int) -> bool:
        """Tell whether a piece lacks records: a count of it says so, or counts on its two sides never add up.

        An answer that starts with its latest second looks as if nothing came before it. Without totals, the rows of
        the last page that there should be are the count.
        """
        asker, profile = self._work.asker, self._work.profile
        for jump in jumps:
            span = jump.span
            before = jump.rows // max(1, profile.fullest) if profile.totals == "ignored" else 0
            try:
                page = await asker.page(span.start, span.stop - 1, before + 1)
            except RejectedError:
                return True
            shown = before * profile.fullest + page.rows
            count = shown if page.total is None or page.rows < profile.fullest else page.total
            if count > jump.rows or (not jump.rows and await self._within(span)):
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
                work.profile.pad_start = 1
                return False
        return True


def _absent(work: CrawlContext, seen: Sequence[columns.Cells], page: Page, second: int) -> int:
    expected, found = work.zone.table(seen), work.zone.table([page.cells])
    return absent(expected, at_second(found, second))
