"""Conduct one export of a range: freeze it, cover it by windows, check the whole. Knows neither network nor disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.pages import Page, Zone, absent
from exporter.certify.profile import ServerProfile
from exporter.certify.silences import Timeline
from exporter.certify.spans import OUTER, Span, gaps, pages_in_flight, pages_of
from exporter.config.options import Settings
from exporter.crawl.asker import Ask, Asker
from exporter.crawl.final_check import NARROWER, ROUNDS, FinalCheck, Read
from exporter.crawl.session import Commit, Session, uncertified
from exporter.crawl.settled import settled_end
from exporter.crawl.silence_check import SilenceCheck
from exporter.crawl.threads import OffLoop
from exporter.crawl.windows import Windows
from exporter.errors import CertificateError, RejectedError
from exporter.events import Event, Noticed, Started
from exporter.http.concurrency import LARGEST, PAGES_A_SECOND
from exporter.vendor.orders import Filters, wire_time

CLOCKS_AGREE = 2
"""Seconds by which the server's clock may seem ahead of the local one if both are right."""

MISSING_AT_MOST = 9
"""The number of spans that can't be certified above which more requests won't help."""

Opened = Callable[[Page | None, int | None], Awaitable[None]]
"""Called with the first page and the total of the range before the rest is requested; may wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended."""

    checked: bool
    """The end-to-end check was made, and agreed."""
    failure: CertificateError | None = None
    """What could not be certified."""


