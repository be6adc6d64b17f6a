"""Count the requests that an export sends, case by case, and what plain page fan-out would lose and double.

Both run against the simulator in memory: no line, no pace, no faults; what is counted is exact and the same each time.

    python benchmarks/requests.py [--quick] [--json]
    python benchmarks/requests.py --update [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from updates import measured

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.config.options import Settings
from exporter.crawl.engine import Engine
from exporter.simulator.in_process import InProcessClient
from exporter.simulator.options import Shape, SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.world import World
from exporter.vendor.orders import IDENTITY_FIELDS, PageRequest, Record
from exporter.vendor.secret import Secret

Bound = tuple[float, int]
"""A factor on the ideal number of requests and what is added to it."""

STABLE: Bound = (1.01, 6)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    options: SimulatorOptions
    bound: Bound


def cases(*, quick: bool) -> list[Case]:
    """Return the cases of the table; the quick ones leave out a million orders."""
    shapes: tuple[Shape, ...] = ("flat", "bursty", "late")
    made = [
        Case(name=f"stable ties, {shape}", options=SimulatorOptions(rows=rows, shape=shape, ties=40), bound=STABLE)
        for rows in ((100_000,) if quick else (100_000, 1_000_000))
        for shape in shapes
    ]
    shuffled = Quirks(shuffled_ties=True)
    made.append(
        Case(
            name="ties up to 40 reshuffled",
            options=SimulatorOptions(rows=100_000, ties=40, quirks=shuffled),
            bound=(1.06, 40),
        )
    )
    made.append(
        Case(
            name="ties up to 400 reshuffled",
            options=SimulatorOptions(rows=100_000, ties=400, quirks=shuffled),
            bound=(1.45, 40),
        )
    )
    inserts = Quirks(inserts=(7, 19, 31, 43, 55))
    made.append(Case(name="5 late inserts", options=SimulatorOptions(rows=30_000, quirks=inserts), bound=(2.0, 40)))
    return made


async def by_engine(options: SimulatorOptions) -> tuple[int, list[Record], World]:
    """Export in memory; return the requests, the records held, and the world."""
    world = World.of(options)
    client = InProcessClient(world)
    held: dict[Span, tuple[Certificate, pa.Table]] = {}

    async def commit(certificate: Certificate, table: pa.Table) -> None:
        held[certificate.span] = certificate, table

    async def inline(function: Any, /, *args: Any) -> Any:
        return function(*args)

    first, last = options.span()
    settings = Settings(
        api_key=Secret("none"), start=first, end=last, start_asked="", end_asked="", timezone="Asia/Shanghai"
    )
    engine = Engine(
        settings, client.ask, commit=commit, off_loop=inline, emit=lambda _: None, latency=lambda: 0.0, clock=time.time
    )
    outcome = await engine.run(
        certificates=lambda: [held[span][0] for span in sorted(held)], read=lambda span: held[span][1]
    )
    if outcome.failure is not None:
        raise outcome.failure
    records = [record for span in sorted(held) for record in columns.records(held[span][1])]
    return len(client.requests), records, world


async def by_fan_out(options: SimulatorOptions) -> tuple[int, list[Record], World]:
    """Export as most scripts do: page 1 shows `total_page`, all other pages are requested at once."""
    world = World.of(options)
    client = InProcessClient(world)
    first, last = options.span()
    opening = await client.ask(PageRequest(first=first, last=last))
    pages = await asyncio.gather(
        *(
            client.ask(PageRequest(first=first, last=last, page=page))
            for page in range(2, (opening.total_page or 1) + 1)
        )
    )
    return len(client.requests), [record for response in (opening, *pages) for record in response.records], world


def losses(records: Sequence[Record], world: World) -> tuple[int, int]:
    """Return how many orders that were there all the time are missing, and how many are doubled."""
    drifted = _identities(world.drifted)
    truth, held = _identities(world.oracle()), _identities(records)
    missing, doubled = truth - held - drifted, held - truth - drifted
    return missing.total(), doubled.total()


def _identities(records: Sequence[Record]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(record[name] for name in IDENTITY_FIELDS) for record in records)


def measure(case: Case) -> dict[str, Any]:
    """Return one row of the table."""
    ideal = math.ceil(case.options.rows / 500)
    sent, records, world = asyncio.run(by_engine(case.options))
    missing, doubled = losses(records, world)
    plain_sent, plain, plain_world = asyncio.run(by_fan_out(case.options))
    plain_missing, plain_doubled = losses(plain, plain_world)
    factor, extra = case.bound
    return {
        "case": case.name,
        "orders": case.options.rows,
        "ideal": ideal,
        "sent": sent,
        "at most": math.floor(ideal * factor) + extra,
        "ratio": round(sent / ideal, 4),
        "exact": not missing and not doubled,
        "fan-out sent": plain_sent,
        "fan-out lost": plain_missing,
        "fan-out doubled": plain_doubled,
    }


def updates() -> list[dict[str, Any]]:
    """Return the rows of the table of updates."""

    async def rows() -> list[dict[str, Any]]:
        return [row async for row in measured()]

    return asyncio.run(rows())


def main() -> int:
    """Print the table; exit 1 if a case is not exact or sends more than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the cases with a million orders")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    parser.add_argument("--update", action="store_true", help="count the requests of updates instead")
    arguments = parser.parse_args()
    made = updates() if arguments.update else (measure(case) for case in cases(quick=arguments.quick))
    failed = False
    for number, row in enumerate(made):
        failed = failed or not row["exact"] or row["sent"] > row["at most"]
        if arguments.json:
            print(json.dumps(row))
            continue
        if not number:
            print(" | ".join(row))
        print(" | ".join(f"{value:,}" if type(value) is int else str(value) for value in row.values()), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
