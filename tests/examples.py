"""Run the examples of a document against the simulator and compare what they print with what it shows.

A `console` block shows commands and their output. A `python`, `bash` or `sql` block is run too; the `text` block right
after it, if there is one, is its output. The examples of one document run in its order, in one folder.
"""

from __future__ import annotations

import doctest
import importlib.util
import io
import os
import pty
import re
import shlex
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from types import ModuleType

import duckdb

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
ONLY_SHOWN = frozenset({"cron", "ini", "json", "mermaid", "py", "text", "toml"})
"""Kinds of blocks that are not run here: `ini` and `py` show files of docs/recipes, which test_recipes sees to."""
VARYING = re.compile(r"^(\d+%|host|key|range|time|size|files|orders is right)", re.MULTILINE)
"""How lines begin whose figures are the reader's own: of the machine, the moment, the key, the compressor."""
NOT_RUN = ("python3 -m venv", "source ", "pip install", "export ", "exporter simulate")
"""Commands that would change the machine, or only this shell; or whose server is running already."""


class Servers(ExitStack):
    """The servers that a document starts to serve its own records, each at a free port instead of the one shown."""

    def __init__(self) -> None:
        super().__init__()
        self._addresses: dict[str, str] = {}

    def start(self, command: str) -> None:
        """Start what `exporter simulate … --port N` starts; it runs until this is closed."""
        before, _, port = command.partition(" --port ")
        process = subprocess.Popen(
            shlex.split(f"{before} --port 0"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.enter_context(process)
        self.callback(process.terminate)
        assert process.stdout is not None
        self._addresses[f"http://127.0.0.1:{port}"] = process.stdout.readline().strip()

    def reached_by(self, command: str) -> str:
        """Return a command with the addresses at which the servers really are."""
        for shown, real in self._addresses.items():
            command = command.replace(shown, real)
        return command


def module_at(file: Path) -> ModuleType:
    """Load a script of the documents as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_examples(document: Path) -> int:
    """Run a document's examples; return how many there are."""
    count = 0
    with Servers() as servers:
        for found in BLOCK.finditer(document.read_text(encoding="utf-8")):
            kind, source, shown = found.groups()
            if kind == "console":
                _console(source, servers)
            elif kind not in ONLY_SHOWN:
                RUNNERS[kind](source, shown)
            count += kind not in ONLY_SHOWN
    return count


def _console(source: str, servers: Servers) -> None:
    for example in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
        command, _, output = example.partition("\n")
        if command.startswith("exporter simulate --records"):
            servers.start(command)
        elif not command.startswith(NOT_RUN):
            _assert_shown(output, _in_terminal(servers.reached_by(command)), command)


def _python(source: str, shown: str | None) -> None:
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, "example", "exec"), {"__name__": "__main__"})  # a script as it stands, without the others
    assert printed.getvalue(), f"prints nothing:\n{source}"
    if shown is not None:
        _assert_shown(shown, printed.getvalue(), source)


def _bash(source: str, shown: str | None) -> None:
    done = subprocess.run(["bash", "-eu", "-c", source], capture_output=True, text=True, check=True)
    if shown is not None:
        _assert_shown(shown, done.stdout, source)


def _sql(source: str, shown: str | None) -> None:
    with duckdb.connect() as connection:
        response = connection.sql(source)
        assert len(response), source
        if shown is not None:
            _assert_shown(shown, str(response), source)


RUNNERS: dict[str, Callable[[str, str | None], None]] = {
    "python": _python,
    "bash": _bash,
    "sql": _sql,
}


def _in_terminal(command: str) -> str:
    """Run a command whose stderr is a terminal; return what the terminal shows at the end, then stdout."""
    command = "exporter demo" if command == "make demo" else command
    environ = dict(os.environ)
    if command == "exporter plan":  # which shows the rate
        del environ["EXPORTER_RATE"]
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
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True)  # noqa: PLW1510
    os.close(theirs)
    reader.join()
    os.close(ours)
    lines = b"".join(pieces).decode().replace("\r\n", "\n").split("\n")
    shown = "\n".join(line.rpartition("\r")[2] for line in lines) + done.stdout
    assert done.returncode == 0, shown
    return shown


def _masked(text: str) -> str:
    """Return a text with the figures, bars and addresses that vary replaced."""
    lines = (
        re.sub(r"https?://\S+|…\w+|[█▏▎▍▌▋▊▉]+ *|[\d.,:+T-]*\d", "#", line) if VARYING.match(line) else line
        for line in text.rstrip().splitlines()
    )
    return "\n".join(re.sub(r" +", " ", line) if VARYING.match(line) else line for line in lines) + "\n"


def _assert_shown(shown: str, got: str, source: str) -> None:
    same = doctest.OutputChecker().check_output(_masked(shown), _masked(got), doctest.ELLIPSIS)
    assert same, f"{source} gives\n{got}\nbut the document shows\n{shown}"
