"""A range never covers what has not passed by the server's clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.config.options import Settings
from exporter.errors import ConfigError, OutputError
from exporter.events import Event, Noticed, Resumed
from exporter.export import export
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from exporter.simulator.world import World
from exporter.vendor.orders import wire_time
from tests.exporting import assert_exact, settings_for
from tests.test_export import stop_after

YEAR = 366 * 86_400


def later(simulator: Simulator, **options: Any) -> Settings:
    """Return settings whose end is a year after the server's last order."""
    end = simulator.options.span()[1] + YEAR
    return settings_for(simulator, end=end, end_asked=wire_time(end), **options)


def end_of(asked: Settings) -> dict[str, Any]:
    return {"end": asked.end, "end_asked": asked.end_asked}


async def test_an_end_in_the_future_is_frozen_like_an_open_one_and_said_so(tmp_path: Path) -> None:
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=50)) as simulator:
        asked = later(simulator)
        summary = await export(tmp_path / "orders", asked, on_event=events.append)
        assert_exact(tmp_path / "orders", simulator)
        with pytest.raises(OutputError, match="up to 2026-01-01T00:00:00") as caught:
            await export(tmp_path / "orders", asked)
    assert summary.end == "2026-01-01T00:00:00+08:00"
    told = [event.message for event in events if isinstance(event, Noticed) and "has not settled" in event.message]
    assert len(told) == 1
    assert wire_time(asked.end or 0) in told[0]
    assert summary.end in told[0]
    manifest = json.loads((tmp_path / "orders" / "_manifest.json").read_bytes())
    assert manifest["query"]["end"] == wire_time(asked.end or 0)
    assert manifest["range"]["stop"] == "2026-01-01T00:00:01+08:00"
    assert "exporter update" in (caught.value.hint or "")


async def test_an_end_that_has_passed_is_complete_for_good(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=50)) as simulator:
        asked = settings_for(simulator)
        await export(tmp_path / "orders", asked)
        assert (await export(tmp_path / "orders", asked)).requests == 0


async def test_work_that_is_resumed_keeps_the_moment_at_which_a_future_end_was_frozen(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=2_000)) as simulator:
        small = {"page_size": 50, "segment_pages": 5}
        await stop_after(25, simulator, tmp_path / "orders", **end_of(later(simulator)))
        world = simulator.world
        simulator.world = World(world.columns, clock=lambda: simulator.options.now() + 86_400)
        events: list[Event] = []
        summary = await export(tmp_path / "orders", later(simulator, **small), on_event=events.append)
    assert summary.end == "2026-01-01T00:00:00+08:00"
    assert summary.rows == 2_000
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert wire_time(resumed.end or 0) == summary.end


async def test_an_end_that_was_given_and_has_passed_is_not_called_frozen(tmp_path: Path) -> None:
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=2_000)) as simulator:
        await stop_after(25, simulator, tmp_path / "orders")
        small = settings_for(simulator, page_size=50, segment_pages=5)
        await export(tmp_path / "orders", small, on_event=events.append)
    (resumed,) = [event for event in events if isinstance(event, Resumed)]
    assert resumed.rows
    assert resumed.end is None


@pytest.mark.parametrize(("settle", "end"), [(0, "2026-01-01T00:05:00+08:00"), (400, "2025-12-31T23:58:20+08:00")])
async def test_the_settle_time_says_how_long_before_the_servers_present_a_range_ends(
    tmp_path: Path, settle: int, end: str
) -> None:
    async with serving(SimulatorOptions(rows=50)) as simulator:
        summary = await export(tmp_path / "orders", settings_for(simulator, end=None, end_asked=None, settle=settle))
    assert summary.end == end


async def test_a_range_of_which_nothing_has_settled_is_refused(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=50)) as simulator:
        last = simulator.options.span()[1]
        with pytest.raises(ConfigError, match="can have settled"):
            await export(tmp_path / "orders", later(simulator, start=last + 1))
