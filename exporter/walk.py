"""Walk one window by hop and fill.

A hop, the last page of the next segment, tells where the segment after it starts; so the hops run ahead while the
pages between are filled in, and no page is asked for that is not needed. What a segment's pages can't prove is asked
again another way (`seek`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import anyio
import pyarrow as pa
import pyarrow.compute as pc
from anyio.abc import TaskGroup

from exporter import columns
from exporter.certify import Certificate, Verdict, judge
from exporter.errors import CertificateError, RejectedError
from exporter.pages import Page
from exporter.plan import OUTER, Span, pages_of
from exporter.seek import Seek
from exporter.work import Work

SEGMENTS_AT_ONCE = 2
"""Segments of one window that are filled at the same time: one being certified, one on the line.

Only one until the first has shown that its pages can be relied on: what a server with unstable ties is asked in vain.
"""

DOUBTFUL_AT_MOST = 2
"""So many doubtful seconds are asked for alone; with more, the whole segment is cheaper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A span of a window between two hops."""

    span: Span
    pad_start: int
    hop: Page
    pages: int
    """The number of the hop's page."""
    rank: int | None
    """How many records the hop's place says lie before the segment's end; None where all its records are at the end."""
    head: tuple[columns.Cells, ...]
    """Records of the span's first second that the segment before has seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A span's pages and what they come to."""

    closed: list[Page]
    beside: list[Page]
    verdict: Verdict

    @property
    def total(self) -> int | None:
        """The one total that all closed answers gave."""
        totals = {page.total for page in self.closed}
        return totals.pop() if len(totals) == 1 else None


