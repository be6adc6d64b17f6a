"""The files of docs/recipes and the Dockerfile do what docs/recipes.md says. `make recipes` runs the one for dlt."""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import AsyncIterator
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import exporter
from exporter.cli import main
from exporter.simulator import Faults, Quirks, SimulatorOptions
from exporter.simulator.server import Simulator, serving
from tests.examples import module_at
from tests.notebook import code_cells, run_cells

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "docs" / "recipes"
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
RESUMED, FOR_A_PERSON = {3, 4}, {1, 2, 5}
"""Exit codes after which the same command is right, and those after which it isn't."""


@pytest.mark.parametrize("name", ["dlt_orders.py", "exporter.service", "exporter.timer", "task.py"])
def test_the_page_shows_the_file_as_it_is(name: str) -> None:
    content = (RECIPES / name).read_text(encoding="utf-8")
    assert f"```{'py' if name.endswith('.py') else 'ini'}\n{content}```\n" in PAGE


def test_every_file_is_linked() -> None:
    for file in RECIPES.iterdir():
        if file.is_file():
            assert f"](recipes/{file.name})" in PAGE, file.name


@pytest.fixture(scope="module")
def task() -> ModuleType:
    return module_at(RECIPES / "task.py")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with serving(SimulatorOptions(rows=600, seed=7)) as simulator:
        yield simulator


def options(simulator: Simulator, **others: Any) -> dict[str, Any]:
    return {"base_url": simulator.url, "api_key": simulator.options.key, "rate": 1e6, "end": "2025-12-31", **others}


async def test_the_task_returns_facts_and_sends_nothing_when_it_is_run_again(
    task: ModuleType, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    out = tmp_path / "orders"
    facts = await task.export_orders(out, **options(simulator))
    assert json.loads(json.dumps(facts)) == {
        "out": str(out),
        "rows": 600,
        "files": [str(out / "part-00000.parquet")],
    }
    assert "600 orders are certified" in caplog.messages
    sent = simulator.statistics.requests
    assert await task.export_orders(out, **options(simulator)) == facts
    assert simulator.statistics.requests == sent


async def test_a_failure_that_may_pass_is_tried_again_and_resumes(
    task: ModuleType, simulator: Simulator, tmp_path: Path
) -> None:
    broken = SimulatorOptions(rows=600, seed=7, faults=Faults(code_500=1))
    async with serving(broken) as server:
        with pytest.raises(task.TryAgainError) as failed:
            await task.export_orders(tmp_path / "orders", **options(server, max_attempts=1, patience=0.1))
    assert isinstance(failed.value.__cause__, exporter.ApiError)
    facts = await task.export_orders(tmp_path / "orders", **options(simulator))
    assert facts["rows"] == 600


async def test_data_that_can_not_be_certified_is_tried_again(task: ModuleType, tmp_path: Path) -> None:
    lying = SimulatorOptions(rows=600, seed=7, quirks=Quirks(ignored_filters=("type",)))
    async with serving(lying) as server:
        with pytest.raises(task.TryAgainError, match="export without it, and filter the result") as failed:
            await task.export_orders(tmp_path / "orders", **options(server, type=["refund"]))
    assert isinstance(failed.value.__cause__, exporter.CertificateError)


async def test_what_another_attempt_can_not_mend_needs_a_person(
    task: ModuleType, simulator: Simulator, tmp_path: Path
) -> None:
    out = tmp_path / "orders"
    hopeless: list[tuple[dict[str, Any], type[exporter.ExportError]]] = [
        ({"api_key": "wrong"}, exporter.UnauthorizedError),
        ({"rate": -1}, exporter.ConfigError),
    ]
    for wrong, kind in hopeless:
        with pytest.raises(task.NeedsAPersonError) as failed:
            await task.export_orders(out, **options(simulator, **wrong))
        assert isinstance(failed.value.__cause__, kind)
    await task.export_orders(out, **options(simulator))
    with pytest.raises(task.NeedsAPersonError, match="choose another OUT") as failed:
        await task.export_orders(out, **options(simulator, type=["refund"]))
    assert isinstance(failed.value.__cause__, exporter.OutputError)


@pytest.fixture(scope="module")
def service() -> ConfigParser:
    parser = ConfigParser(interpolation=None, comment_prefixes=("#",), delimiters=("=",), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's names have capitals
    parser.read(RECIPES / "exporter.service", encoding="utf-8")
    return parser


def test_the_commands_of_the_service_are_ones_that_the_exporter_takes(
    service: ConfigParser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("the-key", encoding="utf-8")
    (tmp_path / "key").chmod(0o400)
    run, verify = (shlex.split(service["Service"][name]) for name in ("ExecStart", "ExecStartPost"))
    assert run.pop(0) == verify.pop(0) == "/opt/exporter/bin/exporter"
    assert main([*(word.replace("%d", str(tmp_path)) for word in run), "--show-settings"]) == 0
    assert re.search(r"^overwrite +True", capsys.readouterr().out, re.MULTILINE)
    assert verify == ["verify", run[1]]


def test_the_service_resumes_what_may_pass_and_leaves_the_rest_to_a_person(service: ConfigParser) -> None:
    section = service["Service"]
    assert section["Restart"] == "on-failure"
    assert {int(code) for code in section["RestartPreventExitStatus"].split()} == FOR_A_PERSON
    assert section["SuccessExitStatus"] == "143"
    assert section["TimeoutStartSec"] == "infinity", "an export takes as long as it takes"


def test_the_cron_script_repeats_the_codes_that_may_pass() -> None:
    (codes,) = re.findall(r"case \$code in (\d) \| (\d)\) sleep", PAGE)
    assert {int(code) for code in codes} == RESUMED


def test_the_notebook_shows_what_its_cells_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DUOPLUS_API_KEY", raising=False)
    notebook = json.loads((RECIPES / "orders.ipynb").read_text(encoding="utf-8"))
    shown = [[text_of(output) for output in cell["outputs"]] for cell in code_cells(notebook)]
    assert [[text_of(output) for output in outputs] for outputs in run_cells(notebook)] == shown
    assert sum(map(len, shown)) >= 6
    assert [output for cell in code_cells(notebook) for output in cell["outputs"] if "image/png" in output["data"]]


def text_of(output: dict[str, Any]) -> str:
    """Return what an output shows as text, without the size of files, which the compressor's version decides."""
    return re.sub(r"[\d.]+ kB", "# kB", "".join(output["data"]["text/plain"]))


def test_the_container_copies_what_exists_and_installs_the_lock_by_its_hashes() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE) for name in line.split()]
    assert {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "exporter"} == set(copied)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored
    assert "--require-hashes --requirement requirements.lock" in dockerfile
    installs = [
        line for line in re.sub(r"\\\n *", "", dockerfile).splitlines() if re.search(r"pip (install|wheel)", line)
    ]
    for command in "\n".join(installs).split("&&"):
        assert "pip" not in command or "--require-hashes" in command or "--no-index" in command, command


def test_the_container_has_the_locks_python_a_user_without_rights_and_extras_that_exist() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (python,) = re.findall(r"pip-compile with Python (3\.\d+)", lock)
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == [f"python:{python}-slim"] * 2
    (user,) = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert re.search(rf"useradd --uid \d{{5}} .*{user}", dockerfile)
    assert dockerfile.index("\nUSER ") < dockerfile.index("\nENTRYPOINT ")
    (extras,) = re.findall(r"duoplus-exporter\[([\w,]+)\]", dockerfile)
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]")[2]
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = ", declared, re.MULTILINE), extra
