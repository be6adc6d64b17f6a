"""Count the requests of updates, case by case, against those of a new export, and hold each result against the world.

The simulator serves in the same loop, without a pace; what is counted is exact and the same each time. Run it by
`python benchmarks/requests.py --update`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

import exporter
from exporter.config.options import Settings
from exporter.export import export
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks
from exporter.simulator.server import serving
from exporter.simulator.world import World
from exporter.updating import update
from exporter.vendor.orders import Record, wire_time
from exporter.vendor.secret import Secret

DAY = 86_400
OPTIONS = SimulatorOptions(rows=30_000, seed=5)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What happens between an export and the update of its result."""

    name: str
    bound: Callable[[int], float]
    """The most requests that it may take, by those of a new export."""
    new: int = 0
    changes: int = 0
    latest: int | None = None
    late: int = 0
    deletions: int = 0
    quirks: Quirks = field(default_factory=Quirks)


CASES = (
    Case(name="nothing", bound=lambda _: 10),
    Case(name="700 new", new=700, bound=lambda _: 12),
    Case(name="700 new, 50 of the last 900 changed", new=700, changes=50, latest=900, bound=lambda _: 62),
    Case(name="one changed anywhere", changes=1, bound=lambda full: 1.1 * full + 20),
    Case(name="3 came late anywhere", late=3, bound=lambda full: 1.1 * full + 20),
    Case(name="3 vanished anywhere", deletions=3, bound=lambda full: 1.1 * full + 20),
    Case(name="5,000 changed everywhere", changes=5_000, bound=lambda full: 1.1 * full + 20),
    Case(
        name="totals stop at 10,000",
        new=700,
        quirks=Quirks(total_cap=10_000),
        bound=lambda full: 1.1 * full + 20,
    ),
)


class _Clock:
    """The clock of a world, put forward between the export and the update."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def measured() -> AsyncIterator[dict[str, Any]]:
    """Yield a row of the table for each case."""
    for case in CASES:
        yield await _measure(case)


async def _measure(case: Case) -> dict[str, Any]:
    options = replace(OPTIONS, quirks=case.quirks)
    clock = _Clock(options.now() + 7 * DAY)  # nothing counts down any more
    world = World(World.of(options).columns, clock=clock, quirks=case.quirks, seed=options.seed)
    async with serving(options, world) as simulator:
        first, _ = options.span()
        settings = Settings(
            base_url=simulator.url,
            api_key=Secret(options.key),
            start=first,
            end=None,
            start_asked=wire_time(first),
            end_asked=None,
            rate=1e6,
        )
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "orders")
            await export(out, settings)
            world.pass_time(changes=case.changes, late=case.late, deletions=case.deletions, latest=case.latest)
            begin, clock.now = int(clock.now), clock.now + DAY
            for number in range(case.new):
                world.insert((begin + number * 100) * 1000)
            before = simulator.statistics.requests
            found = await update(out, settings)
            sent = simulator.statistics.requests - before
            full = (await export(Path(folder, "new"), settings)).requests
            exact = _texts(exporter.records(exporter.open(out).to_arrow())) == _texts(world.oracle())
    return {
        "case": case.name,
        "sent": sent,
        "full": full,
        "at most": int(case.bound(full)),
        "kept": f"{found.segments_kept} of {found.segments}",
        "exact": exact,
    }


def _texts(records: Any) -> Counter[bytes]:
    def text(record: Record) -> bytes:
        return orjson.dumps({**record, "expired_seconds": 0})

    return Counter(map(text, records))
