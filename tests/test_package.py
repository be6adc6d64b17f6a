"""The package: what is in it, what it needs, and that it runs where nothing else is installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import exporter

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def needed() -> set[str]:
    """Return the distributions that the package needs without extras, directly or not."""
    found: set[str] = set()
    pending = [*PROJECT["dependencies"]]
    while pending:
        requirement = Requirement(pending.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            pending += importlib.metadata.requires(name) or ()
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel, the wheel from the sdist, from a copy: the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    source.mkdir()
    for name in ("exporter", "tests", "docs", ".github"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, source)
    command: list[str | Path] = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        source / "dist",
        source,
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "dist"


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment that holds what it needs and nothing else; return the commands."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in needed():
        files = importlib.metadata.distribution(name).files or ()
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            (site / top).symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(top))))
    wheel = next(built.glob("*.whl"))
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it may hold this project
    subprocess.run([*pip, "--no-deps", "--no-index", "--disable-pip-version-check", wheel], check=True, env=alone)
    return folder / "bin"


def test_the_wheel_holds_the_package_its_types_and_its_licence(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    kinds = ("*.py", "*.css", "*.html", "py.typed")
    package = {str(path.relative_to(ROOT)) for kind in kinds for path in (ROOT / "exporter").rglob(kind)}
    described = {name for name in names if ".dist-info/" in name}
    assert set(names) - described == package
    assert any(name.endswith("/licenses/LICENSE") for name in described)


def test_the_sdist_holds_licence_readme_and_what_the_tests_need(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "exporter/py.typed", "exporter/simulator/server.py"} <= names
    assert {"requirements.lock", "docs/design.md", "tests/conftest.py", "tests/fixtures/sample_en.json"} <= names
    assert {".github/workflows/check.yml", ".pre-commit-config.yaml"} <= names


def test_the_wheel_asks_for_what_run_needs_and_names_the_extras(built: Path) -> None:
    wheel = zipfile.ZipFile(next(built.glob("*.whl")))
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    asked = re.findall(r"^Requires-Dist: (.+)$", text, re.MULTILINE)
    assert sorted(line for line in asked if "extra ==" not in line) == sorted(PROJECT["dependencies"])
    extras = {"dask", "dev", "duckdb", "pandas", "polars", "publish", "report", "xlsx"}
    assert set(re.findall(r"^Provides-Extra: (.+)$", text, re.MULTILINE)) == extras
    assert not needed() & {"distributed", "duckdb", "matplotlib", "numpy", "obstore", "pandas", "polars", "pytest"}


def test_the_public_names_are_these() -> None:
    assert exporter.__all__ == [
        "ApiError",
        "CertificateError",
        "ConfigError",
        "Diff",
        "DiskError",
        "Event",
        "ExportError",
        "Options",
        "OutputError",
        "RejectedError",
        "Result",
        "StorageError",
        "UnauthorizedError",
        "arun",
        "aupdate",
        "diff",
        "open",
        "records",
        "run",
        "stream",
        "update",
    ]


def test_hooks_run_what_make_check_runs_and_download_nothing() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"repo: (\S+)", hooks)) == {"local"}
    assert set(re.findall(r"language: (\S+)", hooks)) == {"system"}
    check = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    for tool in re.findall(r"entry: \.venv/bin/(\S+)", hooks):
        assert f"$(BIN)/{tool}" in check


def test_every_supported_python_is_checked() -> None:
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
    checked = re.findall(r'"(3\.\d+)"', workflow)
    assert list(dict.fromkeys(checked)) == re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert PROJECT["requires-python"] == f">={checked[0]}"
    assert "make check" in workflow


def test_the_package_has_few_entries() -> None:
    entries = {path.name for path in (ROOT / "exporter").iterdir()} - {"__pycache__"}
    assert len(entries) <= 22


def test_the_demonstration_runs_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    done = subprocess.run(
        [bare / "exporter", "demo"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert "Complete: 100,000 orders" in done.stdout
    assert "GROUP BY type" in done.stdout
    verified: list[str | Path] = [bare / "python", "-m", "exporter", "verify", "demo", "--json"]
    facts = json.loads(subprocess.run(verified, cwd=tmp_path, env=environ, capture_output=True, check=True).stdout)
    assert (facts["right"], facts["rows"]) == (True, 100_000)


def test_a_missing_library_is_named_in_a_bare_environment(bare: Path) -> None:
    program = "import exporter.result; exporter.result._needed('pandas')"
    done = subprocess.run([bare / "python", "-c", program], check=False, capture_output=True, text=True)
    assert "pandas is not installed: pip install pandas" in done.stderr
