"""Export one window: plan its segments from boundary page to boundary page, then certify what is left at its end.

A boundary page, the last page of the next segment, shows where the segment after it starts. So boundary pages are asked
for ahead, while the interior pages of the segments before are on their way (`by_pages`), and no page is asked for that
is not needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import anyio
from anyio.abc import TaskGroup

from exporter import columns
from exporter.certify.join import OPEN, Boundary
from exporter.certify.pages import Page
from exporter.certify.spans import OUTER, Span, pages_of
from exporter.crawl.by_pages import Doubtful, Plan, ProofByPages
from exporter.crawl.ladder import Ladder
from exporter.crawl.proof import Rest
from exporter.crawl.session import Session
from exporter.errors import CertificateError, RejectedError

SEGMENTS_AT_ONCE = 2
"""Segments of one window whose pages are under way at the same time: one being certified, one being asked for.

Only one until the first has shown that its pages can be relied on: what a server with unstable ties is asked for
nothing.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Where a window has got to: what is left of it, and what is known of that."""

    left: Span
    total: int | None
    """The total of what is left, as far as it is known."""
    boundary: Boundary = OPEN
    first: Page | None = None
    """Page 1 of what is left, or of a longer range that starts with it."""
    before: Span | None = None
    """What was asked for as the segment before, if the place of its boundary page gives `total`."""

    @property
    def rest(self) -> Rest:
        """What is left, for the ladder."""
        return Rest(span=self.left, boundary=self.boundary, first=self.first)

    def at(self, second: int, *, total: int | None = None, boundary: Boundary = OPEN) -> Cursor:
        """Return the cursor of what starts at a second, if no more is known of it."""
        return Cursor(left=Span(second, self.left.stop), total=total, boundary=boundary)


class WindowExport:
    """One window, from its first page to its tail check."""

    def __init__(self, session: Session, window: Span, first: Page) -> None:
        """`first` is page 1 of the window, or of a longer one that starts with it."""
        self._session = session
        self._window = window
        self._ladder = Ladder(session)
        self._cursor = Cursor(left=window, total=first.total, first=first)
        self._free = anyio.Semaphore(1)
        self._more_free = SEGMENTS_AT_ONCE - 1
        self._gaps: list[str] = []

    async def run(self) -> None:
        """Certify and commit the whole window; what can't be certified goes to `session.missing`."""
        async with anyio.create_task_group() as tasks:
            while self._cursor.left.seconds > 0:
                plan = await self._next(tasks)
                if plan is not None:
                    await self._free.acquire()
                    if self._session.profile.only_seeks():
                        start = plan.span.start
                        self._cursor = self._cursor.at(start, boundary=plan.boundary)
                    else:
                        tasks.start_soon(self._certify, plan)
        if self._gaps and not self._session.profile.padded:
            raise CertificateError(
                f"the totals of {self._window} leave a gap that nothing explains: {'; '.join(self._gaps)}",
                hint="the server counts orders that it never shows, or shows orders that it does not count",
            )

    async def _next(self, tasks: TaskGroup) -> Plan | None:
        """Move the cursor by one request or to the end; return a segment that is left to certify, if one was passed.

        The cases, in this order:
        - no total, first pages only, or a total that may be where totals stop: the ladder certifies the rest;
        - more than a segment is left: the boundary page of the next segment;
        - the first page of what is left has not come, or is of a longer range: ask for it;
        - it shows fewer than a page, though more is promised: pages as short would be too many, so the ladder;
        - it is not all, and totals may stop at this one: a segment of its own;
        - it and the pages after it are the last segment.
        """
        profile, cursor = self._session.profile, self._cursor
        in_reach = profile.segment_pages * profile.page_size
        if cursor.total is None or profile.only_seeks() or (profile.cap or inf) <= cursor.total <= in_reach:
            await self._resume_by_ladder()
            return None
        if cursor.total > in_reach:
            return await self._to_boundary(tasks)
        if cursor.first is None or cursor.first.request.last != cursor.left.stop:
            first = await self._session.asker.page(cursor.left.start - self._pad_start, cursor.left.stop)
            self._check_total(tasks, first.total)
            self._cursor = replace(cursor, total=first.total, first=first, before=None)
            return None
        if cursor.first.rows < min(cursor.total, profile.page_size):
            await self._resume_by_ladder()
            return None
        if cursor.first.rows < cursor.total and profile.may_be_cap(cursor.total):
            return await self._first_page_alone(cursor.first)
        await self._certify_end(cursor.first, cursor.total)
        self._cursor = cursor.at(cursor.left.stop)
        return None

    @property
    def _pad_start(self) -> int:
        return OUTER if self._cursor.left.start == self._window.start else self._session.profile.pad_start

    async def _to_boundary(self, tasks: TaskGroup) -> Plan | None:
        """Ask for the next segment's boundary page and move there; None where what to do must be decided anew.

        The cases, in this order:
        - refused, or empty though there is more: the server does not go so deep;
        - less is left than was thought, or it is not known: nothing is passed;
        - all its records, and so all of the segment, are of one second: the ladder certifies that second;
        - else its last second is where the next segment starts; what is left from there is known by its place, unless
          all its records are of that second.
        """
        profile, cursor = self._session.profile, self._cursor
        pages, size, pad, start = profile.segment_pages, profile.page_size, self._pad_start, cursor.left.start
        try:
            page = await self._session.asker.page(start - pad, cursor.left.stop, pages, urgent=True)
        except RejectedError:
            profile.learn(segment_pages=pages // 2)
            return None
        self._check_total(tasks, page.total)
        self._cursor = cursor = replace(cursor, total=page.total, before=None)
        if page.total is None or page.total <= pages * size:
            return None
        if page.first is None or page.last is None:
            profile.learn(segment_pages=pages // 2)
            return None
        if not profile.ascending:
            return None
        if page.last <= start:
            await self._ladder.certify(Span(start, start + 1), boundary=cursor.boundary)
            self._cursor = cursor.at(start + 1, total=page.total)
            return None
        rank = (pages - 1) * size + page.before_last if page.before_last else None
        plan = Plan(
            span=Span(start, min(page.last, cursor.left.stop)),
            pad_start=pad,
            pages=pages,
            boundary=cursor.boundary,
            boundary_page=page,
            rank=rank,
        )
        self._cursor = replace(
            cursor.at(page.last, total=page.total - (rank or (pages - 1) * size)),
            boundary=Boundary(records=(page.ending,)),
            before=None if rank is None else Span(start - pad, plan.span.stop),
        )
        return plan

    def _check_total(self, tasks: TaskGroup, total: int | None) -> None:
        """Start to look into it if the totals on both sides of a boundary don't add up."""
        before = self._cursor.before
        if before is None or total is None or self._session.profile.padded or total == self._cursor.total:
            return
        tasks.start_soon(self._explain, before)

    async def _explain(self, before: Span) -> None:
        """Count both sides of a boundary and the whole; when they never add up, the gap is one of the window's."""
        counts = await self._session.asker.find_cap(before.start, before.stop, self._window.stop)
        if counts is not None and self._session.profile.cap is None:
            whole, below, above = counts
            self._gaps.append(f"{below} orders in {before}, {above} after it, {whole} in all")

    async def _certify(self, plan: Plan) -> None:
        try:
            await self._ladder.certify_segment(plan)
        finally:
            for _ in range(1 + self._more_free):
                self._free.release()
            self._more_free = 0

    async def _first_page_alone(self, page: Page) -> Plan | None:
        """Take a first page as a segment of its own, if what comes after it has the smaller total that it must have.

        A total that totals may stop at would not show that an order goes between two pages.
        """
        cursor, start, stop, end = self._cursor, self._cursor.left.start, self._cursor.left.stop, page.last or 0
        if page.total and page.before_last and start < end <= stop and not self._session.profile.padded:
            rest = await self._session.asker.page(end, stop)
            if rest.total == page.total - page.before_last:
                plan = Plan(
                    span=Span(start, end),
                    pad_start=self._pad_start,
                    pages=1,
                    boundary=cursor.boundary,
                    boundary_page=page,
                    rank=page.before_last,
                )
                boundary = Boundary(records=(page.ending,))
                self._cursor = replace(cursor.at(end, total=rest.total, boundary=boundary), first=rest)
                return plan
        await self._resume_by_ladder()
        return None

    async def _resume_by_ladder(self) -> None:
        """Let the ladder certify what is left, to the window's end."""
        cursor = self._cursor
        await self._ladder.resume(cursor.rest)
        self._cursor = cursor.at(cursor.left.stop)

    async def _certify_end(self, first: Page, total: int) -> None:
        """Certify what is left of the window by its pages, of which `first` is the first, then by its tail check."""
        rows = max(total, first.total or 0)
        plan = Plan(
            span=self._cursor.left,
            pad_start=self._pad_start,
            pages=pages_of(rows, max(1, first.rows)),
            boundary=self._cursor.boundary,
            first=first,
        )
        try:
            proof = await self._ladder.prove_by_pages(plan)
        except Doubtful as doubt:
            await self._ladder.repair(plan, doubt)
            return
        if proof.reaches_over:
            await self._ladder.commit(proof, plan.boundary)
        elif not proof.table.num_rows:
            await self._ladder.certify(plan.span)
        else:
            await self._check_tail(plan, proof)

    async def _check_tail(self, plan: Plan, proof: ProofByPages) -> None:
        """Seek from the last second held; commit what is before it if no more comes than the total promised.

        If more comes, totals stop somewhere: what is before has a total that would not show that an order went while
        its pages were asked for, so it is asked for again.
        """
        table, span = proof.table, plan.span
        last = columns.instants(table)[-1].as_py() // columns.SECOND
        before = Span(span.start, last)
        earlier, latest = table[: columns.place_of(table, last)], table[columns.place_of(table, last) :]
        promised = len(latest)
        boundary = Boundary(records=tuple(page.ending for page in proof.closed if page.last == last), rows=latest)
        tail = Rest(span=Span(last, span.stop), boundary=boundary)
        found = await self._ladder.prove(tail)
        if before.seconds:
            reason = None
            if not found.span.seconds:
                reason = "its tail check could not be certified"
            elif found.table.num_rows > promised:
                reason = "more came than the total promised"
            if reason is None:
                await self._ladder.commit(replace(proof, span=before, table=earlier), plan.boundary)
            else:
                await self._ladder.certify(before, boundary=plan.boundary, reason=reason)
        if await self._ladder.resume(tail, found) > promised:
            await self._session.asker.find_cap(span.start, last, span.stop)
