"""Replicas of a server that lag: what a larger total once counted is not given up for a smaller one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pytest

from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.config.options import Settings
from exporter.crawl.engine import Engine
from exporter.errors import CertificateError
from exporter.simulator.in_process import InProcessClient
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.world import World
from exporter.vendor.orders import PageRequest, PageResponse, wire_time
from exporter.vendor.secret import Secret
from tests.crawl.hostile_server import HostileQuirks
from tests.crawl.model_run import drive
from tests.crawl.test_engine_cases import made_at, run_on, scripted

LAGGING: tuple[Literal["random", "content"], ...] = ("random", "content")
SEEDS = range(12)


@dataclass
class LaggingExport:
    """One export of the last hour's orders from a server half of whose replicas lag."""

    seed: int
    lag: float
    lagging: Literal["random", "content"]
    settle: int = 300
    page_size: int = 500
    totals: list[int | None] = field(default_factory=list)
    """The totals of the whole range, one after the other."""
    connections: int = 0
    """Requests that had a connection of their own."""
    held: dict[Span, tuple[Certificate, pa.Table]] = field(default_factory=dict)

    async def run(self) -> bool:
        """Return whether the export ended in exit 0."""
        quirks = Quirks(lag=self.lag, lagging=self.lagging)
        options = SimulatorOptions(rows=400, seed=self.seed, start="2025-12-31T23:00:00+08:00", quirks=quirks)
        self.world = World.of(options)
        self.client = InProcessClient(self.world)
        settings = Settings(
            api_key=Secret("key"),
            start=options.span()[0],
            end=None,
            start_asked="",
            end_asked=None,
            settle=self.settle,
            page_size=self.page_size,
            segment_pages=5,
        )
        engine = Engine(
            settings,
            self._ask,
            commit=self._commit,
            off_loop=self._inline,
            emit=lambda _: None,
            latency=lambda: 0.0,
            clock=self.world.now,
        )
        self.whole = await engine.freeze()
        try:
            outcome = await engine.run(
                self.whole,
                certificates=lambda: [self.held[span][0] for span in sorted(self.held)],
                read=lambda span: self.held[span][1],
            )
        except CertificateError:
            return False
        return outcome.checked

    async def _ask(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        response = await self.client.ask(request, urgent=urgent)
        self.connections += new_connection
        if request.first <= self.world.columns.moments[0] // 1000 and request.last >= self.now - self.settle:
            self.totals.append(response.total)
        return response

    @property
    def now(self) -> int:
        return int(self.world.now())

    async def _commit(self, certificate: Certificate, table: pa.Table) -> None:
        self.held[certificate.span] = certificate, table

    async def _inline(self, function: Any, /, *args: Any) -> Any:
        return function(*args)

    @property
    def rows(self) -> int:
        return sum(certificate.rows for certificate, _ in self.held.values())

    @property
    def truth(self) -> int:
        return len(self.world.oracle({"created_at_end": wire_time(self.whole.stop - 1)}))


@pytest.mark.parametrize("page_size", [500, 50])
@pytest.mark.parametrize("lagging", LAGGING)
def test_a_lag_within_the_settle_time_loses_no_order_and_costs_none_of_the_export(
    lagging: Literal["random", "content"], page_size: int
) -> None:
    for seed in SEEDS:
        export = LaggingExport(seed=seed, lag=120, lagging=lagging, page_size=page_size)
        assert asyncio.run(export.run())
        assert export.rows == export.truth


@pytest.mark.parametrize("page_size", [500, 50])
@pytest.mark.parametrize("lagging", LAGGING)
def test_a_longer_lag_is_met_by_a_longer_settle_time(lagging: Literal["random", "content"], page_size: int) -> None:
    for seed in SEEDS:
        export = LaggingExport(seed=seed, lag=600, settle=600, lagging=lagging, page_size=page_size)
        assert not asyncio.run(export.run()) or export.rows == export.truth


@pytest.mark.parametrize("page_size", [500, 50])
@pytest.mark.parametrize("lagging", LAGGING)
def test_no_smaller_total_is_accepted_once_a_larger_one_was_seen(
    lagging: Literal["random", "content"], page_size: int
) -> None:
    """What is lost all the same, no total of the range has ever counted: that much remains."""
    ended = 0
    for seed in SEEDS:
        export = LaggingExport(seed=seed, lag=600, lagging=lagging, page_size=page_size)
        if asyncio.run(export.run()):
            ended += 1
            assert export.rows == max(total or 0 for total in export.totals)
    assert ended


def test_the_last_total_is_asked_for_twice_each_time_on_a_connection_of_its_own() -> None:
    export = LaggingExport(seed=1, lag=0, lagging="random")
    assert asyncio.run(export.run())
    assert export.connections == 2
    first, second = (request for request in export.client.requests if request.page_size == 1)
    assert first != second, "the same content would get the same replica"


def test_a_deletion_is_believed_once_further_requests_all_tell_the_smaller_total() -> None:
    server = scripted(made_at(*range(8)), HostileQuirks(), seconds=20)
    server.prepare(lambda request: request.page_size == 1, lambda: server.delete(server.orders[3]))
    run = run_on(server)
    assert drive(run)
    assert len(run.records()) == 7
