"""Measure what boundary pages save over a seek alone: seconds of an export by rate and latency, in virtual time.

The whole engine and client run, but for the network; the world is the simulator's, in memory. A seek alone is what
`--segment-pages 1` makes of an export.

    python -m benchmarks.boundary_pages [--rows N]
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from itertools import product
from types import TracebackType
from typing import Any, Self

import orjson
import pyarrow as pa

from exporter.certify.judge import Certificate
from exporter.config.options import Settings
from exporter.crawl.engine import Engine
from exporter.http.client import Client
from exporter.http.permits import Permit
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.world import World
from exporter.vendor.envelope import HttpResponse
from exporter.vendor.secret import Secret
from tests.virtual_time import VirtualTimeLoop

RATES = (1.0, 20.0)
LATENCIES = (0.2, 1.5)


class Line:
    """A line to a world, each response after `latency` seconds, without a network."""

    def __init__(self, world: World, latency: float) -> None:
        self._world = world
        self._latency = latency
        self.requests = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:  # noqa: ARG002 - there is none
        """Return the world's response after a while."""
        await permit.come()
        permit.left()
        self.requests += 1
        await asyncio.sleep(self._latency)
        return HttpResponse(200, {}, orjson.dumps(self._world.response(orjson.loads(body), language="en")))


async def export(rows: int, *, rate: float, latency: float, segment_pages: int) -> tuple[int, float]:
    """Return the requests and the seconds of one export."""
    options = SimulatorOptions(rows=rows)
    first, last = options.span()
    settings = Settings(
        api_key=Secret("simulator"),
        start=first,
        end=last,
        start_asked="",
        end_asked="",
        rate=rate,
        segment_pages=segment_pages,
    )
    line, held = Line(World.of(options), latency), list[Certificate]()
    loop = asyncio.get_running_loop()

    async def commit(certificate: Certificate, _: pa.Table) -> None:
        held.append(certificate)

    async def inline(function: Any, /, *args: Any) -> Any:
        return function(*args)

    def certificates() -> Sequence[Certificate]:
        return sorted(held, key=lambda one: one.span)

    began = loop.time()
    async with Client(settings, transport=line) as client:
        engine = Engine(
            settings,
            client.ask,
            commit=commit,
            off_loop=inline,
            emit=lambda _: None,
            latency=lambda: client.statistics.latency,
            clock=lambda: float(last + 3_600),
        )
        outcome = await engine.run(certificates=certificates)
        if outcome.failure is not None:
            raise outcome.failure
    assert sum(one.rows for one in held) == rows
    return line.requests, loop.time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="orders")
    rows = parser.parse_args().rows
    print("| requests a second | latency | with boundary pages | a seek alone |")
    print("|---|---|---|---|")
    for rate, latency in product(RATES, LATENCIES):
        cells = []
        for segment_pages in (20, 1):
            loop = VirtualTimeLoop()
            sent, seconds = loop.run_until_complete(
                export(rows, rate=rate, latency=latency, segment_pages=segment_pages)
            )
            loop.close()
            cells.append(f"{seconds:,.0f} s ({sent} requests)")
        print(f"| {rate:g} | {latency:g} s | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
