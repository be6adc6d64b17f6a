"""One export of a hostile server's orders, and promise 1 of the design, word for word, to hold it against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import OUTER, Span, gaps
from exporter.config.options import Settings
from exporter.crawl.asker import Ask
from exporter.crawl.engine import Engine
from exporter.crawl.final_check import Read
from exporter.errors import CertificateError, RejectedError
from exporter.vendor.orders import PageRequest, PageResponse, Record, second_of
from exporter.vendor.secret import Secret
from tests.crawl.hostile_server import START, HostileQuirks, HostileServer, Order
from tests.virtual_time import VirtualTimeLoop


class Killed(Exception):  # noqa: N818 - no error: the export was killed
    """An export ends in the middle."""


@dataclass
class Run:
    """One export of everything a server has, stopped once after a number of requests if `stop_after` says so."""

    server: HostileServer
    page_size: int
    segment_pages: int
    windows: int | None = None
    final_check: bool = True
    stop_after: int | None = None
    others: dict[str, Any] = field(default_factory=dict)
    """Other settings."""
    held: dict[Span, tuple[Certificate, pa.Table]] = field(default_factory=dict)
    checks: bool = True
    """All is looked at again once it is committed."""
    checked: bool = False
    requests_before_check: int = 0
    engine: Engine | None = None

    async def export(self) -> None:
        try:
            await self._resume()
        except Killed:
            await self._resume()

    async def _resume(self) -> None:
        self.engine = self.make_engine()
        outcome = await self.engine.run(certificates=self.certificates, read=self.read)
        if outcome.failure is not None:
            raise outcome.failure
        self.checked = outcome.checked

    def certificates(self) -> list[Certificate]:
        return [self.held[span][0] for span in sorted(self.held)]

    def read(self, span: Span) -> pa.Table:
        return self.held[span][1]

    async def check(self, whole: Span) -> bool:
        assert self.engine
        return await self.engine.check(whole, self.certificates, self.read)

    def settings(self) -> Settings:
        return Settings(
            api_key=Secret("key"),
            start=START,
            end=START + self.server.seconds - 1,
            start_asked="",
            end_asked="",
            page_size=self.page_size,
            segment_pages=self.segment_pages,
            windows=self.windows,
            final_check=self.final_check,
            **self.others,
        )

    def latency(self) -> float:
        return 0.0

    def make_engine(self) -> Engine:
        async def inline(function: Any, /, *args: Any) -> Any:
            return function(*args)

        return _Engine(
            self,
            self._ask,
            commit=self._commit,
            off_loop=inline,
            emit=lambda _: None,
            latency=self.latency,
            clock=lambda: float(START + self.server.seconds + 300),
        )

    async def _ask(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        if self.stop_after is not None and self.server.requests >= self.stop_after:
            self.stop_after = None
            raise Killed
        return await self.server.ask(request, urgent=urgent, new_connection=new_connection)

    async def _commit(self, certificate: Certificate, table: pa.Table) -> None:
        span = certificate.span
        others = [other for other in self.held if other != span]
        assert not [other for other in others if other.start < span.stop and span.start < other.stop]
        assert table.num_rows == certificate.rows
        self.held[span] = certificate, table

    def records(self) -> list[Record]:
        return [record for span in sorted(self.held) for record in columns.records(self.held[span][1])]


class _Engine(Engine):
    """Notes when the final check begins; leaves it out where a run says so."""

    def __init__(self, run: Run, ask: Ask, **options: Any) -> None:
        super().__init__(run.settings(), ask, **options)
        self._run = run

    async def check(
        self,
        whole: Span,
        certificates: Callable[[], Sequence[Certificate]],
        read: Read | None,
        *,
        counts_fit: bool = False,
    ) -> bool:
        run = self._run
        assert not gaps(whole, run.held)
        run.requests_before_check = run.server.requests
        return run.checks and await super().check(whole, certificates, read, counts_fit=counts_fit)


def identities(records: list[Record]) -> Counter[tuple[str, int]]:
    return Counter((record["order_id"], second_of(record) - START) for record in records)


def undetectable(run: Run, span: Span) -> int:
    """Return how many orders of a committed segment may be missing without any count telling it.

    An order that goes while a segment's pages are asked moves the later ones up, and one may slip from a page that is
    still to come to one that has been; a late order in the same span then makes good the count. The design allows that
    much, and no more: it takes one of each, both in the span as it was asked, between the first and the last answer
    that the segment rests on. First pages asked one by one are snapshots: they never lose an order. Nor do the pages of
    a crowded second, which a seek asks twice.
    """
    certificate, _ = run.held[span]
    if certificate.way != "pages":
        return 0
    asked = range(span.start - OUTER - START, span.stop + 1 - START)
    meanwhile = range(int(certificate.fetched_from), int(certificate.fetched_to))
    came, went = (
        sum(change.after in meanwhile and change.second in asked for change in changes)
        for changes in (run.server.came, run.server.went)
    )
    return min(came, went)


def assert_certain(run: Run, span: Span) -> None:
    """Of a committed segment: an order there all the time is held exactly once, any other at most as often as shown."""
    certificate, table = run.held[span]
    records = list(columns.records(table))
    held, times = identities(records), [second_of(record) for record in records]
    stable = Counter({one: count for one, count in run.server.survivors().items() if one[1] + START in span})
    missing, invented = stable - held, held - run.server.most_shown
    assert certificate.rows == len(records)
    assert missing.total() <= undetectable(run, span), f"missing: {missing}"
    assert not invented, f"held more often than one answer showed it: {invented}"
    assert times == sorted(times)
    assert all(time in span for time in times)


def assert_promise(run: Run) -> None:
    """All segments are certain, and together they are the range; with the final check, the total is the server's."""
    for span in run.held:
        assert_certain(run, span)
    if run.checked:
        rows = sum(certificate.rows for certificate, _ in run.held.values())
        assert any(rows in counts for counts in run.server.populations[run.requests_before_check :])


