"""The documents show what happens: every example is run, every link leads somewhere, every list is complete."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import pytest

import exporter
from exporter import columns
from exporter.progress.summary import UpdateSummary
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from tests.examples import module_at, run_examples
from tests.test_package import needed

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.glob("*.md")),
]
WORLD = SimulatorOptions(rows=12_600, seed=7, frozen=False, end="2026-01-01T00:00:00+08:00", key="the-key-of-7f3a")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_apart(WORLD) as address:
        yield address


@pytest.fixture
def _workplace(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with the commands of this environment set to a server."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("EXPORTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DUOPLUS_API_KEY", WORLD.key)
    monkeypatch.setenv("EXPORTER_BASE_URL", url)
    monkeypatch.setenv("EXPORTER_RATE", "1e6")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in ("run", "stream", "update"):
        monkeypatch.setattr(exporter, name, partial(getattr(exporter, name), base_url=url, rate=1e6))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return module_at(DOCS / "reference.py")


EXAMPLES = {"README.md": 13, "README.zh-CN.md": 18, "completeness.md": 1, "format.md": 3, "recipes.md": 27}
"""How many examples a page has: none of them escapes the pattern that finds them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("_workplace")
def test_every_example_runs_and_gives_what_the_page_shows(page: Path) -> None:
    assert run_examples(page) == EXAMPLES.get(page.name, 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_reference_of_commands_and_the_readmes_options_are_those_of_the_code(reference: ModuleType) -> None:
    assert reference.COMMANDS.read_text(encoding="utf-8") == reference.commands_page(), "stale: make docs"
    readme = reference.README.read_text(encoding="utf-8")
    assert readme == reference.renewed(readme), "stale: make docs"


def test_the_reference_of_the_python_interface_is_that_of_the_docstrings(reference: ModuleType) -> None:
    page = reference.API.read_text(encoding="utf-8")
    assert page == reference.api_page(), "stale: make docs"
    assert set(re.findall(r"^### exporter\.(\w+)$", page, re.MULTILINE)) == set(exporter.__all__)
    assert "\nNone\n" not in page, "a public name has no docstring"


def test_every_option_of_every_command_has_a_help(reference: ModuleType) -> None:
    options = [line for line in reference.commands_page().splitlines() if line.startswith("* `--")]
    assert len(options) > 100
    assert [line for line in options if not re.match(r"\* `[^`]+`: \S", line)] == []


def test_the_format_page_names_every_column_and_every_key_of_a_manifest(url: str, tmp_path: Path) -> None:
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    assert named >= set(columns.schema(timezone="UTC", language="en").names)

    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inside in value.items():
                yield from (key, *keys(inside))
        elif isinstance(value, list):
            yield from (key for inside in value for key in keys(inside))

    result = exporter.run(tmp_path / "orders", base_url=url, api_key=WORLD.key, rate=1e6)
    assert named >= set(keys(json.loads((result.out / "_manifest.json").read_bytes())))


def test_the_recipes_name_every_key_of_the_json() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8").partition("## JSON in scripts")[2].partition("## ")[0]
    named = [
        name for names in re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", names)
    ]
    assert sorted(named) == sorted([*(one.name for one in fields(UpdateSummary)), "error", "hint", "exit"])


def test_the_maps_name_every_package_and_every_module_at_the_top() -> None:
    package = Path(exporter.__file__).parent
    parts = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    parts -= {"__init__", "__main__"}
    for page in (DOCS / "design.md", ROOT / "CONTRIBUTING.md"):
        named = re.findall(r"^\| `(\w+)/?` \|", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(named) == sorted(parts), page.name


def test_the_design_names_files_and_functions_that_exist() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    package = Path(exporter.__file__).parent
    files = set(re.findall(r"`([\w/]+\.py)`", text))
    assert sorted(file for file in files if not (package / file).exists() and not (ROOT / file).exists()) == []
    walk = re.findall(r"\| `([\w/]+)\.py` \| `([\w.]+)` \|", text)
    assert len(walk) > 10
    for file, name in walk:
        module = importlib.import_module(".".join(["exporter", *file.split("/")]).removesuffix(".__init__"))
        assert callable(attrgetter(name)(module)), f"{file}.py has no {name}"


def test_the_licences_of_all_that_is_needed_are_named() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    rows = text.partition("| distribution | licence |\n|---|---|\n")[2].partition("\n\n")[0]
    assert {line.split("|")[1].strip() for line in rows.splitlines()} >= needed()
