"""Ask for pages and counts, and learn what the responses say of the server."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from exporter.certify.filters import check_filters
from exporter.certify.pages import Page, Times, page_of, times_of
from exporter.certify.profile import ServerProfile
from exporter.certify.spans import OUTER, Span
from exporter.errors import RejectedError
from exporter.vendor.orders import Filters, PageRequest, PageResponse

COUNTS = 3
"""How often counts are taken that don't add up."""


class Ask(Protocol):
    """One request, paced and retried, to its response."""

    def __call__(
        self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False
    ) -> Awaitable[PageResponse]:
        """Return the response; urgent requests go before the others.

        `new_connection`: none that was used before, since the server may tie a connection to one of its replicas.
        """
        ...


class Asker:
    """What an export asks through: the query's filters, the page size, the server profile. Seconds are inclusive."""

    def __init__(
        self, ask: Ask, *, filters: Filters, page_size: int, profile: ServerProfile, language: str = "en"
    ) -> None:
        self._ask = ask
        self.filters = filters
        self.profile = profile
        self._page_size = page_size
        self._language = language
        self.requests = 0
        """Requests of this run, each counted once however many attempts it took."""
        self.whole: Span | None = None
        self.most = 0
        """The largest total that a response gave of the whole range, or of it with the second on either side."""
        self.counted: list[Page] = []
        """Pages of one order that came with totals of the whole range."""
        self.saw_outside = False
        """Some page showed orders outside the whole range, or may have in an earlier run."""

    async def page(
        self, first: int, last: int, page: int = 1, *, filters: Filters | None = None, urgent: bool = False
    ) -> Page:
        """Ask for one page of `[first, last]`."""
        return self.shown(await self.response(first, last, page, filters=filters, urgent=urgent))

    def shown(self, response: PageResponse) -> Page:
        """Return a response as a page, and learn from the times that it shows."""
        times = self._learn(response)
        return page_of(response, times, self.profile.total(response))

    def _learn(self, response: PageResponse) -> Times:
        asked, times = response.request, times_of(response)
        self.note_total(asked, self.profile.total(response))
        if times.first is None or times.last is None:
            return times
        self.profile.learn(
            ascending=times.first <= times.last,
            start_in=times.first == asked.first,
            end_in=times.last == asked.last,
        )
        if self.whole and not (times.first in self.whole and times.last in self.whole):
            self.saw_outside = True
        return times

    def note_total(self, asked: PageRequest, total: int | None) -> None:
        """Remember the largest total of the whole range."""
        if total is not None and self._is_of_whole(asked):
            self.most = max(self.most, total)

    def _is_of_whole(self, asked: PageRequest) -> bool:
        whole = self.whole
        if whole is None or asked.filters != self.filters:
            return False
        return 0 <= whole.start - asked.first <= OUTER and 0 <= asked.last - (whole.stop - 1) <= OUTER

    async def response(
        self, first: int, last: int, page: int = 1, *, filters: Filters | None = None, urgent: bool = False
    ) -> PageResponse:
        """Ask for one page of `[first, last]`; return it as it came."""
        request = PageRequest(
            first=first, last=last, page=page, page_size=self._page_size, filters=filters or self.filters
        )
        return await self._send(request, urgent=urgent)

    async def _send(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        self.requests += 1
        response = await self._ask(request, urgent=urgent, new_connection=new_connection)
        self.profile.observe(response)
        check_filters(response, language=self._language)
        return response

    async def find_cap(self, first: int, boundary: int, last: int) -> tuple[int, int, int] | None:
        """Count `[first, last]` and its two parts at a boundary until they add up, three times at most.

        Return None when they do, or can't be counted: orders came or went meanwhile. Return the three counts if they
        never did; when they were the same each time and the whole less than its parts, totals stop at that number.
        """
        seen: list[tuple[int, int, int]] = []
        for _ in range(COUNTS):
            whole, below, above = (
                await self.count(first, last),
                await self.count(first, boundary - 1),
                await self.count(boundary, last),
            )
            if whole is None or below is None or above is None or whole == below + above:
                return None
            seen.append((whole, below, above))
        whole, below, above = seen[-1]
        if len(set(seen)) == 1 and max(below, above) <= whole < below + above:
            self.profile.learn(totals="capped", cap=whole)
        return whole, below, above

    async def refused_as_too_long(self, first: int, last: int) -> bool:
        """Return whether a refused range was too long; then only half of it is asked for at once, from now on."""
        profile, seconds = self.profile, last - first
        if seconds < 2:
            return False
        if profile.longest is None:
            await self.page(first, first)  # refused as well: it is not for its length
        profile.learn(longest=seconds // 2)
        return True

    async def count(
        self,
        first: int,
        last: int,
        *,
        page: int = 1,
        filters: Filters | None = None,
        new_connection: bool = False,
    ) -> int | None:
        """Ask for the number of orders in `[first, last]`; None where the server's totals can't be used.

        Any page shows the total; another one is another request to a server that chooses a replica by its content.

        A range longer than the server accepts is counted in parts that share two seconds, which are then counted
        alone: so however the bounds are read, no order is counted twice or not at all.
        """
        total, start, end = 0, first, first - 1
        while end < last:
            before, end = end, min(start + (self.profile.longest or last - start), last)
            try:
                part = await self._total(start, end, page, filters=filters, new_connection=new_connection)
            except RejectedError:
                if not await self.refused_as_too_long(start, end):
                    raise
                end = before
                continue
            shared: int | None = 0
            if before >= first:
                shared = await self._total(start, before, filters=filters, new_connection=new_connection)
            if part is None or shared is None:
                return None
            total += part - shared
            start = max(end - 1, start + 1)
        return total

    async def _total(
        self,
        first: int,
        last: int,
        page: int = 1,
        *,
        filters: Filters | None = None,
        new_connection: bool = False,
    ) -> int | None:
        request = PageRequest(first=first, last=last, page=page, page_size=1, filters=filters or self.filters)
        response = await self._send(request, urgent=True, new_connection=new_connection)
        times, total = self._learn(response), self.profile.total(response)
        if response.records and self._is_of_whole(request):
            self.counted.append(page_of(response, times, total))
        return total
