"""Teams shared by Dask workers, which are processes of their own: some are killed, paused, or never there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import exporter
from exporter.cli import main
from exporter.errors import ApiError, ConfigError
from exporter.events import Event, FromTeam, Noticed
from exporter.simulator import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from tests.exporting import digests, held, identities
from tests.teams.dask_processes import DaskProcesses, dask_processes, tls_environment

TEAMS = 5
ROWS = 2_000
PAGE = 20
PAGES = 5
"""Pages a segment."""


def configuration(folder: Path, url: str, *, teams: int = TEAMS, **options: Any) -> Path:
    """Write a file of teams t1, t2, …; the first one has few orders."""
    shared = {
        "base-url": url,
        "rate": 1e6,
        "end": "2026-01-01",
        "windows": 1,
        "page-size": PAGE,
        "segment-pages": PAGES,
    }
    shared |= {name.replace("_", "-"): value for name, value in options.items()}
    lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in shared.items()]
    for number in range(1, teams + 1):
        lines += [f"[teams.t{number}]", f'api-key-env = "KEY_{number}"']
    lines.insert(len(shared) + 2, 'start = "2025-12-01"')
    path = folder / "teams.toml"
    path.write_text("\n".join(lines))
    return path


def keys(simulator: Simulator) -> dict[str, str]:
    return {f"KEY_{number}": key for number, key in enumerate(simulator.options.keys(), start=1)}


async def start(folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> Process:
    """Start the command on the configuration in a folder, in a process group of its own."""
    command = ["-m", "exporter", "run", str(folder / "out"), "--config", str(folder / "teams.toml"), *arguments]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *command),
        env={**os.environ, **(environ or {})},
        cwd=folder,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )


async def ended(process: Process) -> tuple[dict[str, Any], str]:
    """Return what a command that succeeds printed."""
    shown, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()
    return orjson.loads(shown) if shown.startswith(b"{") else {}, said.decode()


def at_each_request(simulator: Simulator, look: Callable[[], None]) -> None:
    """Call `look` when a request arrives, before its response."""
    for team in simulator.teams.values():

        def looking(*arguments: Any, decide: Callable[..., Any] = team.decide) -> Any:
            look()
            return decide(*arguments)

        team.decide = looking  # type: ignore[method-assign]


def assert_exact(out: Path, simulator: Simulator, names: list[str]) -> None:
    for name, team in zip([f"t{number}" for number in range(1, TEAMS + 1)], simulator.teams.values(), strict=True):
        if name in names:
            assert identities(held(out / f"team={name}")) == identities(team.world.oracle())


def holder(out: Path, team: str) -> int | None:
    """Return the process that works on a team; None: it has not begun, or has ended."""
    try:
        return int(orjson.loads((out / f".team={team}.exporter" / "lock").read_bytes())["pid"])
    except (OSError, ValueError):
        return None


async def test_teams_of_a_killed_and_of_a_paused_worker_are_taken_up_by_the_third(tmp_path: Path) -> None:
    """The paused one wakes up when another one waits for its teams: it lets go of them."""
    out = tmp_path / "out"
    options = SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.005)
    names = [f"t{number}" for number in range(1, TEAMS + 1)]
    at_the_kill: dict[str, int] = {}
    paused: list[int] = []
    async with serving(options) as simulator:
        configuration(tmp_path, simulator.url)
        calm = await start(tmp_path, "--quiet", environ=keys(simulator))
        await ended(calm)
        (tmp_path / "out").rename(tmp_path / "calm")
        with dask_processes(tmp_path, **keys(simulator)) as dask:
            dask.start_workers(3)
            workers = {process.pid for process in dask.workers}

            def look() -> None:
                """Once the first team is complete and three workers are busy, kill one and pause another."""
                if at_the_kill or not (out / "team=t1").exists():
                    return
                busy = {pid for name in names if (pid := holder(out, name)) in workers}
                if len(busy) == 3:
                    killed, stopped, _ = sorted(busy)
                    at_the_kill.update({n: t.statistics.requests for n, t in zip(names, simulator.teams.values())})
                    os.kill(stopped, signal.SIGSTOP)
                    os.kill(killed, signal.SIGKILL)
                    paused.append(stopped)

            for team in simulator.teams.values():
                team.statistics = type(team.statistics)()
            at_each_request(simulator, look)
            run = await start(tmp_path, "--scheduler", dask.address, "--json")
            said = []
            assert run.stderr is not None
            async for line in run.stderr:
                said.append(line.decode())
                if b"waits: " in line:
                    os.kill(paused[0], signal.SIGCONT)
            print("".join(said))
            facts, _ = await ended(run)
    assert facts["complete"], said
    assert len(paused) == 1
    assert any("is gone: others take up its teams" in line for line in said)
    assert any("waits: " in line and f"process {paused[0]}" in line for line in said)
    assert_exact(out, simulator, names[1:])
    for name, team in zip(names, simulator.teams.values(), strict=True):
        assert digests(out / f"team={name}") == digests(tmp_path / "calm" / f"team={name}")
        again = team.statistics.repeated
        if team.statistics.requests == at_the_kill[name]:
            continue
        assert name != "t1", "a team that is complete is not asked again"
        # Two segments of a window may be under way; and the first page and those that show the team.
        assert again <= 2 * PAGES + 3, (name, again)
    assert [path.name for path in out.glob(".*")] == []
