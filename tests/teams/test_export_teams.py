"""Exports of several teams in one process, against a simulator with several keys."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

import exporter
from exporter.cli import main
from exporter.config.options import Settings
from exporter.errors import ConfigError
from exporter.events import Committed, Event, FromTeam, Noticed, TeamFailed
from exporter.export import export as export_one
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.server import Simulator, serving
from exporter.teams import export_teams
from tests.exporting import digests, held, identities, settings_for

ROWS = 1_200


def settings_of_all(simulator: Simulator, **options: Any) -> dict[str, Settings]:
    """Return settings for each team of a simulator, named t1, t2, and so on."""
    return {
        f"t{number}": settings_for(simulator, api_key=key, **options)
        for number, key in enumerate(simulator.options.keys(), start=1)
    }


def listed(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads((out / "_teams.json").read_bytes())
    return content


async def test_each_team_has_what_its_key_shows_and_the_list_says_so(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS, teams=3)) as simulator:
        summary = await export_teams(tmp_path / "out", settings_of_all(simulator))
        for number, team in enumerate(simulator.teams.values(), start=1):
            assert identities(held(tmp_path / "out" / f"team=t{number}")) == identities(team.world.oracle())
    assert (summary.complete, summary.exit_code, summary.as_json()["rows"]) == (True, 0, 3 * ROWS)
    content = listed(tmp_path / "out")
    assert content["counts"] == {"teams": 3, "complete": 3, "rows": 3 * ROWS, "bytes": summary.as_json()["bytes"]}
    manifest = (tmp_path / "out" / "team=t2" / "_manifest.json").read_bytes()
    assert content["teams"]["t2"]["sha256"] == hashlib.sha256(manifest).hexdigest()


async def test_a_team_has_the_bytes_that_it_has_alone(tmp_path: Path) -> None:
    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        teams = settings_of_all(simulator)
        await export_teams(tmp_path / "all", teams)
        await export_one(tmp_path / "alone", teams["t2"])
    assert digests(tmp_path / "all" / "team=t2") == digests(tmp_path / "alone")


async def test_a_failed_team_stops_no_other_and_is_reported_at_once(tmp_path: Path) -> None:
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=ROWS, teams=3)) as simulator:
        teams = settings_of_all(simulator)
        del simulator.teams["simulator-2"]
        summary = await export_teams(tmp_path / "out", teams, on_event=events.append)
        again = await export_teams(tmp_path / "out", {"t1": teams["t1"], "t3": teams["t3"]})
    assert (summary.complete, summary.failed, summary.exit_code) == (False, ["t2"], 3)
    failures = [event for event in events if isinstance(event, TeamFailed)]
    assert [(event.team, event.exit_code) for event in failures] == [("t2", 3)]
    assert summary.as_json()["teams"]["t2"]["error"].startswith("the API refused the key")
    assert listed(tmp_path / "out")["teams"]["t2"]["state"] == "failed"
    assert listed(tmp_path / "out")["counts"]["complete"] == 2
    assert again.as_json()["requests"] == 0, "nothing is asked of teams that are complete"


async def test_a_bug_in_one_team_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import exporter.teams.export as module

    real = export_one

    async def breaking(out: Path, *arguments: Any, **options: Any) -> Any:
        if out.name == "team=t1":
            raise ZeroDivisionError("a bug")
        return await real(out, *arguments, **options)

    monkeypatch.setattr(module, "export", breaking)
    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        summary = await export_teams(tmp_path / "out", settings_of_all(simulator))
    assert summary.exit_code == 1
    assert summary.outcomes["t1"].message == "ZeroDivisionError: a bug"
    assert summary.outcomes["t2"].state == "complete"


async def test_a_team_that_another_run_exports_fails_with_exit_5(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        teams = settings_of_all(simulator)
        first = asyncio.create_task(export_teams(out, {"t1": settings_for(simulator, api_key="simulator-1", rate=2)}))
        while not (out / ".team=t1.exporter" / "spool").exists():  # noqa: ASYNC110  # another run's file
            await asyncio.sleep(0)
        summary = await export_teams(out, teams)
        first.cancel()
        await asyncio.wait([first])
    assert (summary.outcomes["t1"].exit_code, summary.outcomes["t2"].state) == (5, "complete")


async def test_two_names_for_one_team_are_a_warning(tmp_path: Path) -> None:
    events: list[Event] = []
    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        simulator.teams["simulator-2"].world = simulator.teams["simulator-1"].world
        await export_teams(tmp_path / "out", settings_of_all(simulator), on_event=events.append)
    warnings = [event.message for event in events if isinstance(event, Noticed)]
    assert [text for text in warnings if "seem to be one" in text] != []


async def test_a_stopped_run_resumes_all_teams_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    small = {"page_size": 50, "segment_pages": 4}
    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        await export_teams(tmp_path / "calm", settings_of_all(simulator, **small))
        committed = 0
        stop = asyncio.get_running_loop().create_future()

        def on_event(event: Event) -> None:
            nonlocal committed
            if isinstance(event, FromTeam) and type(event.event).__name__ == "Committed":
                committed += 1
                if committed == 4 and not stop.done():
                    stop.set_result(None)

        task = asyncio.create_task(
            export_teams(tmp_path / "out", settings_of_all(simulator, **small), on_event=on_event)
        )
        await stop
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        states = {team["state"] for team in listed(tmp_path / "out")["teams"].values()}
        await export_teams(tmp_path / "out", settings_of_all(simulator, **small))
    assert "unfinished" in states
    for name in ("team=t1", "team=t2"):
        assert digests(tmp_path / "out" / name) == digests(tmp_path / "calm" / name)


@pytest.mark.parametrize("content", ["notes.txt", "_manifest.json"])
async def test_an_out_with_other_files_is_refused_before_anything_is_sent(tmp_path: Path, content: str) -> None:
    (tmp_path / content).write_text("{}")
    async with serving(SimulatorOptions(rows=1, teams=2)) as simulator:
        with pytest.raises(ConfigError):
            await export_teams(tmp_path, settings_of_all(simulator))
        assert simulator.statistics.requests == 0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_apart(SimulatorOptions(rows=ROWS, teams=2)) as address:
        yield address


def configuration(folder: Path, url: str, *, keys: tuple[str, ...] = ("simulator-1", "simulator-2")) -> Path:
    """Write a file of teams, each with a key file beside it."""
    lines = [f'base-url = "{url}"', "rate = 1e6", 'end = "2025-12-01"']
    for number, key in enumerate(keys, start=1):
        file = folder / f"key-{number}"
        file.write_text(key)
        file.chmod(0o600)
        lines += [f"[teams.t{number}]", f'api-key-file = "{file.name}"']
    path = folder / "teams.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_commands_work_on_all_teams(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(configuration(tmp_path, url))
    assert main(["check", "--config", config]) == 0
    assert capsys.readouterr().out.count("is accepted") == 2
    assert main(["plan", "--config", config, "--json"]) == 0
    planned = orjson.loads(capsys.readouterr().out)
    assert main(["run", "out", "--config", config, "--json"]) == 0
    made = orjson.loads(capsys.readouterr().out)
    assert made["rows"] == planned["orders"]
    assert set(made["teams"]) == {"t1", "t2"}
    assert main(["status", "out"]) == 0
    assert capsys.readouterr().out.count("complete") == 2
    assert main(["verify", "out", "--online", "--config", config, "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["rows"] == made["rows"]
    assert main(["diff", "out", "out", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["same"] == made["rows"]


def test_only_chooses_teams_and_show_settings_masks_keys(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(configuration(tmp_path, url))
    assert main(["run", "out", "--config", config, "--only", "*2", "--quiet"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["_teams.json", "team=t2"]
    assert main(["run", "out", "--config", config, "--show-settings"]) == 0
    shown = capsys.readouterr().out
    assert "[teams.t1]" in shown
    assert "simulator-1" not in shown
    assert main(["run", "out", "--config", config, "--only", "x*"]) == 2


def test_verify_names_the_team_that_is_damaged(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "out", "--config", str(configuration(tmp_path, url)), "--quiet"]) == 0
    part = Path("out/team=t2/part-00000.parquet")
    part.write_bytes(part.read_bytes()[:-9] + b"!" + part.read_bytes()[-8:])
    assert main(["verify", "out"]) == 4
    told = capsys.readouterr().err
    assert "team t2" in told
    assert "team t1" not in told


def test_verify_finds_a_team_that_is_gone_and_a_list_that_can_not_be_read(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "out", "--config", str(configuration(tmp_path, url)), "--quiet"]) == 0
    shutil.rmtree("out/team=t2")
    assert main(["verify", "out"]) == 4
    told = capsys.readouterr()
    assert told.out == ""
    assert "1 of 2 teams are not right:\n- team t2: the result of t2 is missing" in told.err
    Path("out/_teams.json").write_text("no list")
    assert main(["verify", "out"]) == 4
    assert "is no list of teams that can be read" in capsys.readouterr().err


def test_a_folder_of_teams_opens_everywhere_with_the_column_team(url: str, tmp_path: Path) -> None:
    keys = {"a": {"api_key": "simulator-1"}, "b": {"api_key": "simulator-2"}}
    result = exporter.run("out", teams=keys, base_url=url, rate=1e6, end="2025-12-01")  # type: ignore[arg-type]
    each = {name: one.rows for name, one in result.teams.items()}
    assert result.complete
    assert sum(each.values()) == result.rows == exporter.open("out").rows
    counts = result.to_arrow().group_by("team").aggregate([("team", "count")]).to_pylist()
    assert {row["team"]: row["team_count"] for row in counts} == each
    assert dict(result.to_polars().group_by("team").len().iter_rows()) == each
    assert result.to_pandas()["team"].value_counts().to_dict() == each
    grouped = result.to_duckdb().aggregate("team, count(*)").fetchall()
    assert dict(grouped) == each
    pattern = "out/team=*/part-*.parquet"
    query = f"SELECT team, count(*) FROM read_parquet('{pattern}') GROUP BY team"
    assert dict(duckdb.connect().execute(query).fetchall()) == each
    assert dict(pl.read_parquet(pattern, hive_partitioning=True).group_by("team").len().iter_rows()) == each
    dataset = ds.dataset("out", partitioning="hive", format="parquet")
    assert dataset.to_table(columns=["team"]).num_rows == result.rows
    assert pd.read_parquet("out")["team"].value_counts().to_dict() == each


def test_commands_name_the_teams_that_fail(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(configuration(tmp_path, url, keys=("simulator-1", "wrong")))
    assert main(["check", "--config", config, "--json"]) == 3
    checked = orjson.loads(capsys.readouterr().out)
    assert (checked["failed"], checked["teams"]["t2"]["exit"]) == (1, 3)
    assert main(["plan", "--config", config]) == 3
    shown = capsys.readouterr()
    assert "all at once" in shown.out
    assert "team t2: the API refused the key" in shown.err
    assert main(["plan", "--config", config, "--by", "month"]) == 2
    assert main(["run", "out", "--config", config]) == 3
    shown = capsys.readouterr()
    assert "1 of 2 teams complete" in shown.out
    assert "team t2 failed, exit 3: the API refused the key" in shown.err
    assert main(["status", "out"]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert main(["status", "out", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["teams"]["t1"]["state"] == "complete"


def test_what_is_printed_of_teams_is_in_their_zone_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    config = str(configuration(tmp_path, nobody))
    monkeypatch.setenv("EXPORTER_TIMEZONE", "America/New_York")
    monkeypatch.setenv("EXPORTER_PATIENCE", "0")
    for tokens in (["run", "out"], ["plan"], ["check"]):
        assert main([*tokens, "--config", config]) == 3
        shown = capsys.readouterr()
        printed = shown.out + shown.err
        assert "page 1 of [" in printed
        assert "+08:00" not in printed
        assert printed.count("(check the address") == 2


async def test_the_status_of_unfinished_teams_is_in_their_zone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, FromTeam) and isinstance(event.event, Committed):
            task.cancel()

    async with serving(SimulatorOptions(rows=ROWS, teams=2)) as simulator:
        teams = settings_of_all(simulator, page_size=50, segment_pages=2, timezone="America/New_York")
        task = asyncio.ensure_future(export_teams(tmp_path / "out", teams, on_event=stop))
        with pytest.raises(asyncio.CancelledError):
            await task
    assert main(["status", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "whole up to 20" in printed
    assert "+08:00" not in printed


def test_a_key_in_the_clear_is_reported_once_for_each_team(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.http.client.is_in_the_clear", lambda _: True)
    config = str(configuration(tmp_path, url))
    for tokens in (["check"], ["plan"], ["run", "out"]):
        assert main([*tokens, "--config", config]) == 0
        told = capsys.readouterr().err
        assert told.count("the key is sent") == 2
        assert "t1: the key is sent to http://127.0.0.1" in told
    monkeypatch.setenv("DUOPLUS_API_KEY", "simulator-1")
    monkeypatch.setenv("EXPORTER_RATE", "1000000")
    for tokens in (["check"], ["plan"], ["run", "one"]):
        assert main([*tokens, "--base-url", url]) == 0
        assert capsys.readouterr().err.count("the key is sent") == 1


def test_verify_of_teams_refuses_what_it_cannot_compare(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(configuration(tmp_path, url))
    assert main(["run", "out", "--config", config, "--quiet"]) == 0
    assert main(["verify", "out"]) == 0
    assert "of 2 teams" in capsys.readouterr().out
    assert main(["verify", "out", "--expect", "0" * 64]) == 2
    assert main(["verify", "out", "--online"]) == 4
    assert "the configuration has no such team" in capsys.readouterr().err
    assert main(["run", "out", "--only", "t1"]) == 2
    assert "--only chooses among teams" in capsys.readouterr().err


def test_an_out_of_teams_is_no_out_of_one(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = str(configuration(tmp_path, url))
    assert main(["run", "out", "--config", config, "--quiet"]) == 0
    monkeypatch.setenv("DUOPLUS_API_KEY", "simulator-1")
    assert main(["run", "out", "--base-url", url, "--quiet"]) == 2
    assert main(["run", "one.parquet", "--config", config]) == 2


def test_python_refuses_wrong_teams_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError, match="names no team"):
        exporter.run("out", teams={}, base_url=url)
    with pytest.raises(ConfigError, match="team a: there is no API key"):
        exporter.run("out", teams={"a": {}}, base_url=url)
    with pytest.raises(ConfigError, match="have the same key"):
        exporter.run("out", teams={"a": {"api_key": "k"}, "b": {"api_key": "k"}}, base_url=url)
    assert not Path("out").exists()


def test_a_notebook_shows_the_teams_as_a_table(url: str) -> None:
    keys = {"a": {"api_key": "simulator-1"}, "b": {"api_key": "wrong"}}
    result = exporter.run("out", teams=keys, base_url=url, rate=1e6, end="2025-12-01")  # type: ignore[arg-type]
    shown = result._repr_html_()
    assert "<th>a</th>" in shown
    assert "failed: the API refused the key" in shown


def test_few_open_files_bound_the_teams_at_once(tmp_path: Path, url: str) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)); "
        "from exporter.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "run", "out", "--config", str(configuration(tmp_path, url))]
    # 80 files are enough for two teams: 2 x 8 + 64
    assert "at once" not in subprocess.run(command, check=True, capture_output=True, text=True).stderr
    shutil.rmtree("out")
    few = [*command[:2], program.replace("(80, 80)", "(79, 79)"), *command[3:]]
    assert "1 team at once: `ulimit -n`" in subprocess.run(few, check=True, capture_output=True, text=True).stderr


def test_a_failed_team_is_in_the_result(url: str) -> None:
    keys = {"a": {"api_key": "simulator-1"}, "b": {"api_key": "wrong"}}
    result = exporter.run("out", teams=keys, base_url=url, rate=1e6, end="2025-12-01")  # type: ignore[arg-type]
    assert not result.complete
    assert (list(result.teams), list(result.failed)) == (["a"], ["b"])
    assert "1 failed: b" in repr(result)


def test_ctrl_c_stops_all_teams_and_the_same_command_resumes(tmp_path: Path) -> None:
    with serving_apart(SimulatorOptions(rows=ROWS, teams=2, rate=20)) as url:
        config = configuration(tmp_path, url)
        config.write_text(config.read_text().replace("rate = 1e6", "rate = 20\npage-size = 20"))
        command = [sys.executable, "-m", "exporter", "run", "out", "--config", str(config)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            process.stderr.readline()  # the first progress: requests are under way
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 130
        assert listed(tmp_path / "out")["counts"]["complete"] == 0
        config.write_text(config.read_text().replace("page-size = 20", ""))
        subprocess.run([*command, "--quiet"], check=True)
    assert listed(tmp_path / "out")["counts"]["complete"] == 2
