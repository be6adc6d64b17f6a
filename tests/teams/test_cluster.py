"""Teams shared by Dask workers, which are processes of their own: some are killed, paused, or never there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import exporter
from exporter.cli import main
from exporter.errors import ApiError, ConfigError
from exporter.events import Event, Finished, FromTeam, Noticed
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
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
    lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in shared.items() if value is not None]
    for number in range(1, teams + 1):
        lines += [f"[teams.t{number}]", f'api-key-env = "KEY_{number}"']
    lines.insert(lines.index("[teams.t1]") + 1, 'start = "2025-12-01"')
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
        configuration(tmp_path, simulator.url, end=None)
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
                    at_the_kill.update(
                        {n: t.statistics.requests for n, t in zip(names, simulator.teams.values(), strict=True)}
                    )
                    os.kill(stopped, signal.SIGSTOP)
                    os.kill(killed, signal.SIGKILL)
                    paused.append(stopped)

            for team in simulator.teams.values():
                team.statistics = type(team.statistics)()
            at_each_request(simulator, look)
            run = await start(tmp_path, "--scheduler", dask.address, "--json")
            said = []
            assert run.stderr is not None
            assert run.stdout is not None
            async for line in run.stderr:
                said.append(line.decode())
                if b"waits: " in line:
                    os.kill(paused[0], signal.SIGCONT)
            shown = await run.stdout.read()
            assert await run.wait() == 0, "".join(said)
    assert orjson.loads(shown)["complete"]
    assert len(paused) == 1
    assert any("is gone: others take up its" in line for line in said)
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


async def test_workers_of_this_machine_give_the_same_bytes_and_a_killed_one_is_replaced(tmp_path: Path) -> None:
    out, killed = tmp_path / "out", []
    async with serving(SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.005)) as simulator:
        configuration(tmp_path, simulator.url)
        await ended(await start(tmp_path, "--quiet", environ=keys(simulator)))
        out.rename(tmp_path / "calm")

        def look() -> None:
            if not killed and (pid := holder(out, "t3")):
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

        at_each_request(simulator, look)
        run = await start(tmp_path, "--workers", "2", "--json", environ=keys(simulator))
        facts, said = await ended(run)
        before = {key: team.statistics.requests for key, team in simulator.teams.items()}
        again, _ = await ended(await start(tmp_path, "--workers", "2", "--json", environ=keys(simulator)))
        assert before == {key: team.statistics.requests for key, team in simulator.teams.items()}
    assert facts["complete"]
    assert again["complete"]
    assert len(killed) == 1
    assert "is gone: others take up its" in said
    for number in range(1, TEAMS + 1):
        assert digests(out / f"team=t{number}") == digests(tmp_path / "calm" / f"team=t{number}")


async def test_ctrl_c_stops_all_workers_and_the_same_command_resumes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with serving(SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.02)) as simulator:
        path = configuration(tmp_path, simulator.url)
        run = await start(tmp_path, "--workers", "2", environ=keys(simulator))
        assert run.stderr is not None
        while (out / ".team=t2.exporter" / "spool").exists() is False or not holder(out, "t3"):
            assert await run.stderr.readline()
        workers = {pid for number in range(1, TEAMS + 1) if (pid := holder(out, f"t{number}"))}
        began = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: it reaches the workers, too
        said = (await run.stderr.read()).decode()
        assert await run.wait() == 130
        assert time.monotonic() - began < 2
        assert "Traceback" not in said
        assert "the same command resumes" in said
        for pid in workers:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        assert listed(out)["counts"]["complete"] < TEAMS
        path.write_text(path.read_text().replace("page-size = 20", "page-size = 500"))
        facts, _ = await ended(await start(tmp_path, "--workers", "2", "--json", environ=keys(simulator)))
    assert facts["complete"]
    assert [path.name for path in out.glob(".*")] == []


def listed(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((out / "_teams.json").read_bytes())
    return content


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_apart(SimulatorOptions(rows=ROWS, teams=TEAMS)) as address:
        yield address


KEYS = {f"KEY_{number}": f"simulator-{number}" for number in range(1, TEAMS + 1)} | {"KEY_4": "wrong"}
"""What the workers know, and the tests' own process does not."""


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """Two workers with keys of their own: that of t4 is wrong, that of t5 is missing."""
    environ = {name: key for name, key in KEYS.items() if name != "KEY_5"}
    with dask_processes(tmp_path_factory.mktemp("dask"), **environ) as processes:
        processes.start_workers(2)
        yield processes


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_", "KEY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_workers_read_the_keys_themselves_and_failures_come_back(
    url: str, dask: DaskProcesses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(configuration(tmp_path, url, page_size=500))
    assert main(["run", "out", "--config", config, "--scheduler", dask.address, "--json", "--verbose"]) == 2
    shown = capsys.readouterr()
    facts = orjson.loads(shown.out)
    assert [name for name, team in facts["teams"].items() if team["complete"]] == ["t1", "t2", "t3"]
    assert facts["failed"] == ["t4", "t5"]
    assert "the API refused the key" in facts["teams"]["t4"]["error"]
    assert facts["teams"]["t5"]["error"] == "there is no API key in the variable KEY_5"
    assert "team t5 failed, exit 2" in shown.err
    assert "t2: finished: " in shown.err, "events of workers are shown"
    assert listed(Path("out"))["counts"]["complete"] == 3
    assert not any(key in shown.out + shown.err for key in KEYS.values() if key != "wrong")


def test_python_shares_teams_among_workers(url: str, dask: DaskProcesses) -> None:
    events: list[Event] = []
    teams: Any = {"a": {"api_key_env": "KEY_1"}, "b": {"api_key_env": "KEY_2"}}
    options: Any = {"base_url": url, "rate": 1e6, "end": "2025-12-20", "progress": events.append}
    result = exporter.run("out", teams=teams, scheduler=dask.address, **options)
    assert result.complete
    assert set(result.teams) == {"a", "b"}
    last = [event.event for event in events if isinstance(event, FromTeam) and event.team == "a"][-1]
    assert last == Finished(rows=result.teams["a"].rows, complete=True)
