"""Teams shared by Dask workers, which are processes of their own: some are killed, paused, or never there."""

from __future__ import annotations

import asyncio
import datetime as dt
import fcntl
import gc
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pytest
from dask.config import set as set_config
from distributed import Client, KilledWorker

import exporter
from exporter.cli import main
from exporter.config import sources, teams
from exporter.config.cluster import Cluster
from exporter.config.options import ClusterOptions, Options, OutputOptions, Settings, options_of
from exporter.config.travel import Keyless, KeySource
from exporter.errors import ApiError, ConfigError
from exporter.events import Event, Finished, FromTeam, Noticed
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.server import Simulator, serving
from exporter.teams import cluster, dask_client, export_teams
from exporter.teams.cluster import export_on_cluster
from tests.exporting import digests, held, identities, settings_for
from tests.teams.dask_processes import DaskProcesses, dask_processes, tls_config, tls_environment

TEAMS = 5
NAMES = [f"t{number}" for number in range(1, TEAMS + 1)]
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


def settings_in(folder: Path, simulator: Simulator) -> dict[str, Settings]:
    """Return the settings of the teams in the configuration of a folder."""
    config, known = folder / "teams.toml", options_of(Options, ClusterOptions, OutputOptions)
    found = teams.choose(
        sources.choose(known, sources.toml_file(config, known)),
        teams.tables_in(config),
        config=config,
        environ=keys(simulator),
    )
    return {name: teams.settings_of(*each, team=name, now=dt.datetime.now(dt.UTC)) for name, each in found.items()}


def keyless(folder: Path, simulator: Simulator) -> dict[str, Keyless]:
    """Return what workers are sent of the teams in the configuration of a folder."""
    return {
        name: Keyless.of(settings, KeySource(variable=name.replace("t", "KEY_")))
        for name, settings in settings_in(folder, simulator).items()
    }


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

        team.decide = looking  # type: ignore[assignment,method-assign]


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
    at_the_kill: dict[str, int] = {}
    paused: list[int] = []
    async with serving(options) as simulator:
        configuration(tmp_path, simulator.url, end=None)
        await export_teams(tmp_path / "calm", settings_in(tmp_path, simulator))
        with dask_processes(tmp_path, **keys(simulator)) as dask:
            dask.start_workers(3)
            workers = {process.pid for process in dask.workers}

            def look() -> None:
                """Once the first team is complete and three workers are busy, kill one and pause another."""
                if at_the_kill or not (out / "team=t1").exists():
                    return
                busy = {pid for name in NAMES if (pid := holder(out, name)) in workers}
                if len(busy) == 3:
                    killed, stopped, _ = sorted(busy)
                    at_the_kill.update(
                        {n: t.statistics.requests for n, t in zip(NAMES, simulator.teams.values(), strict=True)}
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
    assert_exact(out, simulator, NAMES[1:])
    for name, team in zip(NAMES, simulator.teams.values(), strict=True):
        assert digests(out / f"team={name}") == digests(tmp_path / "calm" / f"team={name}")
        again = team.statistics.repeated
        if team.statistics.requests == at_the_kill[name]:
            continue
        assert name != "t1", "a team that is complete is not asked again"
        # Two segments of a window may be under way; and the first page and those that show the team.
        assert again <= 2 * PAGES + 3, (name, again)
    assert [path.name for path in out.glob(".*")] == []


async def test_a_killed_worker_of_this_machine_is_replaced_and_ctrl_c_stops_all(tmp_path: Path) -> None:
    """The same command resumes."""
    out = tmp_path / "out"
    killed: list[int] = []
    async with serving(SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.02)) as simulator:
        path = configuration(tmp_path, simulator.url)

        def look() -> None:
            if not killed and (pid := holder(out, "t3")):
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

        at_each_request(simulator, look)
        run = await start(tmp_path, "--workers", "2", environ=keys(simulator))
        assert run.stderr is not None
        while b"is gone: others take up its" not in (line := await run.stderr.readline()):
            assert line
        began = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: it reaches the workers, too
        said = (await run.stderr.read()).decode()
        assert await run.wait() == 130
        assert time.monotonic() - began < 5, "0.3 s on a quiet machine, where it may take 2"
        assert said.count("Traceback") <= 1, "but from the process that Python just starts for the one that was killed"
        assert "the same command resumes" in said
        await released(out)
        assert listed(out)["counts"]["complete"] < TEAMS
        path.write_text(path.read_text().replace(f"page-size = {PAGE}", "page-size = 500"))
        facts, _ = await ended(await start(tmp_path, "--workers", "2", "--json", environ=keys(simulator)))
        assert facts["complete"]
        assert facts["rows"] == sum(len(held(out / f"team={name}")) for name in NAMES)
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
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_", "KEY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    gc.collect()  # while Dask's own sockets are not complained of


