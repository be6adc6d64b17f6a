"""Cover a range by parallel windows where concurrency pays, by one window where it does not."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from heapq import heappop, heappush

import anyio
from anyio.abc import TaskGroup

from exporter.certify.pages import Page
from exporter.certify.spans import HEAVY, OUTER, Span, pages_of, split, window_count
from exporter.crawl.session import Session
from exporter.crawl.window import WindowExport
from exporter.errors import RejectedError


class Windows:
    """The windows of one run, started in order of time, enough of them at once to keep the request queue full."""

    def __init__(
        self,
        session: Session,
        *,
        in_flight: Callable[[], int],
        fixed: int | None,
        on_opening: Callable[[Page | None], Awaitable[None]],
    ) -> None:
        """`in_flight` gives, once a response came, the number of requests that should be under way.

        `fixed` is how many windows the user wants, if he says; `on_opening` gets the first page of all.
        """
        self._session = session
        self._measure = in_flight
        self._fixed = fixed
        self._on_opening = on_opening
        self._waiting: list[tuple[Span, float | None]] = []
        self._opening: Page | None = None
        self.count = 0
        """How many windows there were."""

    async def run(self, spans: Sequence[Span], opening: Page | None) -> None:
        """Certify and commit the spans; `opening` is page 1 of the first, or of a longer one that starts with it."""
        if not spans:
            return
        self._opening = opening or await self._first_page(spans[0])
        self._in_flight = self._measure()
        self._free = anyio.Semaphore(1 + (self._in_flight - 1) // self._session.group_pages)
        await self._on_opening(self._opening)
        async with anyio.create_task_group() as tasks:
            self._add(tasks, spans)

    def _add(self, tasks: TaskGroup, windows: Sequence[Span], fair: float | None = None) -> None:
        """Queue windows; `fair` is the number of rows that each should have."""
        for window in windows:
            heappush(self._waiting, (window, fair))
            tasks.start_soon(self._next, tasks)

    async def _next(self, tasks: TaskGroup) -> None:
        """Export the earliest window that waits, or its first part if it is split.

        A later one before it might wait for ever for the rows before its own, and keep others out.
        """
        async with self._free:
            window, fair = heappop(self._waiting)
            opening, self._opening = self._opening, None
            page = None if self._is_too_long(window) else opening or await self._first_page(window)
            if page is None:
                longest = self._session.profile.longest or window.seconds
                self._add(tasks, split(window, max(2, math.ceil(window.seconds / (longest + 1)))), fair)
                return
            own, *others = self._parts(window, page, fair)
            self._add(tasks, others, (page.total or 0) / (1 + len(others)))
            self.count += 1
            await WindowExport(self._session, own, page).run()

    def _is_too_long(self, window: Span) -> bool:
        """Return whether the server is known to refuse a range of that length."""
        longest = self._session.profile.longest
        return longest is not None and window.seconds > longest

    async def _first_page(self, window: Span) -> Page | None:
        """Ask for a window's first page; None if the server refuses so long a range."""
        asker = self._session.asker
        if self._is_too_long(window):
            return None
        try:
            page = await asker.page(window.start - OUTER, window.stop, urgent=True)
        except RejectedError:
            if not await asker.refused_as_too_long(window.start, window.stop):
                raise
            return None
        return page

    def _parts(self, window: Span, page: Page, fair: float | None) -> list[Span]:
        """Split a window if concurrency pays, or if it is far heavier than its share."""
        profile = self._session.profile
        if page.total is None or page.first is None:
            return [window]
        if fair is not None:
            count = round(page.total / fair) if page.total > HEAVY * fair else 1
        elif self._fixed is not None:
            count = self._fixed
        else:
            count = window_count(
                pages=pages_of(page.total, profile.page_size),
                in_flight=self._in_flight,
                segment_pages=self._session.group_pages,
            )
        begin = min(max(window.start, page.first), window.stop - 1)
        first, *others = split(Span(begin, window.stop), count)
        return [Span(window.start, first.stop), *others]
