"""The README shows what happens: every example is run, against the simulator, and its output compared."""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import duckdb
import pytest

import exporter
from exporter.cli import app
from exporter.config import Connection, Output, Query, Work, options_of
from exporter.errors import ExportError
from exporter.simulator import Options
from exporter.simulator.process import serving_apart

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(console|python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = re.compile(r"^(\d+%|host|key|range|requests|time|size|files|orders is right)", re.MULTILINE)
"""How lines begin whose figures are the reader's own: of the machine, the moment, the key, the compressor."""
NOT_RUN = ("pip install", "export ")
"""Examples that would change the machine, or only this shell."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give an empty folder with a server behind it, and the commands of this environment."""
    world = Options(rows=12_600, seed=7, frozen=False, end="2026-01-01T00:00:00+08:00", key="the-key-of-7f3a")
    with serving_apart(world) as url:
        monkeypatch.chdir(tmp_path)
        for name in [name for name in os.environ if name.startswith("EXPORTER_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("DUOPLUS_API_KEY", world.key)
        monkeypatch.setenv("EXPORTER_BASE_URL", url)
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        yield url


def in_terminal(command: str) -> str:
    """Run a command whose stderr is a terminal; return what stands there in the end, then stdout."""
    command = "exporter demo" if command == "make demo" else command
    environ = dict(os.environ)
    if command != "exporter plan":  # which tells the rate
        environ["EXPORTER_RATE"] = "1e6"
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:  # how Linux says that the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True, check=True
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    lines = b"".join(pieces).decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2] for line in lines) + done.stdout


def masked(text: str) -> str:
    """Return a text in which the figures, bars and addresses that vary are not told apart."""
    lines = (
        re.sub(r"https?://\S+|…\w+|[█▏▎▍▌▋▊▉]+ *|[\d.,:+T-]*\d", "#", line) if VARYING.match(line) else line
        for line in text.rstrip().splitlines()
    )
    return "\n".join(re.sub(r" +", " ", line) if VARYING.match(line) else line for line in lines) + "\n"


def assert_shown(shown: str, got: str, source: str) -> None:
    same = doctest.OutputChecker().check_output(masked(shown), masked(got), doctest.ELLIPSIS)
    assert same, f"{source} gives\n{got}\nbut README.md shows\n{shown}"


def run_console(block: str) -> None:
    for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = example.partition("\n")
        if not command.startswith(NOT_RUN):
            assert_shown(shown, in_terminal(command), command)


def run_python(source: str, names: dict[str, object]) -> None:
    compiled = compile(source, str(README), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with redirect_stdout(io.StringIO()) as printed:
        result = eval(compiled, names)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    assert printed.getvalue(), f"prints nothing:\n{source}"


def test_every_example_runs_and_shows_what_the_readme_shows(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("run", "stream"):
        monkeypatch.setattr(exporter, name, partial(getattr(exporter, name), base_url=place, rate=1e6))
    names: dict[str, object] = {}
    kinds = []
    for kind, block in BLOCK.findall(TEXT):
        kinds.append(kind)
        if kind == "console":
            run_console(block)
        elif kind == "python":
            run_python(block, names)
        else:
            with duckdb.connect() as connection:
                assert len(connection.sql(block).to_arrow_table()) == 24
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"console": 4 + 1, "python": 4, "sql": 1}


def options_table() -> str:
    rows = [
        f"| `--{name.replace('_', '-')}` | {option.described} |"
        for group in (Query, Connection, Work, Output)
        for name, option in options_of(group).items()
    ]
    return "\n".join(["| option | |", "|---|---|", *rows])


def test_the_readme_tells_every_option_with_its_default() -> None:
    told = TEXT.partition("<!-- options -->\n")[2].partition("\n<!-- end of options -->")[0]
    assert told == options_table()


def test_the_readme_and_the_help_name_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    app(["--help"], result_action="return_value")
    shown = capsys.readouterr().out
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert f" {name} " in shown
            assert re.search(rf"`{name}\b|exporter {name}\b", TEXT), name


def test_every_command_helps_with_every_option_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name, command in app.resolved_commands().items():
        if name.startswith("-"):
            continue
        app([name, "--help"], result_action="return_value")
        shown = capsys.readouterr().out
        assert "Examples:" in shown, name
        for argument in command.assemble_argument_collection():
            if argument.parameter.show and argument.parse and argument.names:
                assert argument.parameter.help or argument.names[0].isupper(), f"{name} {argument.names}"


def test_the_readme_tells_every_exit_code() -> None:
    def codes(kind: type[ExportError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))

    told = {int(code) for codes in re.findall(r"^\| ([\d, ]+) \|", TEXT, re.MULTILINE) for code in codes.split(",")}
    assert told == codes(ExportError) | {0, 129, 130, 143}


def test_the_readme_gives_a_reason_for_each_dependency() -> None:
    import tomllib

    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]
    told = TEXT.partition("| needed | for |\n|---|---|\n")[2].partition("\n\n")[0]
    assert {line.split("|")[1].strip() for line in told.splitlines()} == needed


if __name__ == "__main__":  # renew the table of options: python -m tests.test_readme
    before, _, rest = TEXT.partition("<!-- options -->\n")
    after = rest.partition("<!-- end of options -->")[2]
    README.write_text(f"{before}<!-- options -->\n{options_table()}\n<!-- end of options -->{after}", encoding="utf-8")