class Engine:
    """One run of an export over a given way to ask and a given place for what is certified."""

    def __init__(
        self,
        settings: Settings,
        ask: Ask,
        *,
        commit: Commit,
        off_loop: OffLoop,
        emit: Callable[[Event], None],
        latency: Callable[[], float],
        clock: Callable[[], float],
        missing_at_most: int | None = MISSING_AT_MOST,
        on_opened: Opened | None = None,
    ) -> None:
        """`latency` gives the seconds a response takes, as measured so far; `clock` is the wall's, in Unix seconds."""
        self._settings = settings
        self._emit = emit
        self._latency = latency
        self._on_opened = on_opened
        self._clock = clock
        self.profile = ServerProfile(asked_page_size=settings.page_size, segment_pages=settings.segment_pages)
        self.asker = Asker(
            ask,
            filters=settings.filters,
            page_size=settings.page_size,
            profile=self.profile,
            language=settings.language,
        )
        self.session = Session(
            asker=self.asker,
            zone=Zone(timezone=settings.timezone, language=settings.language),
            emit=emit,
            commit=self._commit,
            off_loop=off_loop,
            group_pages=settings.segment_pages,
            final_check=settings.final_check,
            missing_at_most=missing_at_most,
        )
        self._opening: Page | None = None
        self._pass_on = commit
        self._timeline = Timeline()
        self._silence_check: SilenceCheck | None = None
        self.windows = 0
        """How many windows there were."""

    async def run(
        self,
        whole: Span | None = None,
        *,
        certificates: Callable[[], Sequence[Certificate]],
        read: Read | None = None,
        on_frozen: Callable[[Span], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Freeze the range, cover what is left of it, check the whole.

        `whole` is the range if an earlier run froze it; `certificates` gives what is committed now, `read` a committed
        segment's rows (None: too late to mend any); `on_frozen` is called before the range is covered.
        """
        whole = await self.freeze() if whole is None else whole
        if on_frozen is not None:
            await on_frozen(whole)
        held = certificates()
        await self.cover(whole, gaps(whole, [one.span for one in held]), committed=sum(one.rows for one in held))
        if failure := self.uncertified():
            return Outcome(checked=False, failure=failure)
        try:
            return Outcome(checked=await self.check(whole, certificates, read))
        except CertificateError as error:
            return Outcome(checked=False, failure=error)

    async def freeze(self) -> Span:
        """Return the range to cover; an end that is not given or has not settled is frozen by the server's clock."""
        start, asked = self._settings.start, self._settings.end
        now = int(self._clock())
        last = max(start, now - self._settings.settle) + 1 if asked is None else asked + 1
        try:
            response = await self.asker.response(start - OUTER, last, urgent=True)
        except RejectedError:
            response = await self.asker.response(start, start)  # refused as well: it is not for its length
            self.profile.learn(longest=max(1, (last - start) // 2))
        end = settled_end(self._settings, response.date or now)
        if asked is None and 0 <= end + 1 - response.request.last <= CLOCKS_AGREE:
            end = max(start, response.request.last - 1)  # as it was asked for: that need not be asked again
        opening = self.asker.shown(response)
        if opening.request.last == end + 1 or self._needs_more_than_a_segment(opening, end):
            self._opening = opening
        if asked is not None and end < asked:
            self._emit(
                Noticed(
                    message=f"the end {wire_time(asked)} has not settled by the server's clock: "
                    f"the range is covered up to {wire_time(end)}"
                )
            )
        return Span(start, end + 1)

    def _needs_more_than_a_segment(self, page: Page, end: int) -> bool:
        """Return whether the first page of a longer range will do: a range of one segment is asked for as it is."""
        in_reach = self.profile.segment_pages * self.profile.page_size
        return page.request.last > end and (page.total or 0) > in_reach

    async def is_same_team(self, held: Sequence[pa.Table]) -> bool:
        """Return whether the key shows any of the orders of some committed segments, one of each at least.

        They are asked for by their second and without filters: an order may have changed its status since, and an empty
        page of those that match now proves nothing.
        """
        for table in held:
            second = columns.seconds(table)[len(table) // 2].as_py()
            page = await self.asker.page(second - OUTER, second + OUTER, filters=Filters())
            seen = await self.session.off_loop(self.session.zone.table, [page.cells])
            if await self.session.off_loop(absent, seen, table) < page.rows:
                return True
        return False

    async def cover(
        self, whole: Span, spans: Sequence[Span], *, committed: int, silences: bool = True, expected: int | None = None
    ) -> None:
        """Certify and commit the spans of the range; what can't be is in `session.missing` in the end.

        `committed` is how many rows of the range are held already, `expected` about how many it has, if that is known.
        `silences`: the largest ones are asked for, because nothing has shown yet that long ranges come whole.
        """
        check = SilenceCheck(self.session, whole, self._timeline, committed=committed) if silences else None
        self._silence_check = check

        async def opened(page: Page | None) -> None:
            total = page.total if page else None
            if page is not None and check is not None and await check.before(page, spans[0]):
                total = None
            elif len(spans) > 1 and expected is not None:
                total = expected
            elif len(spans) > 1:
                total = await self.asker.count(whole.start, whole.stop - 1)
            elif total is not None:
                total += committed
            ideal = None if total is None else max(1, pages_of(total - committed, self.profile.page_size))
            rate = self._settings.rate
            self._emit(Started(total=total, committed=committed, requests_ideal=ideal, windows=len(spans), rate=rate))
            if self._on_opened is not None:
                await self._on_opened(page, total)

        self.asker.whole = whole
        self.asker.saw_outside = list(spans) != [whole] or self._outside(whole)
        if self._opening is not None:
            self.asker.note_total(self._opening.request, self._opening.total)
        windows = Windows(self.session, in_flight=self._in_flight, fixed=self._settings.windows, on_opening=opened)
        try:
            await windows.run(spans, self._opening)
        except BaseExceptionGroup as group:
            raise _first_of(group) from None
        finally:
            self.windows += windows.count

    def _outside(self, whole: Span) -> bool:
        """Return whether the opening page shows orders right before or after the range."""
        page = self._opening
        if page is None or page.first is None or page.last is None:
            return False
        reaches_over = page.request.last == whole.stop and page.last not in whole
        return page.first < whole.start or reaches_over

    def _in_flight(self) -> int:
        bound, rate = self._settings.concurrency or LARGEST, min(self._settings.rate, PAGES_A_SECOND)
        return pages_in_flight(rate=rate, latency=self._latency(), bound=bound)

    async def check(
        self,
        whole: Span,
        certificates: Callable[[], Sequence[Certificate]],
        read: Read | None,
        *,
        counts_fit: bool = False,
    ) -> bool:
        """Make the end-to-end check; return whether it was made. Raise CertificateError if it fails.

        `read` gives a committed segment's rows, to mend it; None if it is too late for that. `counts_fit`: counts of
        exact spans came to the rows held, so that the first total may be that of the range without a second around it.
        """
        check = FinalCheck(self.session, whole, certificates=certificates, read=read, counts_fit=counts_fit)
        if any(certificate.way == "halves" for certificate in certificates()):
            self.profile.learn(ascending=False)  # an earlier run may have found it out
        await check.renew()
        await self._ask_silences(check, certificates, read)
        if not self._settings.final_check:
            return False
        agrees = await check.run()
        if agrees is None:
            self._emit(Noticed(message="the server's totals are of no use: the end-to-end check was left out"))
            return False
        if not agrees:
            raise await check.failure()
        return True

    async def _commit(self, certificate: Certificate, table: pa.Table) -> None:
        self._timeline.add(certificate.span, table)
        await self._pass_on(certificate, table)

    async def _ask_silences(
        self,
        check: FinalCheck,
        certificates: Callable[[], Sequence[Certificate]],
        read: Read | None,
    ) -> None:
        """Ask for the largest silences; where orders show, ask again for what their ranges were too long for."""
        if self._silence_check is None:
            return
        for one in certificates():
            if one.rows and one.span not in self._timeline.extents and read is not None:
                self._timeline.add(one.span, await self.session.off_loop(read, one.span))
        for _ in range(ROUNDS):
            if not await self._silence_check.rest(sum(one.rows for one in certificates())):
                return
            await check.renew_in_parts(self.profile.longest or 1)
        raise CertificateError(
            f"the server leaves orders out of ranges of {self.profile.longest} seconds, too", hint=NARROWER
        )

    def uncertified(self) -> CertificateError | None:
        """Return the error that names what could not be certified, if there is such."""
        return uncertified(self.session.missing) if self.session.missing else None


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, however deep it is."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
