"""Make the environments that contenders run in: one for each file of pinned requirements, next to this script."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PIP = ("-m", "pip", "install", "-qq", "--disable-pip-version-check")
OURS = "exporter"
"""The environment that this project itself is installed in, with no more than it needs."""
RECIPES = "recipes"
"""The environment of the recipes that need what the project does not; it holds the project, too."""


@cache
def python_of(name: str) -> Path:
    """Return the interpreter of an environment, made first where it is missing or its requirements have changed."""
    requirements, folder = HERE / "requirements" / f"{name}.txt", HERE / f".venv-{name}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        print(f"installing {requirements.name} into {folder.name}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, *PIP, "--require-hashes", "-r", requirements], check=True)
        ready.write_text(wanted)
    if name in {OURS, RECIPES}:
        _install_ours(python, folder / ".ours")
    return python


def _install_ours(python: Path, ready: Path) -> None:
    """Install this project as users do, not as those who work on it: that starts faster."""
    project = HERE.parent
    sources = [project / "pyproject.toml", *sorted((project / "exporter").rglob("*.py"))]
    wanted = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(project / "build", ignore_errors=True)  # it may hold modules that are no more
        subprocess.run([python, *PIP, "--no-deps", "--no-build-isolation", "--force-reinstall", project], check=True)
        ready.write_text(wanted)


def version_of(python: Path, package: str) -> str:
    """Return the version of a package that an environment has."""
    program = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return subprocess.run([python, "-c", program, package], check=True, capture_output=True, text=True).stdout.strip()
