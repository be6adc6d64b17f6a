"""Prove a planned segment by its pages: interior pages of a closed range, and the boundary page that they lead to.

It is the cheapest strategy: no page is asked for that the result does not need, and all of a segment at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import anyio

from exporter import columns
from exporter.certify.join import OPEN, Boundary
from exporter.certify.judge import Verdict, judge
from exporter.certify.pages import Page
from exporter.certify.spans import Span
from exporter.crawl.proof import Proof, Way
from exporter.crawl.session import Doubt, Session
from exporter.errors import RejectedError

DOUBTFUL_AT_MOST = 2
"""Doubtful seconds that are asked for alone; with more of them, the whole segment is cheaper."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A segment and how its pages are asked for."""

    span: Span
    pad_start: int
    pages: int
    """The pages of the span, the boundary page included, if there is one."""
    boundary: Boundary = OPEN
    """What is known of the span's first second."""
    boundary_page: Page | None = None
    """The last page, of a longer range: the next segment starts at its last second."""
    rank: int | None = None
    """The records that the boundary page's place says are before the segment's end; None if it has none there."""
    first: Page | None = None
    """The first page, if it has come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The pages of a plan and what they come to."""

    closed: list[Page]
    overlapping: list[Page]
    verdict: Verdict

    @property
    def total(self) -> int | None:
        """The one total that all closed responses gave."""
        totals = {page.total for page in self.closed}
        return totals.pop() if len(totals) == 1 else None


class Doubtful(Doubt):
    """Pages don't prove their segment; `found` is what they come to, None if the server refused one of them."""

    def __init__(self, reason: str, found: Found | None) -> None:
        super().__init__(reason)
        self.found = found


@dataclass(frozen=True, kw_only=True, slots=True)
class ProofByPages(Proof):
    """Pages that prove their segment."""

    reaches_over: bool
    """Records beyond the segment's end came, or none at all: there is nothing left to ask for at its end."""


class ByPages:
    """The pages of planned segments."""

    way: Way = "pages"

    def __init__(self, session: Session) -> None:
        self._session = session

    async def prove(self, plan: Plan) -> ProofByPages:
        """Return what a plan's pages prove; raise Doubtful if that is not the whole segment."""
        found = await self._ask(plan)
        if found is None:
            raise Doubtful("the server refused a page of it", None)
        verdict = found.verdict
        if verdict.doubt is not None:
            raise Doubtful(verdict.doubt, found)
        return ProofByPages(
            span=plan.span,
            table=verdict.table,
            way=self.way,
            closed=found.closed,
            overlapping=found.overlapping,
            reaches_over=not verdict.held or verdict.held > verdict.below,
        )

    async def _ask(self, plan: Plan) -> Found | None:
        """Ask for what a plan still lacks; None if the server refuses it.

        The cases:
        - the boundary page says where the segment ends, and bounds are inclusive as far as known: the range ends in the
          last second before that;
        - else the range ends with the first second after the segment, and its pages are all of it.
        """
        profile, span = self._session.profile, plan.span
        first, by_rank = span.start - plan.pad_start, plan.rank is not None and not profile.pad_end
        last = span.stop - 1 if by_rank else span.stop
        have = [plan.first] if plan.first is not None else []
        count = plan.pages - 1 if by_rank else plan.pages
        rest = await self._pages(first, last, range(1 + len(have), count + 1))
        if rest is None:
            return None
        overlapping = [plan.boundary_page] if by_rank and plan.boundary_page is not None else []
        found = await self._judge(plan, [*have, *rest], overlapping)
        if by_rank and found.closed and found.verdict.doubt is None and not await self._counts(found, last):
            profile.learn(pad_end=1)
            return await self._ask(plan)
        return found

    async def _counts(self, found: Found, second: int) -> bool:
        """Return whether the closed range counted its last second; ask if no response has shown that, nor a total will.

        Otherwise a late order could make up the total where the bound leaves out one of that second.
        """
        session = self._session
        if session.profile.end_in or session.final_check:
            return True
        if columns.place_of(found.verdict.table, second) == len(found.verdict.table):
            return True
        await session.asker.page(second, second)
        return session.profile.end_in

    async def _pages(self, first: int, last: int, numbers: Iterable[int]) -> list[Page] | None:
        """Ask for several pages of one range at once; None if the server refuses one of them."""
        pages: dict[int, Page] = {}
        refused = False

        async def ask(number: int) -> None:
            nonlocal refused
            try:
                pages[number] = await self._session.asker.page(first, last, number)
            except RejectedError:
                refused = True

        async with anyio.create_task_group() as tasks:
            for number in numbers:
                tasks.start_soon(ask, number)
        return None if refused else [pages[number] for number in sorted(pages)]

    async def _judge(self, plan: Plan, closed: list[Page], overlapping: list[Page]) -> Found:
        """Judge the pages; ask a doubtful second alone where that may settle it."""
        session, profile, rank = self._session, self._session.profile, plan.rank
        judged = partial(
            judge,
            plan.span,
            session.zone,
            closed=closed,
            overlapping=overlapping,
            rank=rank,
            boundary=plan.boundary,
        )
        verdict = await session.off_loop(judged)
        total = closed[0].total if len(closed) > 1 else None
        if total is not None and profile.may_be_cap(total):
            verdict = replace(verdict, doubt=verdict.doubt or f"totals may stop at {total}: none was larger")
        found = Found(closed=closed, overlapping=overlapping, verdict=verdict)
        if not verdict.short or not 0 < len(verdict.doubtful) <= DOUBTFUL_AT_MOST:
            return found
        snapshots = [
            await session.asker.page(second - profile.pad_start, second + profile.pad_end)
            for second in verdict.doubtful
        ]
        if all([await session.is_whole(page) for page in snapshots]):
            settled = await session.off_loop(partial(judged, snapshots=snapshots))
            if settled.doubt is None:
                profile.learn(stable_ties=not settled.repeats)
                session.note_repair(plan.span, str(verdict.doubt), "the doubtful second asked alone")
                return Found(closed=closed, overlapping=[*overlapping, *snapshots], verdict=settled)
        return found

    def compare(self, plan: Plan, doubt: Doubtful, rows: int) -> None:
        """Compare a plan's pages with the `rows` that another strategy gave, and learn why they differ.

        The cases:
        - the boundary page's place counts more than the closed range: a closed range leaves out its last second;
        - the totals agree, but the boundary page is half a page off: deep pages are not those that were asked for;
        - the totals and the place agree, but records were missing or doubled: ties are unstable;
        - else orders came or went.
        """
        profile, found, rank = self._session.profile, doubt.found, plan.rank
        if found is None:
            return
        verdict, total = found.verdict, found.total
        profile.learn(ascending=verdict.ascending)
        if not verdict.ascending or total is None or rows == verdict.table.num_rows:
            return
        below = rows + verdict.below - verdict.table.num_rows
        shown = below + verdict.held - verdict.below
        if rank is not None and total < below == rank:
            profile.learn(pad_end=1)
        elif total == shown and rank is not None and abs(rank - below) * 2 >= profile.page_size:
            profile.learn(segment_pages=profile.segment_pages // 2)
        elif total == shown and rank in {None, below}:
            profile.learn(stable_ties=False)
