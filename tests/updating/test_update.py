"""A result is brought up to date by few requests, and is then what a new export would be."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import serving
from exporter.store.manifest import loads
from tests.exporting import digests
from tests.updating.worlds import DAY, exported, grow, updated, world_of

LARGE = SimulatorOptions(rows=30_000, seed=5)


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
async def test_where_nothing_changed_ten_requests_show_it_and_the_files_stay(tmp_path: Path, name: str) -> None:
    world, clock = world_of(LARGE)
    out = tmp_path / name
    async with serving(LARGE, world) as simulator:
        grow(world, clock, orders=0, seconds=7 * DAY)  # nothing counts down any more
        await exported(out, simulator)
        before = digests(out) if out.is_dir() else out.read_bytes()
        inode = next(out.glob("*.parquet")).stat().st_ino if out.is_dir() else out.stat().st_ino
        grow(world, clock, orders=0)
        summary = await updated(out, simulator)
    assert summary.requests <= 10
    assert (summary.added, summary.changed, summary.vanished) == (0, 0, 0)
    assert summary.segments_kept == summary.segments - 1, "all but the new range"
    assert (digests(out) if out.is_dir() else out.read_bytes()) == before
    assert (next(out.glob("*.parquet")) if out.is_dir() else out).stat().st_ino == inode, "not even written again"


async def test_the_month_of_the_issue_costs_no_more_than_it_says(tmp_path: Path) -> None:
    world, clock = world_of(LARGE)
    async with serving(LARGE, world) as simulator:
        full = await exported(tmp_path / "orders", simulator)
        world.pass_time(changes=50, latest=900)
        grow(world, clock, orders=700)
        summary = await updated(tmp_path / "orders", simulator)
        await exported(tmp_path / "new", simulator)
    print(summary, full)
    assert summary.requests <= 62
    assert summary.requests_full >= full
    assert (summary.added, summary.vanished) == (700, 0)
    assert 50 <= summary.changed
