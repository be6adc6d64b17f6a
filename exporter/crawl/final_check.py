"""The end-to-end check: the server's total of the whole range must equal the rows held.

If it does not, orders came or went in segments that were certified before. They are found by halving, by segments and
then by pages within them, and asked for again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.certify.bisect import differing
from exporter.certify.judge import Certificate
from exporter.certify.pages import absent, at_second
from exporter.certify.spans import OUTER, Span, leaves, split
from exporter.crawl.asker import COUNTS
from exporter.crawl.ladder import Ladder
from exporter.crawl.session import Session
from exporter.errors import CertificateError, RejectedError

ROUNDS = 3
"""How often the segments that changed are asked for again."""

WITNESSES = 8
"""Further requests that must all give a smaller total before orders count as deleted."""

MAX_PAGE = 20
"""The deepest page of one order that is asked for its total."""

CUT = "the server leaves orders out of long ranges"

LACKING = "an order came with a total of the range that is not among the rows held"

NARROWER = "give --start and --end, and export a part of the range at a time"

CHANGING = (
    "orders may be changing right now, or some of the server's replicas lag: the same command, a little later, asks "
    "for what differs again; a longer --settle leaves the latest orders out"
)

Read = Callable[[Span], pa.Table]


class FinalCheck:
    """Check a whole range against the server's total, and mend what changed since it was certified."""

    def __init__(
        self,
        session: Session,
        whole: Span,
        *,
        certificates: Callable[[], Sequence[Certificate]],
        read: Read | None,
        counts_fit: bool = False,
    ) -> None:
        """`certificates` gives what is committed now; `read`, which may block, a committed segment's rows.

        Without `read` nothing can be mended. `counts_fit`: counts of exact spans are known to count all their rows.
        """
        self._session = session
        self._ladder = Ladder(session)
        self._whole = whole
        self._certificates = certificates
        self._read = read
        self._counts_fit = counts_fit
        self._held = 0  # the most rows that were held when the totals were asked for
        self._untold = False  # some segment's total lay at the cap
        self._lacking: list[Certificate] = []  # of segments without an order that came with a total

    async def run(self) -> bool | None:
        """Return whether rows and total agree in the end; None where the server's totals can't show it."""
        for _ in range(ROUNDS):
            agrees = await self.agrees()
            if agrees is not False or self._read is None:
                return agrees
            self._held = max(self._held, sum(one.rows for one in self._certificates()))
            await self._mend(self._read)
            await self.renew()  # mending may have found out more about the server
        return await self.agrees()

    async def renew(self) -> None:
        """Ask again for what was certified by the order of its records, or by totals, before these proved useless."""
        profile = self._session.profile
        for certificate in self._certificates():
            if not profile.ascending and certificate.way != "halves":
                reason = "the server's records have no order"
            elif profile.totals == "ignored" and certificate.way == "pages":
                reason = "the server's totals are of no use"
            else:
                continue
            if self._read is None:
                raise CertificateError(f"what {certificate.span} was certified by no longer holds: {reason}")
            await self._ladder.certify_again(certificate, reason=reason)

    async def renew_in_parts(self, longest: int) -> None:
        """Ask again, by ranges of at most `longest` seconds, for what longer ones may have left orders out of."""
        for certificate in self._certificates():
            span = certificate.span
            if span.seconds <= longest and certificate.way != "seek":
                continue
            if self._read is None:
                raise CertificateError(f"what {span} was certified by no longer holds: {CUT}", hint=NARROWER)
            parts = split(span, math.ceil(span.seconds / longest))
            await self._ladder.certify_again(certificate, parts=parts, reason=CUT)

    async def failure(self) -> CertificateError:
        """Return the error that names where rows and totals differ."""
        if self._lacking:
            lacking = ", ".join(str(one.span) for one in self._lacking)
            return CertificateError(f"{LACKING}: {lacking}", hint=CHANGING)
        segments = [(one.span, one.rows) for one in self._certificates()]
        total, spans = await self._count(self._whole), await self._differing(segments)
        rows = sum(rows for _, rows in segments)
        return CertificateError(
            f"{rows} orders of {self._whole} are held where the server's total is {total};"
            f" the spans that differ: {', '.join(map(str, spans)) or 'none alone'}",
            hint=CHANGING,
        )

    async def agrees(self) -> bool | None:
        """Compare the rows held with the server's total."""
        self._session.asker.counted.clear()
        self._lacking = []
        rows = sum(certificate.rows for certificate in self._certificates())
        whole = self._whole
        total = await self._largest_total(rows)
        if total is None:
            return None
        if total == rows:
            return await self._are_gone(rows)
        if total < rows and self._cap is None:
            middle = whole.start + whole.seconds // 2
            await self._session.asker.find_cap(whole.start, middle, whole.stop - 1)
        cap = self._cap
        if cap is not None and total >= cap and rows >= cap:
            differ = await self._differing([(one.span, one.rows) for one in self._certificates()])
            return False if differ else None if self._untold else True
        return False

    @property
    def _cap(self) -> int | None:
        return self._session.profile.certain_cap

    @property
    def _in_parts(self) -> bool:
        """Whether the range is counted in parts: hundreds of requests, so that one round of them must do."""
        longest = self._session.profile.longest
        return longest is not None and longest < self._whole.seconds

    async def _largest_total(self, rows: int) -> int | None:
        """Return the larger of two totals, each on a connection of its own: a replica that lags gives the smaller."""
        first = await self._total(rows)
        if self._in_parts:
            return first
        second = None if first is None else await self._total(rows, page=self._page(1, rows))
        return None if first is None or second is None else max(first, second)

    async def _are_gone(self, rows: int) -> bool:
        """Return whether orders that a larger total once counted are deleted, and not merely hidden by a replica.

        They are if none of further requests, all different and each on a connection of its own, counts them.
        """
        asker, once = self._session.asker, self._session.asker.most
        if max(once, self._held) <= rows or self._cap is not None:
            return True
        outside = await self._outside(self._whole.start) + await self._outside(self._whole.stop)
        if max(once - outside, self._held) <= rows:
            return True
        asker.most = rows
        for number in range(2, 3 if self._in_parts else 2 + WITNESSES):
            total = await self._total(rows, page=self._page(number, rows))
            if max(total or 0, asker.most - outside) > rows:
                asker.most = max(asker.most, once)
                return False
        self._held = rows
        self._lacking = await self._lack_what_was_counted()
        return not self._lacking

    async def _lack_what_was_counted(self) -> list[Certificate]:
        """Return the segments that lack an order which came with the totals: one that went made good their count."""
        session, lacking = self._session, dict[Span, Certificate]()
        if self._read is None:
            return []
        for page in session.asker.counted:
            for one in self._certificates():
                if page.first is not None and page.first in one.span:
                    table = at_second(await session.off_loop(self._read, one.span), page.first)
                    if await session.off_loop(absent, session.zone.table([page.cells]), table):
                        lacking[one.span] = one
        return list(lacking.values())

    def _page(self, number: int, rows: int) -> int:
        """Return a page of one order that there is: every other way to ask for the same total."""
        return 1 + number % max(1, min(rows, MAX_PAGE))

    async def _count(self, span: Span) -> int | None:
        return await self._session.asker.count(span.start, span.stop - 1)

    async def _total(self, rows: int, *, page: int = 1) -> int | None:
        """Return the total of the range, without the orders that a padded one shows outside it; `rows` are expected.

        Those outside it are asked for between two totals that are the same, lest one that goes hides another.
        """
        asker, profile, whole = self._session.asker, self._session.profile, self._whole
        count = partial(self._counted, page)
        exact = profile.inclusive or (self._counts_fit and not profile.padded)
        if exact and await count(whole.start, whole.stop - 1) == rows:
            return rows
        total = await count(whole.start - OUTER, whole.stop - 1 + OUTER)
        if not asker.saw_outside and profile.ascending:
            return total
        for _ in range(COUNTS):
            outside = await self._outside(whole.start) + await self._outside(whole.stop)
            before, total = total, await count(whole.start - OUTER, whole.stop - 1 + OUTER)
            if total is None or total == before:
                return None if total is None else total - outside
        raise CertificateError(f"the total of {whole} was another each time", hint=CHANGING)

    async def _counted(self, page: int, first: int, last: int) -> int | None:
        count = self._session.asker.count
        try:
            return await count(first, last, page=page, new_connection=not self._in_parts)
        except RejectedError:
            if page == 1:
                raise
            return await count(first, last, new_connection=True)

    async def _outside(self, edge: int) -> int:
        """Return the number of orders outside the range that are shown at one of its edges."""
        page = await self._session.asker.page(edge - OUTER, edge)
        seconds = await self._session.off_loop(self._session.zone.seconds, page)
        return sum(second not in self._whole for second in seconds.to_pylist())

    async def _differing(self, segments: Sequence[tuple[Span, int]]) -> list[Span]:
        """Ask for totals until the segments that differ are known."""
        cap = self._cap
        descent = differing(segments, cap=cap)
        smallest = {span for span, _ in segments}
        self._untold = False
        try:
            span = next(descent)
            while True:
                total = await self._count(span)
                if span in smallest and (total is None or (cap is not None and total >= cap)):
                    self._untold = True
                span = descent.send(total)
        except StopIteration as found:
            return list(found.value)

    async def _mend(self, read: Read) -> None:
        """Ask again for what differs, and commit the segments anew."""
        if self._lacking:
            for certificate in self._lacking:
                await self._ladder.certify_again(certificate, reason=LACKING)
            return
        certificates = {one.span: one for one in self._certificates()}
        if self._session.profile.padded:
            doubtful = sorted(certificates)  # counts of spans say nothing about their rows
        else:
            doubtful = await self._differing([(span, one.rows) for span, one in sorted(certificates.items())])
        for span in doubtful:
            table = await self._session.off_loop(read, span)
            await self._mend_segment(certificates[span], table)

    async def _mend_segment(self, certificate: Certificate, table: pa.Table) -> None:
        session, span = self._session, certificate.span
        parts = [span]
        if not session.profile.padded and certificate.rows:
            counts = await session.off_loop(_rows_by_second, table)
            pieces = leaves(span, counts, rows=session.profile.page_size)
            parts = await self._differing(pieces) or [span]  # where no count says which part it is, it is all of them
        await self._ladder.certify_again(certificate, parts=parts, table=table, reason="the end-to-end total differed")


def _rows_by_second(table: pa.Table) -> list[tuple[int, int]]:
    counted = pc.value_counts(columns.seconds(table))
    return sorted(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
