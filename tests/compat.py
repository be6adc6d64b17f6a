"""Try the oldest and the newest versions that pyproject.toml admits: `python tests/compat.py [oldest] [newest]`.

For each a temporary environment is made from the package index. In it the tests of what depends on other libraries most
run, and then an export from the simulator, whose pace is measured. The rest of the suite has the versions of
requirements.lock.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("tests/http", "tests/vendor", "tests/columns", "tests/progress", "tests/store/test_spool.py")
TEST_TOOLS = ("blockbuster", "hypothesis", "pytest", "pytest-asyncio")
RATE = 20.0


def requirements(which: str) -> list[str]:
    """Return what to install: the lower bounds of the requirements as they are, or no more than the requirements."""
    declared: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [re.sub(">=", "==", one) for one in declared] if which == "oldest" else declared


def attempt(which: str, folder: Path) -> None:
    """Make an environment and run the tests and an export in it; raise CalledProcessError if one of them fails."""
    began = time.monotonic()
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    subprocess.run([*install, *requirements(which), *TEST_TOOLS], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state")}
    frozen = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    )
    names = {re.split("[>=]", one)[0] for one in requirements(which)}
    print(which, *(line for line in frozen.stdout.split() if line.partition("==")[0] in names), flush=True)
    installed = time.monotonic()
    subprocess.run([python, "-m", "pytest", "-q", *TESTS], check=True, cwd=ROOT, env=environment)
    subprocess.run([python, __file__, "--export", str(folder)], check=True, cwd=ROOT, env=environment)
    ended = time.monotonic()
    print(f"{which}: right; {installed - began:.0f} s to install, {ended - installed:.0f} s to test", flush=True)


def export(folder: Path) -> None:
    """Export from the simulator, verify the result, and hold the pace against the clock."""
    from exporter.simulator.child_process import serving_apart
    from exporter.simulator.options import SimulatorOptions

    options = SimulatorOptions(rows=20_000, rate=RATE)
    with serving_apart(options) as url:
        environment = {**os.environ, "DUOPLUS_API_KEY": options.key, "EXPORTER_BASE_URL": url}
        command = [sys.executable, "-m", "exporter", "run", str(folder / "orders"), f"--rate={RATE}", "--json"]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    facts = json.loads(ran.stdout)
    assert facts["complete"], facts
    assert facts["rows"] == options.rows, facts
    assert facts["requests"] >= options.rows / 500, facts
    assert facts["elapsed_seconds"] >= (facts["requests"] - 1) / RATE, facts
    assert facts["rate_limited"] <= 2, facts
    subprocess.run([sys.executable, "-m", "exporter", "verify", str(folder / "orders")], check=True)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--export"]:
        export(Path(arguments[1]))
        return
    for which in arguments or ["oldest", "newest"]:
        with tempfile.TemporaryDirectory() as folder:
            attempt(which, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