class Walk:
    """One window, from its first page to its tail."""

    def __init__(self, work: Work, window: Span, first: Page) -> None:
        """`first` is page 1 of the window, or of a longer one that starts with it."""
        self._work = work
        self._window = window
        self._seek = Seek(work)
        self._room = anyio.Semaphore(1)
        self._more_room = SEGMENTS_AT_ONCE - 1
        self._gaps: list[str] = []
        # The scout: where the next segment starts, what is known of it.
        self._at = window.start
        self._left = first.total
        self._promised: Segment | None = None
        self._first: Page | None = first
        self._head: tuple[columns.Cells, ...] = ()

    async def run(self) -> None:
        """Certify and commit the whole window; what can't be certified goes to `work.missing`."""
        behaviour = self._work.behaviour
        async with anyio.create_task_group() as tasks:
            while self._at < self._window.stop:
                if self._left is None or behaviour.only_seeks():
                    await self._seek.run(Span(self._at, self._window.stop), head=self._head)
                    break
                if self._left <= behaviour.segment_pages * behaviour.page_size:
                    await self._last(tasks, self._left)
                    break
                segment = await self._hop(tasks)
                if segment is not None:
                    await self._room.acquire()
                    if behaviour.only_seeks():
                        self._move(segment.span.start, head=segment.head)
                    else:
                        tasks.start_soon(self._segment, segment)
        if self._gaps and not behaviour.padded:
            raise CertificateError(
                f"the totals of {self._window} leave a gap that nothing explains: {'; '.join(self._gaps)}",
                hint="the server counts orders that it never shows, or shows orders that it does not count",
            )

    @property
    def _pad_start(self) -> int:
        return OUTER if self._at == self._window.start else self._work.behaviour.pad_start

    async def _hop(self, tasks: TaskGroup) -> Segment | None:
        """Ask for the next segment's last page and move to its end; None where the way on must be chosen anew."""
        behaviour, asker = self._work.behaviour, self._work.asker
        pages, size, pad, at = behaviour.segment_pages, behaviour.page_size, self._pad_start, self._at
        try:
            hop = await asker.page(at - pad, self._window.stop, pages, urgent=True)
        except RejectedError:
            behaviour.doubt_depth()
            return None
        self._check_promise(tasks, hop.total)
        self._left = hop.total
        if hop.total is None or hop.total <= pages * size:
            return None  # less is left than was thought, or it is unknown
        if hop.first is None or hop.last is None:
            behaviour.doubt_depth()  # nothing so deep, though there is more
            return None
        if not behaviour.ascending:
            return None
        if hop.last <= at:
            # All these pages are of one second.
            await self._seek.run(Span(at, at + 1), head=self._head)
            self._move(at + 1)
            return None
        rank = (pages - 1) * size + hop.before_last if hop.before_last else None
        segment = Segment(
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

    def _move(self, at: int, *, head: tuple[columns.Cells, ...] = (), promised: Segment | None = None) -> None:
        self._at, self._head, self._promised, self._first = at, head, promised, None

    def _check_promise(self, tasks: TaskGroup, total: int | None) -> None:
        """Start to look into it if the totals on both sides of a seam don't add up."""
        promised, self._promised = self._promised, None
        if promised is None or total is None or self._work.behaviour.padded or total == self._left:
            return
        tasks.start_soon(self._explain, promised)

    async def _explain(self, segment: Segment) -> None:
        """Count both sides of a seam and the whole; when they never add up, the gap is one of the window's."""
        start, seam, last = segment.span.start - segment.pad_start, segment.span.stop, self._window.stop
        counts = await self._work.asker.find_cap(start, seam, last)
        if counts is not None and self._work.behaviour.cap is None:
            whole, below, above = counts
            self._gaps.append(f"{below} orders in {segment.span}, {above} after it, {whole} in all")

    async def _segment(self, segment: Segment) -> None:
        """Fill one segment, certify and commit it, or repair it."""
        try:
            filled = await self._fill(segment)
            await self._settle(segment.span, filled, rank=segment.rank, head=segment.head)
        finally:
            for _ in range(1 + self._more_room):
                self._room.release()
            self._more_room = 0

    async def _fill(self, segment: Segment) -> Filled | None:
        """Ask for what a segment still lacks; None if the server refuses it."""
        behaviour, span = self._work.behaviour, segment.span
        first = span.start - segment.pad_start
        if behaviour.pad_end or segment.rank is None:
            closed = await self._pages(first, span.stop, range(1, segment.pages + 1))
            beside = []
        else:
            beside = [segment.hop]
            closed = await self._pages(first, span.stop - 1, range(1, segment.pages))
        if closed is None:
            return None
        return await self._judge(span, closed, beside, rank=segment.rank, head=segment.head)

    async def _last(self, tasks: TaskGroup, left: int) -> None:
        """Certify what is left of the window, then ask its tail."""
        span, pad, head = Span(self._at, self._window.stop), self._pad_start, self._head
        page = self._first
        if page is None or page.question.last != span.stop:
            page = await self._work.asker.page(span.start - pad, span.stop)
        self._check_promise(tasks, page.total)
        rows = max(left, page.total or 0)
        rest = await self._pages(span.start - pad, span.stop, range(2, pages_of(rows, max(1, page.rows)) + 1))
        filled = None if rest is None else await self._judge(span, [page, *rest], [], rank=None, head=head)
        if filled is None or filled.verdict.doubt is not None:
            await self._settle(span, filled, rank=None, head=head)
            return
        verdict = filled.verdict
        if not verdict.held or verdict.held > verdict.below:
            # Nothing at all, or records beyond the end were seen: there is no tail to ask.
            await self._commit(span, filled)
            return
        if not verdict.table.num_rows:
            await self._seek.run(span)
            return
        tail = columns.seconds(verdict.table)[-1].as_py()
        before = verdict.table.filter(pc.less(columns.seconds(verdict.table), tail))
        if tail > span.start:
            await self._commit(Span(span.start, tail), filled, before)
        heads = tuple(page.head for page in filled.closed if page.last == tail)
        rows = await self._seek.run(Span(tail, span.stop), head=heads)
        if before.num_rows + rows > verdict.table.num_rows:
            await self._work.asker.find_cap(span.start - pad, tail, span.stop)

    async def _pages(self, first: int, last: int, numbers: Iterable[int]) -> list[Page] | None:
        """Ask for several pages of one question at once; None if the server refuses one of them."""
        pages: dict[int, Page] = {}
        refused = False

        async def ask(number: int) -> None:
            nonlocal refused
            try:
                pages[number] = await self._work.asker.page(first, last, number)
            except RejectedError:
                refused = True

        async with anyio.create_task_group() as tasks:
            for number in numbers:
                tasks.start_soon(ask, number)
        return None if refused else [pages[number] for number in sorted(pages)]

    async def _judge(
        self,
        span: Span,
        closed: list[Page],
        beside: list[Page],
        *,
        rank: int | None,
        head: tuple[columns.Cells, ...],
    ) -> Filled:
        """Judge a span; ask a doubtful second alone where that may settle it."""
        look = partial(judge, span, self._work.zone, closed=closed, beside=beside, rank=rank, head=head)
        verdict = await self._work.off_loop(look)
        if not verdict.short or not 0 < len(verdict.doubtful) <= DOUBTFUL_AT_MOST:
            return Filled(closed=closed, beside=beside, verdict=verdict)
        behaviour = self._work.behaviour
        snapshots = [
            await self._work.asker.page(second - behaviour.pad_start, second + behaviour.pad_end)
            for second in verdict.doubtful
        ]
        if all([await self._work.is_whole(page) for page in snapshots]):
            settled = await self._work.off_loop(partial(look, snapshots=snapshots))
            if settled.doubt is None:
                behaviour.stable_ties = behaviour.stable_ties and not settled.repeats
                self._work.note_repair(span, str(verdict.doubt), "the doubtful second asked alone")
                return Filled(closed=closed, beside=[*beside, *snapshots], verdict=settled)
        return Filled(closed=closed, beside=beside, verdict=verdict)

    async def _settle(
        self, span: Span, filled: Filled | None, *, rank: int | None, head: tuple[columns.Cells, ...]
    ) -> None:
        """Commit a span that is certified; certify it as a seek if it is not, and learn why it was not."""
        if filled is not None and filled.verdict.doubt is None:
            await self._commit(span, filled)
            return
        reason = filled.verdict.doubt if filled else "the server refused a page of it"
        rows = await self._seek.run(span, head=head, reason=reason)
        self._work.note_repair(span, str(reason), "seek")
        if filled is not None:
            self._learn(filled, rows, rank)

    def _learn(self, filled: Filled, rows: int, rank: int | None) -> None:
        """Compare a span's pages with the `rows` that snapshots gave: is it the server's way, or did orders change."""
        behaviour, verdict, total = self._work.behaviour, filled.verdict, filled.total
        behaviour.ascending = behaviour.ascending and verdict.ascending
        if not verdict.ascending or total is None or rows == verdict.table.num_rows:
            return
        below = rows + verdict.below - verdict.table.num_rows
        shown = below + verdict.held - verdict.below
        if rank is not None and total < below == rank:
            behaviour.pad_end = 1  # a closed question leaves out records of its last second
        elif total == shown and rank is not None and abs(rank - below) * 2 >= behaviour.page_size:
            behaviour.doubt_depth()  # a deep page was not the page that was asked for
        elif total == shown and rank in {None, below}:
            behaviour.stable_ties = False

    async def _commit(self, span: Span, filled: Filled, table: pa.Table | None = None) -> None:
        rows = filled.verdict.table if table is None else table
        pages = [*filled.closed, *filled.beside]
        moments = [page.received for page in pages]
        certificate = Certificate(
            span=span,
            rows=rows.num_rows,
            totals=tuple(page.total for page in filled.closed if page.total is not None),
            requests=len(pages),
            fetched_from=min(moments),
            fetched_to=max(moments),
        )
        await self._work.commit(certificate, rows)
