"""The README names every command, option, exit code and dependency; its examples are run by test_docs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from exporter.cli import app
from exporter.errors import ExportError

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_the_readme_and_the_help_name_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    app(["--help"], result_action="return_value")
    shown = capsys.readouterr().out
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert f" {name} " in shown
            assert re.search(rf"`{name}\b|exporter {name}\b", TEXT), name


def test_every_command_helps_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name in app.resolved_commands():
        if not name.startswith("-"):
            app([name, "--help"], result_action="return_value")
            assert f"Examples:\n  exporter {name}" in capsys.readouterr().out


def test_the_requests_that_the_readme_begins_with_are_those_of_the_demonstration() -> None:
    (claimed,) = re.findall(r"100,000 orders take (\d+) requests", TEXT)
    assert f"requests  {claimed} (ideal: 200)\n" in TEXT


def test_the_steps_without_a_key_work_as_the_readme_shows_them(tmp_path: Path) -> None:
    (serve,) = re.findall(r"^\$ (exporter simulate .*)$", TEXT, re.MULTILINE)
    (point,) = re.findall(r"^\$ export (EXPORTER_BASE_URL=\S+ DUOPLUS_API_KEY=simulator)$", TEXT, re.MULTILINE)
    (port,) = re.findall(r"--port (\d+)", serve)
    assert f":{port} " in point
    served = [sys.executable, "-m", *serve.replace(f"--port {port}", "--port 0").split()]
    environ = {**os.environ, "PYTHONPATH": str(README.parent), **dict(pair.split("=", 1) for pair in point.split())}
    with subprocess.Popen(served, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, text=True) as server:
        assert server.stdout is not None
        environ["EXPORTER_BASE_URL"] = server.stdout.readline().strip()
        try:
            for command in ("check", "plan --rate 1000000", "run orders --end 2025-12-31 --rate 1000000 --json"):
                tokens = [sys.executable, "-m", "exporter", *command.split()]
                done = subprocess.run(tokens, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
        finally:
            server.terminate()
    assert json.loads(done.stdout)["rows"] == 12_600
    assert "Complete: 12,600 orders from 2015-01-01" in TEXT


def test_make_demo_says_that_it_installs(tmp_path: Path) -> None:
    """What `make` would run in a fresh checkout begins with a message."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((README.parent / name).read_bytes())
    # under another make (`make check`), this one would first say which folder it enters
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    done = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=tmp_path, env=environ, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith('echo "installing what is needed')
    assert "`make test`" in TEXT


def test_no_line_installs_from_an_index_what_no_index_has() -> None:
    for page in (README, *(README.parent / "docs").glob("*.md")):
        assert not re.search(r"pip install '?duoplus-exporter", page.read_text(encoding="utf-8")), page.name


def test_the_readme_tells_every_exit_code() -> None:
    def codes(kind: type[ExportError]) -> set[int]:
        return {kind.exit_code}.union(*(codes(child) for child in kind.__subclasses__()))

    named = {int(code) for codes in re.findall(r"^\| ([\d, ]+) \|", TEXT, re.MULTILINE) for code in codes.split(",")}
    assert named == codes(ExportError) | {0, 129, 130, 143}


def test_the_readme_gives_a_reason_for_each_dependency() -> None:
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}  # type: ignore[index]
    named = TEXT.partition("| needed | for |\n|---|---|\n")[2].partition("\n\n")[0]
    assert {line.split("|")[1].strip() for line in named.splitlines()} == needed
