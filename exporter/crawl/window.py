"""Walk one window by hop and fill.

A hop, the last page of the next segment, tells where the segment after it starts; so the hops run ahead while the
pages between are filled in (`fill`), and no page is asked for that is not needed.
"""

from __future__ import annotations

from math import inf

import anyio
import pyarrow as pa
from anyio.abc import TaskGroup

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page
from exporter.certify.spans import OUTER, Span, pages_of
from exporter.crawl.context import CrawlContext
from exporter.crawl.seek import Seek
from exporter.crawl.segment import Filled, PlannedSegment, SegmentCrawl
from exporter.errors import CertificateError, RejectedError

SEGMENTS_AT_ONCE = 2
"""Segments of one window that are filled at the same time: one being certified, one on the line.

Only one until the first has shown that its pages can be relied on: what a server with unstable ties is asked in vain.
"""


class WindowCrawl:
    """One window, from its first page to its tail."""

    def __init__(self, work: CrawlContext, window: Span, first: Page) -> None:
        """`first` is page 1 of the window, or of a longer one that starts with it."""
        self._work = work
        self._window = window
        self._seek = Seek(work)
        self._fill = SegmentCrawl(work, self._seek)
        self._room = anyio.Semaphore(1)
        self._more_room = SEGMENTS_AT_ONCE - 1
        self._gaps: list[str] = []
        # The scout: where the next segment starts, what is known of it.
        self._at = window.start
        self._left = first.total
        self._promised: PlannedSegment | None = None
        self._first: Page | None = first
        self._head: tuple[columns.Cells, ...] = ()

    async def run(self) -> None:
        """Certify and commit the whole window; what can't be certified goes to `work.missing`."""
        profile = self._work.profile
        async with anyio.create_task_group() as tasks:
            while self._at < self._window.stop:
                in_reach = profile.segment_pages * profile.page_size
                if self._left is None or profile.only_seeks() or (profile.cap or inf) <= self._left <= in_reach:
                    await self._seek.run(Span(self._at, self._window.stop), head=self._head, first=self._first)
                    break
                page, segment = self._first, None
                if self._left > in_reach:
                    segment = await self._hop(tasks)
                elif page is None or page.request.last != self._window.stop:
                    await self._ask_first(tasks)
                elif page.rows < self._left and profile.may_be_cap(self._left):
                    segment = await self._leave_cap(page)
                else:
                    await self._last(page, self._left)
                    break
                if segment is not None:
                    await self._room.acquire()
                    if profile.only_seeks():
                        self._move(segment.span.start, head=segment.head)
                    else:
                        tasks.start_soon(self._segment, segment)
        if self._gaps and not profile.padded:
            raise CertificateError(
                f"the totals of {self._window} leave a gap that nothing explains: {'; '.join(self._gaps)}",
                hint="the server counts orders that it never shows, or shows orders that it does not count",
            )

    @property
    def _pad_start(self) -> int:
        return OUTER if self._at == self._window.start else self._work.profile.pad_start

    async def _hop(self, tasks: TaskGroup) -> PlannedSegment | None:
        """Ask for the next segment's last page and move to its end; None where the way on must be chosen anew."""
        profile, asker = self._work.profile, self._work.asker
        pages, size, pad, at = profile.segment_pages, profile.page_size, self._pad_start, self._at
        try:
            hop = await asker.page(at - pad, self._window.stop, pages, urgent=True)
        except RejectedError:
            profile.learn(segment_pages=pages // 2)
            return None
        self._check_promise(tasks, hop.total)
        self._left = hop.total
        if hop.total is None or hop.total <= pages * size:
            return None  # less is left than was thought, or it is unknown
        if hop.first is None or hop.last is None:
            profile.learn(segment_pages=pages // 2)  # nothing so deep, though there is more
            return None
        if not profile.ascending:
            return None
        if hop.last <= at:
            # All these pages are of one second.
            await self._seek.run(Span(at, at + 1), head=self._head)
            self._move(at + 1)
            return None
        rank = (pages - 1) * size + hop.before_last if hop.before_last else None
        segment = PlannedSegment(
            span=Span(at, min(hop.last, self._window.stop)),
            pad_start=pad,
            hop=hop,
            pages=pages,
            rank=rank,
            head=self._head,
        )
        self._left = hop.total - (rank or (pages - 1) * size)
        self._move(hop.last, head=(hop.head,), promised=None if rank is None else segment)
        return segment

    def _move(self, at: int, *, head: tuple[columns.Cells, ...] = (), promised: PlannedSegment | None = None) -> None:
        self._at, self._head, self._promised, self._first = at, head, promised, None

    def _check_promise(self, tasks: TaskGroup, total: int | None) -> None:
        """Start to look into it if the totals on both sides of a seam don't add up."""
        promised, self._promised = self._promised, None
        if promised is None or total is None or self._work.profile.padded or total == self._left:
            return
        tasks.start_soon(self._explain, promised)

    async def _explain(self, segment: PlannedSegment) -> None:
        """Count both sides of a seam and the whole; when they never add up, the gap is one of the window's."""
        start, seam, last = segment.span.start - segment.pad_start, segment.span.stop, self._window.stop
        counts = await self._work.asker.find_cap(start, seam, last)
        if counts is not None and self._work.profile.cap is None:
            whole, below, above = counts
            self._gaps.append(f"{below} orders in {segment.span}, {above} after it, {whole} in all")

    async def _segment(self, segment: PlannedSegment) -> None:
        """Fill one segment, certify and commit it, or repair it."""
        try:
            await self._fill.segment(segment)
        finally:
            for _ in range(1 + self._more_room):
                self._room.release()
            self._more_room = 0

    async def _ask_first(self, tasks: TaskGroup) -> None:
        """Ask for page 1 of what is left."""
        page = await self._work.asker.page(self._at - self._pad_start, self._window.stop)
        self._check_promise(tasks, page.total)
        self._left, self._first = page.total, page

    async def _leave_cap(self, page: Page) -> PlannedSegment | None:
        """Take a first page as a segment of its own, if what comes after it has the smaller total that it must have.

        A total that totals may stop at would not tell of an order that goes between two pages.
        """
        at, stop, end = self._at, self._window.stop, page.last or 0
        if page.total and page.before_last and at < end <= stop and not self._work.profile.padded:
            rest = await self._work.asker.page(end, stop)
            if rest.total == page.total - page.before_last:
                alone = PlannedSegment(
                    span=Span(at, end),
                    pad_start=self._pad_start,
                    hop=page,
                    pages=1,
                    rank=page.before_last,
                    head=self._head,
                )
                self._move(end, head=(page.head,))
                self._left, self._first = rest.total, rest
                return alone
        await self._seek.run(Span(at, stop), head=self._head, first=page)
        self._move(stop)
        return None

    async def _last(self, page: Page, left: int) -> None:
        """Certify what is left of the window, of which `page` is the first page, then ask its tail."""
        span, pad, head = Span(self._at, self._window.stop), self._pad_start, self._head
        rows = max(left, page.total or 0)
        rest = await self._fill.pages(span.start - pad, span.stop, range(2, pages_of(rows, max(1, page.rows)) + 1))
        filled = None if rest is None else await self._fill.judge(span, [page, *rest], [], rank=None, head=head)
        if filled is None or self._fill.doubt(filled) is not None:
            await self._fill.settle(span, filled, rank=None, head=head)
            return
        verdict = filled.verdict
        if not verdict.held or verdict.held > verdict.below:
            # Nothing at all, or records beyond the end were seen: there is no tail to ask.
            await self._fill.commit(span, filled)
            return
        if not verdict.table.num_rows:
            await self._seek.run(span)
            return
        await self._tail(span, filled)

    async def _tail(self, span: Span, filled: Filled) -> None:
        """Seek from the last second held; commit what lies before it if no more comes than the total promised.

        If more comes, totals stop somewhere: what lies before has a total that would not tell of an order that went
        while its pages were asked, so it is asked again.
        """
        table = filled.verdict.table
        last = columns.instants(table)[-1].as_py() // columns.SECOND
        earlier = table[: columns.place_of(table, last)]
        promised = len(table) - len(earlier)
        before = Span(span.start, last)
        pending = last > span.start

        async def commit(certificate: Certificate, rows: pa.Table) -> None:
            nonlocal pending
            if pending:
                pending = False
                more = "more came than the total promised" if rows.num_rows > promised else None
                if reason := more or self._fill.doubt(filled):
                    await self._seek.run(before, head=self._head, reason=reason)
                else:
                    await self._fill.commit(before, filled, earlier)
            await self._work.commit(certificate, rows)

        heads = tuple(page.head for page in filled.closed if page.last == last)
        rows = await Seek(self._work, commit).run(Span(last, span.stop), head=heads)
        if pending:
            await self._seek.run(before, head=self._head, reason="its tail could not be certified")
        if rows > promised:
            await self._work.asker.find_cap(span.start, last, span.stop)
