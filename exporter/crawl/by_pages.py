"""Fill a segment: ask for the pages that a hop leaves out, certify them, or find another way and learn why.

What a segment's pages can't prove is asked again: a doubtful second alone, else the whole span as a seek.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import anyio
import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate, Verdict, judge
from exporter.certify.pages import Page
from exporter.certify.spans import Span
from exporter.crawl.context import CrawlContext
from exporter.crawl.seek import Seek
from exporter.errors import RejectedError

DOUBTFUL_AT_MOST = 2
"""So many doubtful seconds are asked for alone; with more, the whole segment is cheaper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSegment:
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


class SegmentCrawl:
    """Fills segments and the spans that windows end with."""

    def __init__(self, work: CrawlContext, seek: Seek) -> None:
        self._work = work
        self._seek = seek

    async def segment(self, segment: PlannedSegment) -> None:
        """Fill one segment, certify and commit it, or repair it."""
        filled = await self._fill(segment)
        await self.settle(segment.span, filled, rank=segment.rank, head=segment.head)

    async def _fill(self, segment: PlannedSegment) -> Filled | None:
        """Ask for what a segment still lacks; None if the server refuses it."""
        profile, span = self._work.profile, segment.span
        first = span.start - segment.pad_start
        if profile.pad_end or segment.rank is None:
            closed = await self.pages(first, span.stop, range(1, segment.pages + 1))
            beside = []
        else:
            beside = [segment.hop]
            closed = await self.pages(first, span.stop - 1, range(1, segment.pages))
        if closed is None:
            return None
        filled = await self.judge(span, closed, beside, rank=segment.rank, head=segment.head)
        if beside and closed and filled.verdict.doubt is None and not await self._ends_with(filled, span.stop - 1):
            profile.learn(pad_end=1)
            return await self._fill(segment)
        return filled

    async def _ends_with(self, filled: Filled, second: int) -> bool:
        """Tell whether the closed question counted its last second; ask if no answer has shown that, nor a total will.

        Otherwise a late order could make good the total where the bound leaves out one of that second.
        """
        profile = self._work.profile
        if profile.end_in or self._work.final_check:
            return True
        if columns.place_of(filled.verdict.table, second) == len(filled.verdict.table):
            return True
        await self._work.asker.page(second, second)
        return profile.end_in

    async def pages(self, first: int, last: int, numbers: Iterable[int]) -> list[Page] | None:
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

    async def judge(
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
        total = closed[0].total if len(closed) > 1 else None
        if total is not None and self._work.profile.may_be_cap(total):
            verdict = replace(verdict, doubt=verdict.doubt or f"totals may stop at {total}: none was larger")
        if not verdict.short or not 0 < len(verdict.doubtful) <= DOUBTFUL_AT_MOST:
            return Filled(closed=closed, beside=beside, verdict=verdict)
        profile = self._work.profile
        snapshots = [
            await self._work.asker.page(second - profile.pad_start, second + profile.pad_end)
            for second in verdict.doubtful
        ]
        if all([await self._work.is_whole(page) for page in snapshots]):
            settled = await self._work.off_loop(partial(look, snapshots=snapshots))
            if settled.doubt is None:
                profile.learn(stable_ties=not settled.repeats)
                self._work.note_repair(span, str(verdict.doubt), "the doubtful second asked alone")
                return Filled(closed=closed, beside=[*beside, *snapshots], verdict=settled)
        return Filled(closed=closed, beside=beside, verdict=verdict)

    def doubt(self, filled: Filled | None) -> str | None:
        """Return why pages don't certify their span as things are now; None if they do."""
        if filled is None:
            return "the server refused a page of it"
        if filled.verdict.doubt is None and not self._work.profile.allows("pages"):
            return "another window found that pages can't be relied on"
        return filled.verdict.doubt

    async def settle(
        self, span: Span, filled: Filled | None, *, rank: int | None, head: tuple[columns.Cells, ...]
    ) -> None:
        """Commit a span that is certified; certify it as a seek if it is not, and learn why it was not."""
        reason = self.doubt(filled)
        if filled is not None and reason is None:
            await self.commit(span, filled)
            return
        rows = await self._seek.run(span, head=head, reason=reason)
        self._work.note_repair(span, str(reason), "seek")
        if filled is not None:
            self._learn(filled, rows, rank)

    def _learn(self, filled: Filled, rows: int, rank: int | None) -> None:
        """Compare a span's pages with the `rows` that snapshots gave: is it the server's way, or did orders change."""
        profile, verdict, total = self._work.profile, filled.verdict, filled.total
        profile.learn(ascending=verdict.ascending)
        if not verdict.ascending or total is None or rows == verdict.table.num_rows:
            return
        below = rows + verdict.below - verdict.table.num_rows
        shown = below + verdict.held - verdict.below
        if rank is not None and total < below == rank:
            profile.learn(pad_end=1)  # a closed question leaves out records of its last second
        elif total == shown and rank is not None and abs(rank - below) * 2 >= profile.page_size:
            profile.learn(segment_pages=profile.segment_pages // 2)  # a deep page was not the page that was asked for
        elif total == shown and rank in {None, below}:
            profile.learn(stable_ties=False)

    async def commit(self, span: Span, filled: Filled, table: pa.Table | None = None) -> None:
        """Commit a span on the evidence of its pages; `table` are its rows where they are not all that came."""
        rows = filled.verdict.table if table is None else table
        certificate = Certificate.of(span, rows, closed=filled.closed, beside=filled.beside)
        await self._work.commit(certificate, rows)