# Dask leaves the socket of an attempt that a lost scheduler refused to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <(ssl|socket):ResourceWarning")


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
    named: Any = {"a": {"api_key_env": "KEY_1"}, "b": {"api_key_env": "KEY_2"}}
    options: Any = {"base_url": url, "rate": 1e6, "end": "2025-12-20", "progress": events.append}
    result = exporter.run("out", teams=named, scheduler=dask.address, **options)
    assert result.complete
    assert set(result.teams) == {"a", "b"}
    last = [event.event for event in events if isinstance(event, FromTeam) and event.team == "a"][-1]
    assert last == Finished(rows=result.teams["a"].rows, complete=True)


def test_two_names_for_one_team_are_a_warning_wherever_they_run(url: str, dask: DaskProcesses) -> None:
    """The same orders come for both: only the key's place differs."""
    Path("key").write_text("simulator-1")
    events: list[Event] = []
    named: Any = {"a": {"api_key_env": "KEY_1"}, "b": {"api_key_file": "key"}}
    options: Any = {"base_url": url, "rate": 1e6, "end": "2025-12-20", "progress": events.append}
    assert exporter.run("out", teams=named, scheduler=dask.address, **options).complete
    assert [event for event in events if isinstance(event, Noticed) and "seem to be one" in event.message] != []


async def released(out: Path) -> None:
    """Wait until no worker holds a team."""

    def wait() -> None:
        for path in out.glob(".team=*/lock"):
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)

    await asyncio.wait_for(asyncio.to_thread(wait), 30)


async def test_workers_stop_when_the_command_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with serving(SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.02)) as simulator:
        configuration(tmp_path, simulator.url, end="2025-12-31T23:00:00")  # settled: a team may be complete by then
        with dask_processes(tmp_path, **keys(simulator)) as dask:
            dask.start_workers(1)
            under_way = asyncio.Event()
            at_each_request(simulator, lambda: under_way.set() if holder(out, "t3") else None)
            run = await start(tmp_path, "--scheduler", dask.address, "--quiet")
            await under_way.wait()
            run.kill()
            await run.wait()
            await released(out)
            facts, _ = await ended(await start(tmp_path, "--scheduler", dask.address, "--json"))
    assert facts["complete"]
    assert [path.name for path in out.glob(".*")] == [], "what the killed command left is removed"


async def test_a_team_whose_workers_are_all_lost_fails_with_a_hint() -> None:
    class Given:
        async def result(self) -> Any:
            worker: Any = None
            raise KilledWorker("t", worker, allowed_failures=3)

    given: Any = Given()
    nobody: Any = None
    outcome = await cluster._Shared(nobody, "run", {}, lambda _: None)._outcome("t", given)
    assert (outcome.exit_code, outcome.message) == (3, "4 workers were lost while they exported team t")


async def test_heartbeats_are_sent_while_pages_are_decoded(dask: DaskProcesses, tmp_path: Path) -> None:
    """The worker's own event loop answers at once, however much the exports' has to do."""
    waits: list[float] = []
    with serving_apart(SimulatorOptions(rows=30_000, teams=2)) as address:
        made = {
            f"t{number}": Keyless.of(
                settings_for(Simulator(SimulatorOptions()), base_url=address, api_key="-", page_size=500),
                KeySource(variable=f"KEY_{number}"),
            )
            for number in (1, 2)
        }
        async with Client(dask.address, asynchronous=True, set_as_default=False) as client:
            await client.run(import_module, "exporter.teams.worker")
            where = Cluster(scheduler=dask.address)
            export = asyncio.create_task(export_on_cluster(tmp_path / "out", made, where))
            while not export.done():
                began = time.monotonic()
                await client.run(asyncio.sleep, 0)
                waits.append(time.monotonic() - began)
        assert (await export).complete
    assert len(waits) > 5
    assert max(waits) < 2, "Dask gives up a worker after minutes"


