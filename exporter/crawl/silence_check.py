"""Ask for the largest silences alone: a server may answer for a part of a long range without a word.

What shows there decides it: where a long range does not count an order that a short one shows, the longest range that
is answered whole is learned, and everything is asked for by ranges that fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, islice

from exporter.certify.pages import Page, is_ascending
from exporter.certify.silences import DAY, Extent, Timeline, silences
from exporter.certify.spans import OUTER, Span, pages_of
from exporter.crawl.session import Session
from exporter.errors import RejectedError
from exporter.events import MORE_THAN_PAGES, Noticed

TOTALS = 2
"""Requests that the last comparison of totals takes."""


def spare_requests(*, rows: int, page_size: int, sent: int) -> int:
    """Return how many requests the promise of few requests leaves for silences."""
    return pages_of(rows, page_size) * 101 // 100 + MORE_THAN_PAGES - TOTALS - sent


class SilenceCheck:
    """The silences of one range."""

    def __init__(self, session: Session, whole: Span, timeline: Timeline, *, committed: int = 0) -> None:
        """Take the rows that earlier runs hold as `committed`: their pages are no part of this run's promise."""
        self._session = session
        self._committed = committed
        self._whole = whole
        self._timeline = timeline
        self._asked: set[Span] = set()
        self._opening: Page | None = None

    async def before(self, opening: Page, span: Span) -> bool:
        """Ask for what is before the first order of a span's first page, or where orders would be if it shows none.

        Return whether the server was found to cut ranges.
        """
        profile, ends = self._session.profile, Timeline()
        self._opening = opening
        if profile.longest is not None:
            return False
        if opening.rows:
            seconds = await self._session.off_loop(self._session.zone.seconds, opening)
            if not profile.ascending or not is_ascending(seconds):
                return False  # what comes first may be on another page
            first = max(span.start, seconds[0].as_py())
            ends.extents[span] = Extent(first, first)
        at_most = 1 if opening.rows else spare_requests(rows=0, page_size=1, sent=self._session.asker.requests)
        return await self._ask(islice(silences(span, ends, proven=span.seconds), at_most))

    async def rest(self, rows: int) -> bool:
        """Ask for further silences; return whether ranges are cut.

        They keep to the promise of few requests, unless the server has surprised already: then it does not hold.
        """
        asker, profile = self._session.asker, self._session.profile
        if await self._never_counted(rows):
            await self._learn(None)
            return True
        spare = spare_requests(rows=rows - self._committed, page_size=profile.page_size, sent=asker.requests)
        surprising = profile.totals != "exact" or not profile.ascending
        at_most = MORE_THAN_PAGES if surprising else min(MORE_THAN_PAGES, max(spare, 0 if self._asked else 1))
        wanted = silences(self._whole, self._timeline, proven=self._proven(rows))
        fitting = (span for span in wanted if profile.longest is None or span.seconds <= profile.longest)
        return await self._ask(islice((span for span in fitting if span not in self._asked), at_most))

    async def _never_counted(self, rows: int) -> bool:
        """Return whether the first or the last order is left out of the whole range's total, which is too small."""
        asker, profile, occupied = self._session.asker, self._session.profile, self._timeline.occupied
        exact = profile.totals != "ignored" and profile.certain_cap is None
        if asker.most >= rows or not exact or profile.longest is not None or not occupied:
            return False
        if (await asker.count(self._whole.start - OUTER, self._whole.stop) or 0) >= rows:
            return False  # late orders, which are counted now
        for second in (occupied[-1].last, occupied[0].first):
            still_there = await asker.count(second - OUTER, second + OUTER)
            if still_there and await self._is_cut(second):
                return True
        return False

    def _proven(self, rows: int) -> int:
        """Return the longest time between two orders that one response counted."""
        occupied = self._timeline.occupied
        if self._session.asker.most >= rows and occupied:
            return occupied[-1].last - occupied[0].first
        return max((extent.last - extent.first for extent in occupied), default=0)

    async def _ask(self, spans: Iterable[Span]) -> bool:
        for span in spans:
            self._asked.add(span)
            try:
                page = await self._session.asker.page(span.start, span.stop - 1)
            except RejectedError:
                continue  # ranges as long as that are refused, not cut
            if not page.rows:
                continue
            seconds = await self._session.off_loop(self._session.zone.seconds, page)
            inside = sorted(second for second in seconds.to_pylist() if second in span)
            if inside and await self._is_cut(inside[0]):
                await self._learn(page)
                return True
        return False

    async def _is_cut(self, second: int) -> bool:
        """Return whether the whole range leaves an order of a second out; else it came meanwhile.

        The range from that second to the end, or from the start to it, must count it; where totals are of no use, show
        it.
        """
        whole, count, profile = self._whole, self._session.asker.count, self._session.profile
        for with_it, without in (
            ((second - OUTER, whole.stop), (second + 1 + OUTER, whole.stop)),
            ((whole.start - OUTER, second + OUTER), (whole.start - OUTER, second - 1 - OUTER)),
        ):
            more, fewer = await count(*with_it), await count(*without)
            if more is None or fewer is None or more == profile.certain_cap:
                return await self._is_hidden(second)
            if more <= fewer:
                return True
        return False

    async def _is_hidden(self, second: int) -> bool:
        """Return whether a first page does not show a second that it must.

        That is the page of what begins with that second, and of what leads to it from the last order before it that is
        held: no other one is between them, as far as is known.
        """
        before, whole = self._timeline.last_before(second), self._whole
        start = whole.start if before is None else before
        must_show = [(second, whole.stop), (start, second + OUTER)]
        shown = [await self._shows(second, *ends) for ends in must_show]
        return False in shown and bool(await self._shows(second, second, second + OUTER))

    async def _shows(self, second: int, first: int, last: int) -> bool | None:
        """Return whether the first page of a range shows a second; None if others may have left no room for it."""
        session, profile = self._session, self._session.profile
        page = await session.asker.page(first - OUTER, last)
        seconds = (await session.off_loop(session.zone.seconds, page)).to_pylist()
        if second in seconds:
            return True
        is_full = page.rows > 0 and page.rows >= profile.fullest
        return None if is_full and (not profile.ascending or seconds[-1] <= first) else False

    async def _learn(self, found: Page | None) -> None:
        """Find the longest range that is answered whole: the longest time between two orders of one response."""
        known = set[int]()
        longest = DAY
        for page in filter(None, (found, self._opening)):
            ends = await self._ends(page)
            known.update(ends)
            longest = max(longest, max(ends, default=0) - min(ends, default=0))
        pairs = sorted(combinations(sorted(known), 2), key=lambda pair: pair[0] - pair[1])
        for first, last in pairs:
            if last - first <= 2 * longest:
                break
            if await self._counts_both(first, last):
                longest = last - first
                break
        profile = self._session.profile
        longest = max(1, min(longest, profile.longest or longest) - 2 * OUTER)
        profile.learn(longest=longest)
        self._session.emit(
            Noticed(
                message="the server leaves orders out of long ranges without a word: "
                f"from now on no more than {longest / DAY:.1f} days are asked for at once"
            )
        )

    async def _ends(self, page: Page) -> set[int]:
        """Return the seconds of the first and the last order that a request shows, as deep as its pages go."""
        ends = {second for second in (page.first, page.last) if second is not None}
        if page.total is not None and page.rows and page.total > page.rows:
            number = min(pages_of(page.total, page.rows), self._session.profile.segment_pages)
            try:
                last = await self._session.asker.page(page.request.first, page.request.last, number)
            except RejectedError:
                return ends
            ends |= {second for second in (last.first, last.last) if second is not None}
        return ends

    async def _counts_both(self, first: int, last: int) -> bool:
        """Return whether a range counts the orders of its first and of its last second."""
        count = self._session.asker.count
        both = await count(first - OUTER, last + OUTER)
        inner = [await count(first + 1 + OUTER, last + OUTER), await count(first - OUTER, last - 1 - OUTER)]
        return both is not None and all(one is not None and one < both for one in inner)
