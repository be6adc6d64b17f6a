"""Measure what the schedule alone costs: the CPU a request of thousands of pacers in one process, in virtual time.

Each team has its own pacer and queue, all share one timer, as in a run of many teams. Requests take `--latency` seconds
and nothing else: no network, no decoding. A loop of bare timers shows how much of it is asyncio's own.

    python -m benchmarks.schedule [--teams N ...] [--requests N] [--latency S]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

import report
from measure import machine

from exporter.http.concurrency import Concurrency
from exporter.http.pacer import Pacer
from exporter.http.permits import PermitQueue, Priority
from exporter.http.wake_up import WakeUp
from tests.virtual_time import run

RATE = 1.0
IN_FLIGHT = 2
"""Requests of one team that wait or are under way at once, as in an export at this rate."""


async def paced(wake_up: WakeUp, *, requests: int, latency: float, begin: float) -> float:
    """Send the requests of one team at its pace; return the share of the rate that was used."""
    await asyncio.sleep(begin)
    pacer = Pacer(RATE)
    queue = PermitQueue(pacer, Concurrency.of(IN_FLIGHT, rate=RATE, unpaced=False), wake_up=wake_up)

    async def send(places: range) -> None:
        for place in places:
            async with queue.permit(Priority.NORMAL, place) as permit:
                await permit.come()
                permit.left()
                await asyncio.sleep(latency)
            queue.accepted()

    await asyncio.gather(*(send(range(first, requests, IN_FLIGHT)) for first in range(IN_FLIGHT)))
    queue.close()
    return (requests - 1) / (pacer.statistics().sending_seconds * RATE)


async def bare(_: WakeUp, *, requests: int, latency: float, begin: float) -> float:
    """Wait as `paced` does, by asyncio's timers alone."""
    await asyncio.sleep(begin)
    for _number in range(requests):
        await asyncio.sleep(1 / RATE - latency)
        await asyncio.sleep(latency)
    return 1.0


def measured(team: Callable[..., Awaitable[float]], teams: int, requests: int, latency: float) -> tuple[float, float]:
    """Return microseconds of CPU a request, and the mean use of the rate."""

    async def main() -> float:
        wake_up, random = WakeUp(), Random(teams)
        begins = [random.random() for _ in range(teams)]
        uses = await asyncio.gather(
            *(team(wake_up, requests=requests, latency=latency, begin=begin) for begin in begins)
        )
        return sum(uses) / teams

    began = time.process_time()
    use = run(main())
    return (time.process_time() - began) / (teams * requests) * 1e6, use


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teams", type=int, nargs="+", default=[1, 100, 1_000, 10_000])
    parser.add_argument("--requests", type=int, default=20, help="of each team, a hundred times as many of one team")
    parser.add_argument("--latency", type=float, default=0.2)
    arguments = parser.parse_args()
    rows = []
    for teams in arguments.teams:
        requests = arguments.requests * max(1, 100 // teams)
        cost, use = measured(paced, teams, requests, arguments.latency)
        timers, _ = measured(bare, teams, requests, arguments.latency)
        busy = cost * teams * RATE / 1e6
        rows.append((f"{teams:,}", f"{cost:.0f}", f"{timers:.0f}", f"{use:.3f}", f"{busy:.1%}"))
    heads = ("teams", "µs a request", "of it asyncio's timers", "use of the rate", "of a core")
    print(report.table(heads, rows, texts=()))
    print(f"{RATE:g} request a second a team, {arguments.latency:g} s a response. {machine()}.")


if __name__ == "__main__":
    main()
