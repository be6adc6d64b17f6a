"""The commands against the simulator, with the real engine in between."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.events import Noticed
from exporter.progress.reporter import watching
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.quirks import Quirks

ROWS = 2_600


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve a small world from a process of its own."""
    with serving_apart(SimulatorOptions(rows=ROWS, seed=7)) as address:
        yield address


@pytest.fixture(autouse=True)
def _environment(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DUOPLUS_API_KEY", "simulator")
    monkeypatch.setenv("EXPORTER_BASE_URL", url)
    monkeypatch.setenv("EXPORTER_RATE", "1e6")
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> str:
    assert main(tokens) == code
    return capsys.readouterr().out


def test_run_then_status_then_verify_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads(told(capsys, "run", "orders", "--json"))
    assert (summary["complete"], summary["rows"], summary["final_check"]) == (True, ROWS, True)
    assert json.loads(told(capsys, "status", "orders", "--json"))["rows"] == ROWS
    right = json.loads(told(capsys, "verify", "orders", "--online", "--json"))
    assert (right["right"], right["rows"], right["bytes"]) == (True, ROWS, summary["bytes"])
    assert "2,600 orders, 1 part," in told(capsys, "verify", "orders")
    assert told(capsys, "status", "orders").splitlines()[1].split() == ["state", "complete"]


@pytest.mark.parametrize("pages", ["1", "3"])
def test_an_export_does_not_import_pandas(pages: str) -> None:
    """Arrow's conversion of Python values would: 0.2 s and 40 MB that an export has no use for."""
    program = f"""
import sys
from exporter.cli import main
from exporter.events import Noticed
from exporter.progress.reporter import watching
assert main(["run", "orders", "--quiet", "--page-size", "100", "--segment-pages", "{pages}"]) == 0
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_verify_online_goes_to_the_server_of_the_query(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, "run", "orders", "--quiet")
    monkeypatch.delenv("EXPORTER_BASE_URL")
    assert "the API's totals are the same" in told(capsys, "verify", "orders", "--online")


def test_verify_online_names_the_spans_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "run", "orders", "--quiet")
    with serving_apart(SimulatorOptions(rows=ROWS + 500, seed=8)) as other:
        assert main(["verify", "orders", "--online", "--base-url", other]) == 4
    assert "the API's totals differ from the rows of [" in capsys.readouterr().err


def test_verify_finds_a_changed_byte(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told(capsys, "run", "orders.parquet", "--quiet")
    content = bytearray((tmp_path / "orders.parquet").read_bytes())
    content[1000] ^= 1
    (tmp_path / "orders.parquet").write_bytes(content)
    assert main(["verify", "orders.parquet"]) == 4
    said = capsys.readouterr().err
    assert "its bytes were changed" in said
    assert said.splitlines()[-1].startswith("hint: use a copy that was kept, or export it again")


def test_verify_compares_the_manifest_with_a_checksum_that_was_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    told(capsys, "run", "orders", "--quiet")
    kept = hashlib.sha256((tmp_path / "orders" / "_manifest.json").read_bytes()).hexdigest()
    assert "2,600 orders" in told(capsys, "verify", "orders", "--expect", kept)
    told(capsys, "run", "orders", "--quiet", "--overwrite", "--type", "refund")
    assert main(["verify", "orders", "--expect", kept]) == 4
    assert f"not {kept}" in capsys.readouterr().err
    assert main(["verify", "orders", "--expect", "abc"]) == 2
    assert "--expect is 'abc', no SHA-256" in capsys.readouterr().err


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")


@FULL
def test_a_log_that_cannot_be_written_is_named_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["run", "orders", "--log-file", "/dev/full"]) == 2
    assert "the log file /dev/full can't be written" in capsys.readouterr().err
    assert not (tmp_path / "orders").exists()


@FULL
def test_a_log_on_a_disk_that_fills_up_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"

    with watching(None, log_file=path, opening="run orders") as progress:
        assert path.read_text().endswith("run orders\n")
        path.unlink()
        path.symlink_to("/dev/full")
        progress(Noticed(message="the disk is full"))
    assert path.is_symlink()


def test_a_complete_result_is_not_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "run", "orders", "--end", "2025-12-31", "--quiet")
    again = json.loads(told(capsys, "run", "orders", "--end", "2025-12-31", "--json"))
    assert (again["complete"], again["requests"]) == (True, 0)
    assert "Already complete, nothing was sent" in told(capsys, "run", "orders", "--end", "2025-12-31")


def test_another_query_is_refused_and_an_open_end_too(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "run", "orders", "--quiet")
    assert main(["run", "orders", "--type", "refund"]) == 5
    assert "type was not given and is now 7" in capsys.readouterr().err
    assert main(["run", "orders"]) == 5


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: (folder / "orders").write_text("mine"), "is a file where a folder is needed"),
        (lambda folder: (folder / "orders").mkdir() or (folder / "orders" / "x.parquet").write_text(""), "x.parquet"),
    ],
)
def test_an_out_that_cant_be_used_is_told_before_anything_is_sent(
    prepare: object, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert callable(prepare)
    prepare(tmp_path)
    assert main(["run", "orders", "--base-url", "http://127.0.0.1:9"]) == 2
    assert message in capsys.readouterr().err


def test_plan_tells_what_an_export_takes(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(told(capsys, "plan", "--json"))
    assert (facts["orders"], facts["pages"]) == (ROWS, 6)
    assert facts["first"] < facts["last"]
    taken = json.loads(told(capsys, "run", "orders", "--json"))
    assert facts["requests"] >= taken["requests"]
    assert 0.5 < facts["bytes"] / taken["bytes"] < 2
    assert told(capsys, "plan").splitlines()[0] == "orders       2,600"


def test_plan_by_month_says_its_cost_first_and_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--by", "month", "--json"]) == 0
    output = capsys.readouterr()
    months = json.loads(output.out)["months"]
    assert output.err == f"counting {len(months)} months by one request each, about 0.0 s\n"
    assert sum(months.values()) == ROWS
    assert main(["plan", "--by", "month"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("2025-12")


def test_plan_needs_no_current_directory(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gone").mkdir()
    os.chdir("gone")
    Path("../gone").resolve().rmdir()
    assert "orders       2,600" in told(capsys, "plan")


def test_plan_without_totals_names_no_last_order_and_counts_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with serving_apart(SimulatorOptions(rows=700, seed=7, quirks=Quirks(totals="missing"))) as silent:
        lines = told(capsys, "plan", "--by", "month", "--base-url", silent).splitlines()
    assert "last order   not known: the server gives no total" in lines
    assert lines[-1].startswith("2026-01  not known"), "the month of the range's end"


def test_plan_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(told(capsys, "plan", "--end", "2016-01-01", "--by", "month", "--json"))
    assert (facts["orders"], facts["first"], facts["last"], facts["months"]) == (0, None, None, {})
    assert "first order  -" in told(capsys, "plan", "--end", "2016-01-01")


def test_check_tells_of_key_host_and_clock(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with serving_apart(SimulatorOptions(rows=1, frozen=False, key="a-key-of-the-simulator")) as running:
        os.environ["DUOPLUS_API_KEY"] = "a-key-of-the-simulator"
        facts = json.loads(told(capsys, "check", "--json", "--base-url", running))
        assert (facts["host"], facts["key"], facts["clock_right"]) == (running, "…ator", True)
        assert told(capsys, "check", "--base-url", running).splitlines()[1:] == [
            "key    …ator is accepted",
            "clock  right",
        ]
    os.environ["DUOPLUS_API_KEY"] = "simulator"
    assert "days ahead of the server's" in told(capsys, "check")


def test_check_tells_a_refused_key_and_a_dead_host_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUOPLUS_API_KEY", "wrong")
    assert main(["check", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit"] == 3
    assert main(["check", "--base-url", "http://127.0.0.1:9"]) == 3
    assert "127.0.0.1" in capsys.readouterr().err


def test_demo_works_twice(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.cli.demo.ORDERS", 1_500)
    monkeypatch.delenv("DUOPLUS_API_KEY")
    first, second = (told(capsys, "demo") for _ in range(2))
    assert "Complete: 1,500 orders" in first
    assert "FROM 'demo/*.parquet'" in first
    assert first.splitlines()[-12:] == second.splitlines()[-12:]


def test_demo_shows_the_same_figures_without_duckdb(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.cli.demo.ORDERS", 1_500)
    with_duckdb = told(capsys, "demo")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    without = told(capsys, "demo")
    rows = [line.split() for line in without.splitlines()[-9:]]
    assert all(cell in with_duckdb for row in rows for cell in row)


def test_simulate_serves_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "exporter", "simulate", "--rows", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert main(["check", "--base-url", address, "--json"]) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_export_resumes_with_the_same_command(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "exporter", "run", "orders", "--rate", "2", "--segment-pages", "1", "--json"]
    with subprocess.Popen(
        [*command, "--verbose"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("certified" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert process.returncode == code
    assert "the same command resumes" in errors
    assert json.loads(output)["exit"] == code
    left = json.loads(told(capsys, "status", "orders", "--json"))
    assert left["state"] == "unfinished"
    held = left["progress"]["rows"]
    assert 0 < held < ROWS
    assert left["progress"]["expected_rows"] == ROWS
    assert f", {held / ROWS:.0%} of about 2,600, whole up to" in told(capsys, "status", "orders")
    assert main(["run", "orders", "--json"]) == 0
    resumed = capsys.readouterr()
    assert json.loads(resumed.out)["rows"] == ROWS
    first = f"resuming: {held:,} orders in {left['progress']['segments']} segment"
    assert resumed.err.splitlines()[0].startswith(first)
    assert (
        resumed.err.splitlines()[0].endswith(
            f" are held; the end stays at {left['progress']['left'][-1][1][:-8]}59+08:00, where the first run froze it"
        )
        or "; the end stays at " in resumed.err.splitlines()[0]
    )
