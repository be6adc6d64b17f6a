"""An export in a process of its own, killed at any moment: the same command ends in the same bytes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from tests.exporting import assert_exact, digests

KILLS = 25
PAGES = 5
"""Pages a segment."""


async def start(simulator: Simulator, out: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "run", str(out), "--base-url", simulator.url, "--rate", "1000000"),
        *("--start", "2020-01-01", "--end", "2026-01-01", "--segment-pages", str(PAGES), "--page-size", "100"),
        *("--windows", "2", "--quiet"),
        env={**os.environ, "DUOPLUS_API_KEY": simulator.options.key},
        stdout=DEVNULL,
        stderr=DEVNULL,
    )


def at_request(simulator: Simulator, number: int, action: Callable[[], None]) -> None:
    """Do something when the given request from now on arrives, before its response."""
    (team,) = simulator.teams.values()
    decide, left = type(team).decide, number

    def counting(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            action()
        return decide(team, *arguments)

    team.decide = counting  # type: ignore[assignment,method-assign]


async def test_killed_at_25_random_moments_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    random = Random(4)
    async with serving(SimulatorOptions(rows=25_000)) as simulator:
        assert await (await start(simulator, tmp_path / "calm")).wait() == 0
        calm = simulator.statistics.requests
        killed = 0
        while killed < KILLS:
            process = await start(simulator, tmp_path / "killed")
            at_request(simulator, random.randint(1, 30), process.kill)
            code = await process.wait()
            if code == 0:
                break
            assert code == -signal.SIGKILL
            killed += 1
        at_request(simulator, 0, process.kill)
        if code:
            assert await (await start(simulator, tmp_path / "killed")).wait() == 0
        assert_exact(tmp_path / "killed", simulator)
        asked_again = simulator.statistics.requests - 2 * calm
    assert digests(tmp_path / "calm") == digests(tmp_path / "killed")
    assert killed >= KILLS // 2
    # Two segments a window; and each time the first page, the next boundary page and the page that shows the team.
    assert asked_again <= killed * 2 * (2 * PAGES + 3)
