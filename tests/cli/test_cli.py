"""The command line as its users meet it: words, streams, exit codes. The engine is a fake here."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from exporter.certify.filters import IgnoredFilterError
from exporter.cli import app, main
from exporter.config.options import Settings
from exporter.errors import (
    ApiError,
    CertificateError,
    ConfigError,
    DiskError,
    ExportError,
    InUseError,
    OutputError,
    RejectedError,
    StorageError,
    UnauthorizedError,
)
from exporter.events import Answered, Committed, Event, Finished, Noticed, Refused, Repaired, Retried, Started
from exporter.progress.summary import Summary

GOLDEN = Path(__file__).parent / "golden"
Export = Callable[[Path, Settings, Callable[[Event], None]], Awaitable[Summary]]

SUMMARY: dict[str, Any] = {
    "complete": True,
    "rows": 1200,
    "requests": 5,
    "requests_ideal": 3,
    "retries": 1,
    "rate_limited": 1,
    "repaired_segments": 1,
    "segments": 2,
    "windows": 1,
    "parts": 1,
    "bytes": 34567,
    "start": "2024-01-01T00:00:00+08:00",
    "end": "2024-12-31T23:59:59+08:00",
    "final_check": True,
    "totals": "exact",
    "elapsed_seconds": 4.2,
    "rows_per_second": 285.7,
    "values_in_extra": 2,
    "out": "orders",
}


async def finishing(_out: Path, _settings: Settings, on_event: Callable[[Event], None]) -> Summary:
    """Emit what a short, eventful export emits."""
    on_event(Noticed(message="an end was not given: up to 2024-12-31T23:59:59+08:00"))
    on_event(Started(total=1200, committed=0, requests_ideal=3, windows=1, rate=1.0))
    on_event(Answered(requests=2, in_flight=1, latency=0.1))
    on_event(Refused(count=1, pause=1.1, persistent=False))
    on_event(Retried(attempt=1, reason="HTTP 502", pause=0.3))
    on_event(Repaired(start=1_704_067_200, stop=1_704_153_600, reason="totals 700 and 701", by="a seek"))
    on_event(Committed(start=1_704_067_200, stop=1_735_689_600, rows=1200, total_rows=1200))
    on_event(Finished(rows=1200, complete=True))
    return Summary(**SUMMARY)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("EXPORTER_", "DUOPLUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DUOPLUS_API_KEY", "secret-key-that-nobody-sees")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Export], None]:
    """Put a fake in the engine's place."""

    def put(fake: Export) -> None:
        module: Any = ModuleType("exporter.export")
        module.export = lambda out, settings, *, on_event: fake(out, settings, on_event)
        monkeypatch.setitem(sys.modules, "exporter.export", module)

    put(finishing)
    return put


def raising(error: BaseException) -> Export:
    async def export(_out: Path, _settings: Settings, _on_event: Callable[[Event], None]) -> Summary:
        raise error

    return export


def caused(error: ExportError, cause: Exception) -> ExportError:
    error.__cause__ = cause
    return error


