"""Make the environments that contenders run in: one for each file of pinned requirements, beside this script."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from compileall import compile_dir
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PIP = ("-m", "pip", "install", "-qq", "--disable-pip-version-check")
OURS = "exporter"
"""The environment that this project itself is installed in, with no more than it needs."""


@cache
def python_of(name: str) -> Path:
    """Return the interpreter of an environment, made first where it is missing or its requirements have changed.

    Our own modules are compiled in their place, as pip compiles those it installs.
    """
    requirements, folder = HERE / "requirements" / f"{name}.txt", HERE / f".venv-{name}"
    python, ready = folder / "bin" / "python", folder / ".ready"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if name == OURS:
        compile_dir(HERE.parent / "exporter", quiet=1)
    if ready.exists() and ready.read_text() == wanted:
        return python
    print(f"installing {requirements.name} into {folder.name}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, *PIP, "--require-hashes", "-r", requirements], check=True)
    if name == OURS:
        subprocess.run([python, *PIP, "--no-deps", "--no-build-isolation", "-e", HERE.parent], check=True)
    ready.write_text(wanted)
    return python


def version_of(python: Path, package: str) -> str:
    """Return the version of a package that an environment has."""
    program = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    return subprocess.run([python, "-c", program, package], check=True, capture_output=True, text=True).stdout.strip()
