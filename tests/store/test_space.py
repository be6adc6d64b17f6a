"""An export and a plan warn when the disk will not do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.events import Event, Noticed
from exporter.export import export
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import serving
from tests.exporting import settings_for


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "warned"), [(10_000, True), (10**12, False)])
async def test_the_start_of_an_export_warns_when_the_space_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, warned: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=200)) as simulator:
        await export(tmp_path / "orders", settings_for(simulator), on_event=events.append)
    notices = [event.message for event in events if isinstance(event, Noticed)]
    assert any("is too small" in notice for notice in notices) == warned