ERRORS = [
    ConfigError("orders is a file where a folder is needed", hint="choose another OUT"),
    caused(ApiError("page 3: 8 attempts failed", hint="the same command resumes"), TimeoutError("no answer in 60 s")),
    UnauthorizedError("the API refused the key: code 401, Please log in again.", hint="check DUOPLUS_API_KEY"),
    RejectedError("the API refused page 1: code 30001, bad range", code=30001, text="bad range", hint="check --start"),
    caused(DiskError("orders: no space is left", hint="make room"), OSError(28, "No space left on device")),
    StorageError("could not read s3://bucket/_current.json: AccessDenied", hint="check the credentials"),
    CertificateError("[2024-01-01, 2024-01-02) could not be certified", hint="run it again later"),
    IgnoredFilterError("order 'DP1' came with page 1, which asked for others", hint="export without the filter"),
    OutputError("orders belongs to another query: start was 2023-01-01", hint="choose another OUT"),
    InUseError("orders is in use by process 4711 on host-1, since 2024-01-01T00:00:00+08:00", hint="wait for it"),
    ZeroDivisionError("division by zero"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_each_error_of_the_tree_reads_as_in_its_golden_file(
    error: Exception, engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    engine(raising(error))
    code = main(["run", "orders", "--json"])
    told = capsys.readouterr()
    expected = (GOLDEN / f"{type(error).__name__}.txt").read_text(encoding="utf-8")
    assert f"exit {code}\n-- stderr\n{told.err}-- stdout\n{told.out}" == expected


def test_every_error_of_the_tree_has_a_golden_file() -> None:
    def tree(kind: type[ExportError]) -> set[str]:
        return {kind.__name__}.union(*(tree(child) for child in kind.__subclasses__()))

    assert tree(ExportError) - {"ExportError"} <= {path.stem for path in GOLDEN.glob("*.txt")}


@pytest.mark.parametrize(
    ("tokens", "message", "hint"),
    [
        (["run", "orders", "--strat", "2024-01-01"], "unknown option: --strat", "did you mean --start?"),
        (["rnu", "orders"], 'unknown command "rnu"', "did you mean"),
        (["run"], "OUT needs a value", "exporter run --help"),
        (["run", "orders", "more"], "'more' is one argument too many", "exporter run --help"),
        (["run", "orders", "--rate"], "--rate needs a value", "exporter run --help"),
        (
            ["run", "orders", "--rate", "quick"],
            "--rate is 'quick': a number above zero is needed",
            "for example: --rate 1",
        ),
        (["run", "orders", "--rate", "1", "--rate", "2"], "--rate specified multiple times", "exporter run --help"),
        (["run", "orders", "--config", "none.toml"], "none.toml can't be read", "check --config"),
        (["run", "orders", "--log-file", "no/folder/log"], "no/folder/log can't be written", "check --log-file"),
        (["plan", "--by", "week"], 'Invalid value "week" for --by', "exporter run --help"),
        (["demo", "orders.parquet"], "orders.parquet names a file", "for example: exporter demo demo/"),
        (["simulate", "--start", "2025-01-02", "--end", "2025-01-01"], "is after their end", "exporter --help"),
        (["simulate", "--port", "65536"], "port is 65536, not 0 to 65535", "exporter --help"),
        (["simulate", "--port", "-1"], "port is -1, not 0 to 65535", "exporter --help"),
    ],
)
def test_a_wrong_command_line_is_told_before_anything_is_sent(
    tokens: list[str], message: str, hint: str, engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    engine(raising(AssertionError("nothing may be sent")))
    assert main(tokens) == 2
    told = capsys.readouterr()
    assert message in told.err.splitlines()[0]
    assert hint in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_a_port_in_use_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["simulate", "--rows", "1", "--port", str(port)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("error", "cause", "hint"))]
    assert len(errors) == 2
    assert errors[0].startswith(f"error: the simulator can't listen on 127.0.0.1, port {port}: ")
    assert errors[1] == "hint: --port 0 takes any free port"


def test_a_missing_key_is_told_in_json_too(
    engine: Callable[[Export], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DUOPLUS_API_KEY")
    assert main(["run", "orders", "--json"]) == 2
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert (facts["complete"], facts["error"], facts["exit"]) == (False, "there is no API key", 2)
    assert told.err.startswith("error: there is no API key\nhint: set DUOPLUS_API_KEY")


def test_json_is_the_summary_on_one_line(engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "orders", "--json"]) == 0
    told = capsys.readouterr()
    assert told.out.count("\n") == 1
    assert json.loads(told.out) == SUMMARY | {"uncertified": []}
    assert "Complete: 1,200 orders" in told.err


def test_a_failure_in_json_tells_what_is_known(
    engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    async def failing(out: Path, settings: Settings, on_event: Callable[[Event], None]) -> Summary:
        await finishing(out, settings, on_event)
        raise CertificateError("the totals differ", hint="try again")

    engine(failing)
    assert main(["run", "orders", "--json"]) == 4
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "complete": False,
        "rows": 1200,
        "requests": 2,
        "retries": 1,
        "rate_limited": 1,
        "repaired_segments": 1,
        "out": "orders",
        "error": "the totals differ",
        "hint": "try again",
        "exit": 4,
    }


def test_a_result_without_proof_is_told_in_full_and_ends_in_4(
    engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    async def export(_out: Path, _settings: Settings, _on_event: Callable[[Event], None]) -> Summary:
        return Summary(**SUMMARY | {"complete": False, "uncertified": ("[a, b)",)})

    engine(export)
    assert main(["run", "orders", "--json", "--allow-uncertified"]) == 4
    told = capsys.readouterr()
    facts = json.loads(told.out)
    assert (facts["rows"], facts["uncertified"], facts["exit"]) == (1200, ["[a, b)"], 4)
    assert "Not certified: 1,200 orders" in told.err
    assert "[a, b)" in facts["error"]


def test_the_summary_tells_what_was_done_and_how_to_open_it(
    engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "orders"]) == 0
    told = capsys.readouterr()
    assert told.out == (GOLDEN / "summary.out").read_text(encoding="utf-8")
    assert told.err == (GOLDEN / "summary.err").read_text(encoding="utf-8")


def test_quiet_is_quiet(engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "orders", "--quiet"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "")


def test_the_log_file_holds_the_command_the_version_and_every_event_but_not_the_key(
    engine: Callable[[Export], None], tmp_path: Path
) -> None:
    assert main(["run", "orders", "--quiet", "--log-file", "export.log"]) == 0
    log = (tmp_path / "export.log").read_text(encoding="utf-8")
    assert len(log.splitlines()) == 8
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:]{8}[+-]\d\d:\d\d \S", line) for line in log.splitlines())
    opening = log.splitlines()[0].partition(" ")[2]
    assert re.fullmatch(r"exporter \d+\.\d+\.\d+: exporter run orders --quiet --log-file export.log", opening)
    assert "secret" not in log


@pytest.mark.parametrize(
    ("tokens", "error", "logged"),
    [
        (
            ["--type", "refund"],
            ApiError("no response", hint="check the network"),
            "error: no response; hint: check the",
        ),
        (
            ["--rate", "fast"],
            None,
            "error: --rate is 'fast': a number above zero is needed; hint: for example: --rate 1",
        ),
        (["--strat", "2024"], None, "error: unknown option: --strat; hint: did you mean --start?"),
        ([], ZeroDivisionError("division by zero"), "error: ZeroDivisionError: division by zero; hint: this is a bug"),
        ([], KeyError("a\nb"), "error: KeyError: 'a\\nb'"),
    ],
)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_log_file_holds_every_failure_with_its_exit_code_and_hint(
    by: str,
    tokens: list[str],
    error: Exception | None,
    logged: str,
    engine: Callable[[Export], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if error is not None:
        engine(raising(error))
    if by == "option":
        tokens = [*tokens, "--log-file", "export.log"]
    else:
        monkeypatch.setenv("EXPORTER_LOG_FILE", "export.log")
    code = main(["run", "orders", *tokens])
    opening, failure = (tmp_path / "export.log").read_text(encoding="utf-8").splitlines()
    assert "exporter run orders" in opening
    assert failure.partition(" ")[2].startswith(f"exit {code}: {logged}")


def test_the_log_that_a_settings_file_names_holds_failures_too(
    engine: Callable[[Export], None], tmp_path: Path
) -> None:
    (tmp_path / "export.toml").write_text('log-file = "export.log"\nrate = "fast"')
    assert main(["run", "orders", "--config", "export.toml"]) == 2
    assert "exit 2: error: rate in export.toml is 'fast'" in (tmp_path / "export.log").read_text(encoding="utf-8")


def test_a_settings_file_that_asks_for_json_gets_failures_in_json(
    engine: Callable[[Export], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "export.toml").write_text('json = true\nrate = "fast"')
    assert main(["run", "orders", "--config", "export.toml"]) == 2
    assert json.loads(capsys.readouterr().out)["exit"] == 2


def test_an_unknown_variable_is_a_warning_with_the_nearest_name(
    engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPORTER_PAGESIZE", "100")
    monkeypatch.setenv("EXPORTER_CONFIG", "")
    assert main(["run", "orders"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert warnings == ["warning: EXPORTER_PAGESIZE is no option: did you mean EXPORTER_PAGE_SIZE?"]
    assert main(["run", "orders", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("message", "cause", "shown"),
    [
        ("orders: No space left on device", OSError(28, "No space left on device"), False),
        (
            "the settings can't be read: no such file or directory",
            FileNotFoundError(2, "No such file or directory"),
            False,
        ),
        ("page 3: 8 attempts failed, the last: HTTP 502", RuntimeError("HTTP 502"), False),
        ("orders can't be written", OSError(13, "Permission denied"), True),
    ],
)
def test_a_cause_that_the_message_has_already_is_shown_once(
    message: str,
    cause: Exception,
    shown: bool,
    engine: Callable[[Export], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine(raising(caused(DiskError(message), cause)))
    assert main(["run", "orders"]) == 3
    assert ("cause: " in capsys.readouterr().err) is shown


@pytest.mark.parametrize(
    ("flags", "totals", "told"),
    [
        (["--no-final-check"], "exact", "check     the last comparison of totals was left out: --no-final-check\n"),
        ([], "ignored", "was left out: the server's totals are ignored, of no use here\n"),
    ],
)
def test_the_summary_says_why_the_last_comparison_was_left_out(
    flags: list[str],
    totals: str,
    told: str,
    engine: Callable[[Export], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def export(_out: Path, _settings: Settings, _on_event: Callable[[Event], None]) -> Summary:
        return Summary(**SUMMARY | {"final_check": False, "totals": totals})

    engine(export)
    assert main(["run", "orders", *flags]) == 0
    assert told in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("stderr", ["/dev/full", "a closed pipe", "closed"])
@pytest.mark.parametrize("flags", [["--json"], []])
def test_losing_stderr_does_not_end_an_export(stderr: str, flags: list[str]) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from types import ModuleType; "
        "import exporter.cli; from tests.cli.test_cli import finishing; module = ModuleType('exporter.export'); "
        "module.export = lambda out, settings, *, on_event: finishing(out, settings, on_event); "
        "sys.modules['exporter.export'] = module; exporter.cli.entry()"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[2]), "run", "orders", *flags]
    redirected = {"/dev/full": "2> /dev/full", "closed": "2>&-", "a closed pipe": "2> >(exec true)"}[stderr]
    waiting = "sleep 0.2; " if stderr == "a closed pipe" else ""
    done = subprocess.run(
        ["bash", "-c", f'exec {redirected}; {waiting}exec "$@"', "bash", *command], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == 0
    expected = b'{"complete": true' if flags else b"Complete: 1,200 orders"
    assert done.stdout.startswith(expected)


def test_a_traceback_comes_only_with_verbose(
    engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    engine(raising(ZeroDivisionError("division by zero")))
    assert main(["run", "orders"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(["run", "orders", "--verbose"]) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "please report it" in told
    assert "secret" not in told


def test_show_settings_tells_the_source_of_each_and_hides_the_key(
    engine: Callable[[Export], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    engine(raising(AssertionError("nothing may be sent")))
    (tmp_path / "export.toml").write_text('timezone = "UTC"\njson = false')
    monkeypatch.setenv("EXPORTER_RATE", "2")
    assert main(["run", "orders", "--status", "paid,7", "--config", "export.toml", "--show-settings"]) == 0
    told = capsys.readouterr().out
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in told.splitlines()}
    assert lines["status"] == "3, 7 command line"
    assert lines["rate"] == "2.0 environment"
    assert lines["timezone"] == "UTC export.toml"
    assert lines["page-size"] == "500 default"
    assert lines["key"] == "…sees DUOPLUS_API_KEY"
    assert "secret" not in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_cleanly_and_says_that_the_same_command_resumes(
    number: signal.Signals, code: int, engine: Callable[[Export], None], capsys: pytest.CaptureFixture[str]
) -> None:
    cleaned = []

    async def export(_out: Path, _settings: Settings, _on_event: Callable[[Event], None]) -> Summary:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            cleaned.append(number)
        raise AssertionError("it goes on")

    before = signal.getsignal(number)
    engine(export)
    assert main(["run", "orders", "--json"]) == code
    told = capsys.readouterr()
    assert cleaned == [number]
    assert "the same command resumes" in told.err
    assert json.loads(told.out)["exit"] == code
    assert signal.getsignal(number) is before


def test_a_signal_that_the_caller_ignores_is_ignored(engine: Callable[[Export], None]) -> None:
    async def export(out: Path, settings: Settings, on_event: Callable[[Event], None]) -> Summary:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(0)
        return await finishing(out, settings, on_event)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        engine(export)
        assert main(["run", "orders", "--quiet"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("asked", [["run", "x", "--show-settings"], ["--version"], ["--help"]])
def test_a_reader_who_has_enough_is_no_error(asked: list[str]) -> None:
    command = [sys.executable, "-m", "exporter", *asked]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("asked", [["run", "x", "--show-settings", "--json"], ["--version"]])
def test_a_full_disk_under_stdout_is_named(asked: list[str]) -> None:
    command = [sys.executable, "-m", "exporter", *asked]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("error: stdout could not be written: No space left on device\nhint: ")


def test_a_command_ends_with_its_exit_code_and_all_it_had_to_say() -> None:
    command = [sys.executable, "-m", "exporter", "run", "x", "--rate", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("\n")


def test_what_a_failing_command_said_before_is_not_lost() -> None:
    program = "from exporter import cli; cli.main = lambda: print('said') or 4; cli.entry()"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", program], env=buffered, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (4, "said\n", "")


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from exporter.cli import main; loaded = set(sys.modules); main(['--help']); "
        "print(sorted(loaded & {'pyarrow', 'aiohttp', 'rich', 'numpy', 'pandas', 'tqdm', 'asyncio', 'anyio'}), "
        "sorted(set(sys.modules) & {'pyarrow', 'aiohttp', 'numpy', 'pandas', 'tqdm'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] []"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "exporter", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


def test_completion_is_installed_for_a_shell_and_says_which_files_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for shell, startup in (("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", None)):
        before = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert main(["--install-completion", "--shell", shell]) == 0
        told = capsys.readouterr().out
        path = Path(told.split()[1])
        assert path.is_relative_to(tmp_path)
        assert "page-size" in path.read_text(encoding="utf-8")
        written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert all(str(path) in told for path in written)
        assert (startup is None) or (f"added a line to {tmp_path / startup}" in told)
        assert ("compinit" in told) == (shell == "zsh")
        assert main(["--install-completion", "--shell", shell]) == 0
        assert "added" not in capsys.readouterr().out


def test_zsh_and_fish_complete_files_and_choices_as_bash_does() -> None:
    zsh, fish = (app.generate_completion(shell=shell) for shell in ("zsh", "fish"))
    assert len(re.findall(r"'\d:(?:OUT|OLD|NEW|FILE):_files'", zsh)) == 11, "one for each path of a command"
    assert not re.search(r"^complete -c exporter .*-f\b", fish, re.MULTILINE), "fish completes files unless forbidden"
    for option in ("api-key-file", "config", "log-file", "changes", "output", "records"):
        assert f":{option}:_files'" in zsh
        assert re.search(rf"-l {option} -r -F\b", fish)
    assert "-l site -x -a 'international mainland'" in fish
    assert ':site:(international mainland)"' in zsh


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("run or", {"orders", "orders.txt"}),
        ("verify or", {"orders", "orders.txt"}),
        ("status or", {"orders", "orders.txt"}),
        ("update or", {"orders", "orders.txt"}),
        ("update orders --changes or", {"orders", "orders.txt"}),
        ("report or", {"orders", "orders.txt"}),
        ("report orders --output or", {"orders", "orders.txt"}),
        ("convert orders or", {"orders", "orders.txt"}),
        ("diff orders or", {"orders", "orders.txt"}),
        ("publish or", {"orders", "orders.txt"}),
        ("demo or", {"orders", "orders.txt"}),
        ("simulate --records or", {"orders", "orders.txt"}),
        ("run orders --api-key-file or", {"orders", "orders.txt"}),
        ("simulate --shape b", {"bursty"}),
        ("run orders --log-file or", {"orders", "orders.txt"}),
        ("run orders --config or", {"orders", "orders.txt"}),
        ("check --site m", {"mainland"}),
        ("run orders --compression z", {"zstd"}),
        ("run orders --status pa", {"paid"}),
        ("run orders --product-type cloud-", {"cloud-phone", "cloud-number"}),
        ("run orders --page-s", {"--page-size"}),
    ],
)
def test_bash_completes_files_and_choices(typed: str, expected: set[str], tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders.txt").touch()
    (tmp_path / "script").write_text(app.generate_completion(shell="bash"), encoding="utf-8")
    *words, last = ["exporter", *typed.split()]
    program = f"""
source ./script
COMP_WORDS=({" ".join([*words, last])}); COMP_CWORD={len(words)}
$(complete -p exporter | sed "s/.*-F \\([^ ]*\\).*/\\1/") exporter {last} {words[-1]}
printf "%s\\n" "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert {word.strip().rstrip("/") for word in done.stdout.splitlines()} == expected, done.stderr
