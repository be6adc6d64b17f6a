"""Measure how much of the allowed rate the client uses and how much of what it sends is refused.

python -m benchmarks.pace            simulated: thousands of requests in virtual time, the whole client but the network
python -m benchmarks.pace --real     1,000 requests at 20 a second on loopback, the server in a process of its own
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random
from types import TracebackType
from typing import Self

from exporter.config.options import Settings
from exporter.http.client import Client
from exporter.http.permits import Permit
from exporter.simulator.child_process import serving_apart
from exporter.simulator.faults import REFUSAL
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.rate_rules import RuleName, rule
from exporter.vendor.envelope import HttpResponse
from exporter.vendor.orders import PageRequest
from exporter.vendor.secret import Secret

RULES: tuple[RuleName, ...] = ("gap", "sliding", "fixed")
PAGE = HttpResponse(200, {}, b'{"code":200,"data":{"list":[],"page":1,"pagesize":500,"total":0},"message":"Success"}')
TOO_FREQUENT = HttpResponse(200, {}, REFUSAL)
QUESTION = PageRequest(first=0, last=1)


@dataclass(frozen=True, kw_only=True)
class PaceCase:
    """What is simulated: `rate` is the client's setting, `allowed` the server's; `jitter` is in seconds."""

    rule: RuleName
    strict: bool
    rate: float
    allowed: float
    jitter: float
    share: float
    """The share of the allowed rate that must be reached; `refused`: the share of requests that may be refused."""
    refused: float
    requests: int = 5_000
    learning: float = 0.0
    """The share of the run that is left out of the figures."""


def cases() -> Iterator[PaceCase]:
    for name, strict in product(RULES, (False, True)):
        for jitter, share, refused in ((0.005, 0.985, 0.005), (0.05, 0.94, 0.01)):
            yield PaceCase(rule=name, strict=strict, rate=1, allowed=1, jitter=jitter, share=share, refused=refused)
        yield PaceCase(rule=name, strict=strict, rate=20, allowed=20, jitter=0.0005, share=0.96, refused=0.005)
        for rate, jitter in ((1.0, 0.005), (1.0, 0.05), (20.0, 0.0005)):
            yield PaceCase(
                rule=name,
                strict=strict,
                rate=rate,
                allowed=0.9 * rate,
                jitter=jitter,
                share=0.93,
                refused=0.01,
                learning=0.1,
            )


class Line:
    """A line with jitter to a server with a rule, 50 ms away, without a network."""

    def __init__(self, case: PaceCase, random: Random) -> None:
        self._case = case
        self._random = random
        self._rule = rule(case.rule, case.allowed, strict=case.strict)
        self.served: list[float] = []
        self.refused: list[float] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
        """Arrive late by up to the jitter; be served or refused."""
        assert body
        assert not new_connection
        await permit.come()
        permit.left()
        await asyncio.sleep(self._random.random() * self._case.jitter)
        now = asyncio.get_running_loop().time()
        allowed = self._rule.allows(now)
        (self.served if allowed else self.refused).append(now)
        await asyncio.sleep(0.05)
        return PAGE if allowed else TOO_FREQUENT


def settings(**changes: object) -> Settings:
    plain = {"api_key": Secret("simulator"), "start": 0, "end": 1, "start_asked": "a", "end_asked": "b"}
    return Settings(**(plain | changes))  # type: ignore[arg-type]


async def ask(client: Client, requests: int) -> None:
    """Send `requests` requests, always a few at once."""
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await client.ask(QUESTION)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(requests, 32)):
            tasks.create_task(work())


async def simulate(case: PaceCase, seed: int) -> tuple[float, float]:
    """Return the share of the allowed rate and the share of refusals."""
    line = Line(case, Random(seed))
    async with Client(settings(rate=case.rate), transport=line, random=Random(seed).random) as client:
        await ask(client, case.requests)
    first = int(case.learning * case.requests)
    start, end, served = line.served[first], line.served[-1], case.requests - first
    refused = sum(moment >= start for moment in line.refused)
    return (served - 1) / (end - start) / case.allowed, refused / (served + refused)


def simulated(seeds: int) -> bool:
    """Print the table of the simulation, the worst of some seeds a row; return whether all figures were met."""
    from tests.virtual_time import run  # noqa: PLC0415 - only found from the project's folder, by `python -m`

    print(f"simulated, the worst of {seeds} runs of 5,000 requests\n")
    print("| rule | refused count too | setting /s | allowed /s | jitter ms | share | at least | refused | at most | |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    good = True
    for case in cases():
        results = [run(simulate(case, seed)) for seed in range(seeds)]
        share, refused = min(result[0] for result in results), max(result[1] for result in results)
        met = share >= case.share and refused <= case.refused
        good = good and met
        counted = "yes" if case.strict else "no"
        print(
            f"| {case.rule} | {counted} | {case.rate:g} | {case.allowed:g} | {case.jitter * 1000:g} "
            f"| {share:.2%} | {case.share:.1%} | {refused:.2%} | {case.refused:.1%} | {'ok' if met else 'MISSED'} |",
            flush=True,
        )
    return good


async def measure(url: str, *, rate: float, requests: int) -> tuple[float, float]:
    """Return the requests served a second and the share refused, against a real server."""
    async with Client(settings(base_url=url, rate=rate)) as client:
        await client.ask(QUESTION)
        began = time.perf_counter()
        await ask(client, requests)
        seconds = time.perf_counter() - began
        statistics = client.statistics
    return requests / seconds, statistics.rate_limited / statistics.requests


def real(requests: int) -> bool:
    """Print the table of real time; return whether all figures were met."""
    print(f"real time, {requests:,} requests at 20 a second on loopback\n")
    print("| rule | share | at least | refused | at most | |")
    print("|---|---|---|---|---|---|")
    good = True
    for name in RULES:
        with serving_apart(SimulatorOptions(rows=1_000, rate=20, rule=name)) as url:
            speed, refused = asyncio.run(measure(url, rate=20, requests=requests))
        met = speed / 20 >= 0.96 and refused <= 0.005
        good = good and met
        print(f"| {name} | {speed / 20:.2%} | 96% | {refused:.2%} | 0.5% | {'ok' if met else 'MISSED'} |", flush=True)
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="against a server on loopback, in real time")
    parser.add_argument("--requests", type=int, default=1_000, help="with --real; default 1,000")
    parser.add_argument("--seeds", type=int, default=3, help="simulated runs of each case; default 3")
    given = parser.parse_args()
    raise SystemExit(0 if (real(given.requests) if given.real else simulated(given.seeds)) else 1)
