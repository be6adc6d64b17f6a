"""The README names every command, option, exit code and dependency; its examples are run by test_docs."""

from __future__ import annotations

import re
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
