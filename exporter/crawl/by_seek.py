"""Prove a span by first pages only, each from the last second of the one before: each response is one snapshot.

This is how a segment that its pages don't prove is repaired, how a window ends (the tail check is a seek that finds
nothing new), and how the rest of an export is requested once a server's ties have proved unstable. It needs records in
order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, NoReturn

from exporter import columns
from exporter.certify.join import Chain, Gap, Piece, Vanished, join
from exporter.certify.pages import Page, absent, absent_of_any, at_second, is_ascending
from exporter.certify.spans import OUTER, Span
from exporter.crawl.crowded_second import whole_second
from exporter.crawl.proof import Finding, Proof, Rest, Way
from exporter.crawl.session import TRIES, Doubt, NothingMore, Session
from exporter.errors import RejectedError


class _Group(NamedTuple):
    """Consecutive pieces, and why there are no more of them, if they don't reach the end."""

    pieces: list[Piece]
    hole: Span | None = None
    doubt: str = ""


class BySeek:
    """Snapshots of a span, a group of pages at a time."""

    way: Way = "seek"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def prove(self, rest: Rest) -> Proof:
        """Return what one group of pages proves of a span; raise Finding if its records come in no order of time.

        A group is asked for again where its responses disagree. The cases, in this order:
        - the records don't ascend: a finding;
        - records of a page's last second don't come again though they are there: spans are padded from now on;
        - records were skipped: for the second time, a finding, for then they come in no order of time;
        - nothing of that: proven.
        """
        session, at, stop = self._session, rest.span.start, rest.span.stop
        first, suspect = rest.first, False
        for _ in range(1 + TRIES):  # one may be spent on learning that spans must be padded
            padded = session.profile.pad_start > 0
            group = await self._group(rest, first)
            following = None if group.hole else await self._following(group.pieces, stop)
            first = following.page if following else None
            chain = await session.off_loop(join, session.zone, group.pieces, rest.boundary, following)
            self._learn_order(ascending=chain.ascending)
            if not padded and not await self._are_deleted(chain.vanished):
                continue
            if not await self._is_any_short(self._doubtful(rest.span, group.pieces, chain), stop):
                return Proof(
                    span=Span(at, group.pieces[-1].span.stop if group.pieces else at),
                    table=chain.table,
                    way=self.way,
                    closed=[piece.page for piece in group.pieces],
                    end=chain.end,
                    first=first,
                    hole=group.hole,
                    doubt=group.doubt,
                )
            self._learn_order(ascending=not suspect)
            suspect = True
        return Proof(
            span=Span(at, at),
            table=session.zone.table([]),
            way=self.way,
            closed=(),
            hole=rest.span,
            doubt="records that one response showed do not come again in the next",
        )

    def _learn_order(self, *, ascending: bool) -> None:
        """Take in whether records come in order of time; raise Finding if they don't, here or in another window."""
        self._session.profile.learn(ascending=ascending)
        if not self._session.profile.allows(self.way):
            raise Finding

    def _no_order(self) -> NoReturn:
        self._session.profile.learn(ascending=False)
        raise Finding

    async def _group(self, rest: Rest, first: Page | None) -> _Group:
        """Ask for page after page, up to a group of them."""
        pieces = list[Piece]()
        at, stop, overlaps = rest.span.start, rest.span.stop, bool(rest.boundary.records)
        while at < stop and len(pieces) < self._session.group_pages:
            try:
                page, end = await self._page_from(at, stop, first, overlaps=overlaps)
                overlaps = end > at
                if overlaps:
                    pieces.append(Piece(span=Span(at, end), page=page))
                else:
                    end, rows = at + 1, await whole_second(self._session, at, page)
                    pieces.append(Piece(span=Span(at, end), page=page, rows=rows))
            except NothingMore as doubt:
                return _Group(pieces, Span(at, stop), str(doubt))
            except Doubt as doubt:
                return _Group(pieces, Span(at, at + 1), str(doubt))
            at, first = end, None
        return _Group(pieces)

    async def _following(self, pieces: Sequence[Piece], stop: int) -> Piece | None:
        """Ask for the page after a group, which shows at their boundary whether the group's last one left nothing out.

        None where the group itself shows it, or where nothing certain follows: the next group finds that again.
        """
        at = pieces[-1].span.stop
        if at == stop or pieces[-1].rows is not None:
            return None
        try:
            page, _ = await self._page_from(at, stop, None, overlaps=True)
        except Doubt:
            return None
        return Piece(span=Span(at, stop), page=page)

    async def _page_from(self, at: int, stop: int, first: Page | None, *, overlaps: bool) -> tuple[Page, int]:
        """Ask what comes from `at` on; return the page and the second up to which it is whole (exclusive).

        `overlaps`: records of second `at` are known, which must come again; so the bound need not be padded for them.
        `first` is used instead of a request if it is that page. The cases:
        - the page ends after `at`: it is whole up to its last second;
        - it is all there is: whole up to the end;
        - it ends in `at`: it shows a part of that second, or of it and the one before. `at` is returned;
        - it ends in the second before, which fills it: ask without that; or, where asked for alone that shows nothing,
          its fractions are hidden, and `at` is returned: with the seconds around it, it is asked for alone;
        - else nothing comes though there should be more: asked for again, three times at most.
        """
        session, asker = self._session, self._session.asker
        pad = session.profile.pad_start if overlaps else OUTER
        for _ in range(TRIES):
            fits = first is not None and (first.request.first, first.request.last) == (at - pad, stop)
            page = first if first and fits else await asker.page(at - pad, stop)
            first = None
            if page.last is not None and page.last > at:
                return page, min(page.last, stop)
            if await session.is_whole(page):
                return page, stop
            if page.last == at:
                return page, at
            if not is_ascending(await session.off_loop(session.zone.seconds, page)):
                self._no_order()
            if pad and page.last is not None:
                if (await asker.page(at - pad, at - pad)).rows:
                    pad = 0
                else:
                    session.profile.learn(pad_start=1, pad_end=1)
                    return page, at
        raise NothingMore(page)

    def _doubtful(self, span: Span, pieces: Sequence[Piece], chain: Chain) -> Sequence[Gap]:
        """Return what of a group may lack records: where that can be counted at once, the group itself."""
        if not pieces:
            return chain.gaps
        end, rows, profile = pieces[-1].span.stop, chain.table.num_rows, self._session.profile
        group = Gap(span=Span(span.start, end), table=chain.table)
        if profile.totals == "ignored" and chain.gaps and rows % max(1, profile.fullest):
            return (group,)
        if chain.end.records and end == span.stop:
            # No response follows that would show whether the last one left something out.
            return (*chain.gaps, group)
        return chain.gaps

    async def _is_any_short(self, gaps: Sequence[Gap], stop: int) -> bool:
        """Return whether a piece lacks records: a count of it says so, or counts on its two sides never add up.

        A response that starts with its latest second looks as if nothing came before it. Without totals, the rows of
        the last page that there should be are the count. What comes with a count must be among the piece's records: of
        another order, there may be as many.
        """
        asker, profile = self._session.asker, self._session.profile
        for gap in gaps:
            span, rows = gap.span, gap.table.num_rows
            before = rows // max(1, profile.fullest) if profile.totals == "ignored" else 0
            try:
                page = await asker.page(span.start, span.stop - 1, before + 1)
            except RejectedError:
                return True
            shown = before * profile.fullest + page.rows
            count = shown if page.total is None or page.rows < profile.fullest else page.total
            if count > rows or (not rows and await self._shows_any(span)):
                return True
            if await self._session.off_loop(partial(_unknown, self._session, page, gap)):
                return True
            if gap.short and profile.padded:
                return True  # counts of spans say nothing then
            if gap.short and profile.cap is None:
                counts = await asker.find_cap(span.start, span.stop, stop)
                if counts is not None and profile.totals == "exact":
                    return True
        return False

    async def _shows_any(self, span: Span) -> bool:
        """Return whether orders of a span come if it is asked for with the seconds around it, which bounds may need.

        With one of them, too: a full page that starts with its latest second may show nothing but that one.
        """
        before, after = span.start - OUTER, span.stop
        for first, last in ((before, after), (before, after - 1), (span.start, after)):
            page = await self._session.asker.page(first, last)
            seconds = await self._session.off_loop(self._session.zone.seconds, page)
            if any(second in span for second in seconds.to_pylist()):
                return True
            if page.rows < self._session.profile.fullest:
                break
        return False

    async def _are_deleted(self, vanished: Sequence[Vanished]) -> bool:
        """Return whether all records that did not come again are deleted; else spans are padded at the start."""
        session = self._session
        for one in vanished:
            page = await session.asker.page(one.second - 1, one.second + 1)
            missing = await session.off_loop(_absent, session, one.seen, page, one.second)
            if missing < one.missing or not await session.is_whole(page):
                session.profile.learn(pad_start=1)
                return False
        return True


def _unknown(session: Session, page: Page, gap: Gap) -> int:
    """Return how many records a page shows of a span that the span's own records don't hold."""
    shown = columns.within(session.zone.table([page.cells]), gap.span.start, gap.span.stop)
    return absent(shown, gap.table)


def _absent(session: Session, seen: Sequence[columns.Cells], page: Page, second: int) -> int:
    expected, found = [session.zone.table([each]) for each in seen], session.zone.table([page.cells])
    return absent_of_any(expected, at_second(found, second))