async def test_a_bug_is_tried_again_and_then_the_teams_own(dask: DaskProcesses, tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=10, teams=2)) as simulator:
        configuration(tmp_path, simulator.url, teams=2)
        made, where = keyless(tmp_path, simulator), Cluster(scheduler=dask.address)
        summary = await export_on_cluster(tmp_path / "out", made, where, work=breaking)
    assert summary.exit_code == 1
    assert summary.outcomes["t1"].message == "ZeroDivisionError: t1"
    assert len((tmp_path / "tries").read_text().splitlines()) == 2 * (1 + cluster.RETRIES)


async def breaking(out: Path, *_: Any, **__: Any) -> Any:
    """Fail as no export should; count how often."""
    with (out.parent.parent / "tries").open("a") as file:
        file.write(f"{out.name}\n")
    raise ZeroDivisionError(out.name.removeprefix("team="))


async def test_over_tls_workers_that_come_late_or_go_and_a_scheduler_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = tls_environment(tmp_path)
    monkeypatch.setattr(dask_client, "FIRST_WORKER", 0.3)
    monkeypatch.setattr(dask_client, "CONNECT", 3.0)
    monkeypatch.setattr(cluster, "NO_WORKER", 0.5)
    monkeypatch.setattr(cluster, "LOOK_EVERY", 0.1)
    async with serving(SimulatorOptions(rows=ROWS, teams=TEAMS, latency=0.01)) as simulator:
        configuration(tmp_path, simulator.url)
        made = keyless(tmp_path, simulator)
        with dask_processes(tmp_path, **environ, **keys(simulator)) as dask, set_config(tls_config(environ)):
            where = Cluster(scheduler=dask.address)
            assert dask.address.startswith("tls://")
            with pytest.raises(ApiError, match="has had no worker for"):
                await export_on_cluster(tmp_path / "out", made, where)
            dask.start_workers(1)
            assert (await export_on_cluster(tmp_path / "out", made, where)).complete
            at_each_request(simulator, dask.workers[0].kill)
            with pytest.raises(ApiError, match="has had no worker for"):
                await export_on_cluster(tmp_path / "killed", made, where)
            dask.start_workers(1)
            at_each_request(simulator, dask.scheduler.kill)
            with pytest.raises(ApiError, match="connection to the Dask scheduler was lost"):
                await export_on_cluster(tmp_path / "killed", made, where)
            await released(tmp_path / "killed")
    assert [team["state"] for team in listed(tmp_path / "killed")["teams"].values()] == ["unfinished"] * TEAMS


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], 3, "no Dask scheduler answers at tcp://127.0.0.1:1"),
        (["--scheduler", "tls://127.0.0.1:1"], 2, "DASK_DISTRIBUTED__COMM__TLS__"),
        (["--scheduler", "nowhere"], 2, "nowhere can't be used as a Dask scheduler"),
        (["--scheduler", "x://127.0.0.1:1"], 2, "x://127.0.0.1:1 can't be used as a Dask scheduler"),
        (["--workers", "0"], 2, "--workers is '0': a whole number from 1"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], 2, "only one of the two can hold"),
        (["--workers", "2"], 2, "team t1: the variable KEY_1 is not set"),
    ],
)
def test_what_can_not_be_used_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str],
    code: int, said: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(dask_client, "CONNECT", 0.3)
    config = str(configuration(tmp_path, "http://127.0.0.1:1"))
    assert main(["run", "out", "--config", config, *arguments]) == code
    assert said in capsys.readouterr().err


def test_without_dask_the_command_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    config = str(configuration(tmp_path, "http://127.0.0.1:1"))
    assert main(["run", "out", "--config", config, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "pip install 'duoplus-exporter[dask]'" in capsys.readouterr().err


def test_workers_without_teams_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "out", "--workers", "2"]) == 2
    assert "workers share teams, and there are none" in capsys.readouterr().err
    assert main(["run", "out", "--scheduler", "tcp://127.0.0.1:1"]) == 2
    with pytest.raises(ConfigError, match="workers share teams"):
        exporter.run("out", workers=2)


@pytest.mark.parametrize(
    ("team", "said"),
    [
        ({"api_key": "k"}, "a key that is given in Python does not travel"),
        ({}, "workers need one place to read its key from"),
        ({"api_key_env": "A", "api_key_file": "b"}, "workers need one place"),
        ({"api_key_env": "KEY_1", "lang": "tlh"}, "lang= is 'tlh'"),
    ],
)
def test_python_names_what_workers_can_not_be_sent(team: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"team a: {said}"):
        exporter.run("out", teams={"a": team}, scheduler="tcp://127.0.0.1:1")
