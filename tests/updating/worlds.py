"""What the tests of updates share: a server that outlives a run, the update of its result, and what must hold then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from exporter.config.options import Settings
from exporter.export import export
from exporter.progress.summary import UpdateSummary
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from exporter.store.verify import verify
from exporter.updating import update
from exporter.vendor.orders import Record, wire_time
from tests.exporting import held, settings_for

DAY = 86_400


class Clock:
    """The clock of a world; it is put forward by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def world_of(options: SimulatorOptions) -> tuple[World, Clock]:
    """Make a world whose clock stands, five minutes after its last possible order, until it is put forward."""
    clock = Clock(options.now())
    made = World.of(options)
    return World(made.columns, clock=clock, quirks=options.quirks, seed=options.seed), clock


def grow(world: World, clock: Clock, *, orders: int, seconds: int = DAY) -> None:
    """Put the clock forward, and let new orders be made meanwhile."""
    begin = int(clock.now)
    clock.now += seconds
    for number in range(orders):
        world.insert((begin + (number + 1) * (seconds - 600) // (orders + 1)) * 1000)


def asked(simulator: Simulator, **options: Any) -> Settings:
    """Return settings whose texts are times, with an end that is open unless one is given."""
    first, _ = simulator.options.span()
    end = options.pop("end", None)
    return settings_for(
        simulator,
        start_asked=wire_time(first),
        end=end,
        end_asked=None if end is None else wire_time(end),
        **options,
    )


def without_countdown(records: list[Record]) -> list[Record]:
    return [{**record, "expired_seconds": 0} for record in records]


async def exported(out: Path, simulator: Simulator, **options: Any) -> int:
    """Export; return the requests that it took."""
    before = simulator.statistics.requests
    assert (await export(out, asked(simulator, **options))).complete
    return simulator.statistics.requests - before


async def updated(out: Path, simulator: Simulator, **options: Any) -> UpdateSummary:
    """Update, and hold the result against what the server has: all but the countdowns of rows that were kept."""
    changes = options.pop("changes", None)
    before = simulator.statistics.requests
    summary = await update(out, asked(simulator, **options), changes=changes)
    assert summary.requests == simulator.statistics.requests - before
    assert summary.complete
    assert_current(out, simulator)
    return summary


def assert_current(out: Path, simulator: Simulator) -> None:
    manifest = verify(out)
    body = {"created_at_start": wire_time(manifest.whole.start), "created_at_end": wire_time(manifest.whole.stop - 1)}
    expected = without_countdown(simulator.world.oracle(body))

    def key(record: Record) -> tuple[str, ...]:
        return (record["created_at"], *map(str, record.values()))

    assert sorted(without_countdown(held(out)), key=key) == sorted(expected, key=key)