def drive(run: Run) -> bool:
    """Run the export on virtual time; return whether it ended in exit 0."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(run.export())
    except (CertificateError, RejectedError):
        return False
    finally:
        loop.close()
    assert_promise(run)
    return True


def is_crowded(run: Run) -> bool:
    """Return whether one page can't show all orders of some second, with those of the seconds around it if need be.

    What neither pages nor facets divide then ends in exit 4. It is needed where a bound is odd or records seem to
    have no order: spans are padded on both sides then.
    """
    quirks = run.server.quirks
    halved = any(certificate.way == "halves" for certificate, _ in run.held.values())
    padded = halved or quirks.open_start or quirks.open_end or quirks.hidden_fractions or quirks.sort != "obeyed"
    around = (-1, 0, 1) if padded else (0,)
    shown = Counter(order.moment // 1000 + step for order in run.server.orders for step in around)
    return any(count >= min(run.page_size, quirks.max_page_size) for count in shown.values())


def a_run(
    quirks: HostileQuirks,
    *,
    seed: int,
    orders: int,
    seconds: int,
    crowd: int,
    page_size: int,
    segment_pages: int,
    windows: int | None,
    latency: float,
    final_check: bool,
    stop_after: int | None = None,
) -> Run:
    """Make a world of some orders, up to `crowd` in a second (or more, by chance), and an export of it."""
    random = Random(seed)
    made: list[Order] = []
    while len(made) < orders:
        second = random.randrange(seconds)
        for _ in range(random.randint(1, crowd)):
            fraction = random.randrange(1000) if quirks.hidden_fractions else 0
            name = f"o{len(made)}" if random.random() < 0.9 or not made else made[-1].name
            made.append(Order(moment=second * 1000 + fraction, name=name))
    server = HostileServer(orders=made, quirks=quirks, random=random, seconds=seconds, latency=latency)
    return Run(
        server,
        page_size=page_size,
        segment_pages=segment_pages,
        windows=windows,
        final_check=final_check,
        stop_after=stop_after,
    )
