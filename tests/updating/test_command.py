"""`exporter update` and `exporter.update` as their users meet them: words, files, exit codes, teams, kills."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from random import Random
from typing import Any

import pytest

import exporter
from exporter.cli import main
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import Simulator, serving
from exporter.store import status
from exporter.store.verify import verify
from tests.exporting import digests
from tests.test_kill import at_request
from tests.updating.worlds import DAY, assert_current, grow, world_of

OPTIONS = SimulatorOptions(rows=3_000, seed=3)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DUOPLUS_API_KEY", OPTIONS.key)
    monkeypatch.setenv("EXPORTER_RATE", "1e6")
    monkeypatch.setenv("EXPORTER_PAGE_SIZE", "50")
    monkeypatch.setenv("EXPORTER_SEGMENT_PAGES", "4")
    monkeypatch.chdir(tmp_path)


async def started(*tokens: str, output: int = DEVNULL) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "exporter", *tokens, stdout=output, stderr=output)


async def told(*tokens: str, code: int = 0) -> tuple[str, str]:
    """Run a command in a process of its own; return what it prints to stdout and stderr."""
    process = await started(*tokens, output=asyncio.subprocess.PIPE)
    out, err = await process.communicate()
    assert process.returncode == code, err.decode()
    return out.decode(), err.decode()


def rows_in(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def damage(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:-1] + b"X")


def work_in(folder: Path) -> list[Path]:
    return list(folder.glob(".*"))


def states(out: str) -> dict[str, str]:
    listed = json.loads((Path(out) / "_teams.json").read_bytes())["teams"]
    return {name: one["state"] for name, one in listed.items()}


async def test_the_command_keeps_a_result_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    world, clock = world_of(OPTIONS)
    grow(world, clock, orders=0, seconds=7 * DAY)
    async with serving(OPTIONS, world) as simulator:
        monkeypatch.setenv("EXPORTER_BASE_URL", simulator.url)
        await told("run", "orders", "--quiet", "--timezone", "Europe/Berlin")
        monkeypatch.delenv("EXPORTER_BASE_URL")
        assert "updated" not in json.loads((await told("status", "orders", "--json"))[0])
        world.pass_time(changes=7, late=1, deletions=2, latest=400)
        grow(world, clock, orders=90)
        out, _ = await told("update", "orders", "--changes", "changes.csv", "--log-file", "log")
        lines = dict(line.split(maxsplit=1) for line in out.splitlines())
        assert lines["changes"] == "91 added, 7 changed, 2 vanished"
        assert lines["kept"].endswith("requests")
        assert_current(Path("orders"), simulator)
        assert len(rows_in("changes.csv")) == 100
        shown = json.loads((await told("status", "orders", "--json"))[0])
        assert shown["updated"] >= shown["made"]
        assert "\nupdated" in (await told("status", "orders"))[0]
        facts = json.loads((await told("update", "orders", "--json", "--quiet"))[0])
        assert (facts["complete"], facts["added"], facts["changed"], facts["vanished"]) == (True, 0, 0, 0)
        assert facts["requests"] <= 10 < facts["requests_full"]
        assert facts["segments_kept"] == facts["segments"] > 3
        assert (await told("verify", "orders", "--online"))[0].splitlines()[1] == "the API's totals are the same"


async def test_what_can_not_be_updated_ends_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OPTIONS) as simulator:
        monkeypatch.setenv("EXPORTER_BASE_URL", simulator.url)
        await told("run", "orders", "--quiet", "--end", "2025-12-31")
        assert "`exporter run nothing` makes one" in (await told("update", "nothing", code=2))[1]
        assert "before that of the result" in (await told("update", "orders", "--end", "2025-12-30", code=2))[1]
        assert "2025-12-31T23:59:59" in (await told("update", "orders", "--end", "2025-12-30", code=2))[1]
        process = await started("run", "half", "--quiet")
        at_request(simulator, 40, process.kill)
        assert await process.wait() == -signal.SIGKILL
        assert "`exporter run half` resumes it" in (await told("update", "half", code=5))[1]
        failed = json.loads((await told("update", "half", "--json", code=5))[0])
        assert (failed["complete"], failed["exit"]) == (False, 5)
        damage("orders/part-00000.parquet")
        assert "part-00000.parquet" in (await told("update", "orders", code=4))[1]


async def test_killed_at_any_moment_the_same_update_ends_in_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    random = Random(4)
    world, clock = world_of(OPTIONS)
    grow(world, clock, orders=0, seconds=7 * DAY)
    async with serving(OPTIONS, world) as simulator:
        monkeypatch.setenv("EXPORTER_BASE_URL", simulator.url)
        await told("run", "orders", "--quiet")
        shutil.copytree("orders", "calm")
        world.pass_time(changes=30, late=3, deletions=3)
        grow(world, clock, orders=600)
        await told("update", "calm", "--quiet")
        killed = seen = 0
        for _ in range(6):
            process = await started("update", "orders", "--quiet")
            at_request(simulator, random.randint(5, 60), process.kill)
            if await process.wait() == 0:
                break
            killed += 1
            assert verify(Path("orders")), "it is as it was"
            found = status(Path("orders"))
            if found.progress is not None:
                assert found.progress.updates
                assert "with an unfinished update" in str(found)
                seen += 1
        at_request(simulator, 0, process.kill)
        await told("update", "orders", "--quiet")
        assert_current(Path("orders"), simulator)
    assert killed >= seen >= 1
    assert digests(Path("orders")) == digests(Path("calm"))
    assert not work_in(tmp_path)


TEAMS = SimulatorOptions(rows=800, seed=3, teams=2)


@pytest.fixture
def config(tmp_path: Path) -> str:
    for number in (1, 2):
        (tmp_path / f"key{number}").write_text(f"{TEAMS.key}-{number}", encoding="utf-8")
        (tmp_path / f"key{number}").chmod(0o600)
    (tmp_path / "teams.toml").write_text(
        '[teams.berlin]\napi-key-file = "key1"\n[teams.shanghai]\napi-key-file = "key2"\n', encoding="utf-8"
    )
    return "teams.toml"


async def test_each_team_is_updated_by_itself(monkeypatch: pytest.MonkeyPatch, config: str) -> None:
    async with serving(TEAMS) as simulator:
        monkeypatch.setenv("EXPORTER_BASE_URL", simulator.url)
        await told("run", "teams", "--config", config, "--quiet", "--end", "2025-12-31T20:00:00+08:00")
        first, second = simulator.teams.values()
        first.world.pass_time(changes=4)
        second.world.pass_time(changes=2, deletions=1)
        assert "--config" in (await told("update", "teams", code=2))[1]
        facts = json.loads((await told("update", "teams", "--config", config, "--json", "--changes", "changes.csv"))[0])
        assert (facts["complete"], facts["failed"]) == (True, [])
        found = {name: (one["changed"], one["vanished"]) for name, one in facts["teams"].items()}
        assert found == {"berlin": (4, 0), "shanghai": (2, 1)}
        assert [row["team"] for row in rows_in("changes.csv")] == ["berlin"] * 4 + ["shanghai"] * 3
        shutil.rmtree("teams/team=shanghai")
        first.world.pass_time(changes=1)
        _, err = await told("update", "teams", "--config", config, code=2)
        assert "shanghai" in err
        assert_current(Path("teams/team=berlin"), simulator)
        await told("update", "teams", "--config", config, "--only", "berlin", "--quiet", "--changes", "none.parquet")
    assert states("teams") == {"berlin": "complete", "shanghai": "failed"}


def in_python(simulator: Simulator) -> dict[str, Any]:
    return {"base_url": simulator.url, "rate": 1e6, "page_size": 50, "segment_pages": 4}


async def test_python_gives_the_updated_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, clock = world_of(OPTIONS)
    async with serving(OPTIONS, world) as simulator:
        options = in_python(simulator)
        await exporter.arun("orders", api_key=OPTIONS.key, progress=False, **options)
        grow(world, clock, orders=10)
        options["base_url"] = None
        result = await exporter.aupdate(
            "orders", api_key=OPTIONS.key, changes="changes.parquet", progress=True, **options
        )
        assert result.manifest["run"]["added"] == 10
        assert "changes   10 added" in capsys.readouterr().err
        options["base_url"] = simulator.url
        again = await asyncio.to_thread(exporter.update, "orders", api_key=OPTIONS.key, progress=False, **options)
        assert (again.manifest["run"]["added"], again.rows) == (0, result.rows)
    async with serving(TEAMS) as simulator:
        teams = {"one": {"api_key": f"{TEAMS.key}-1"}, "two": {"api_key": f"{TEAMS.key}-2"}}
        common = {**in_python(simulator), "teams": teams, "progress": False}
        await exporter.arun("teams", end="2025-12-31T20:00:00+08:00", **common)
        simulator.world.pass_time(changes=3)
        both = await exporter.aupdate("teams", changes="changes.csv", **common)
        assert [one.manifest["run"]["changed"] for one in both.teams.values()] == [3, 0]


def test_help_names_what_an_update_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--end", "--changes", "--settle", "--config", "--only", "--fresh", "--json", "--rate"):
        assert option in text
    for option in ("--status", "--overwrite", "--timezone", "--compression"):
        assert option not in text
