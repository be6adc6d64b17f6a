"""Hold the branch coverage of the last run to its floor (`make coverage`, after `coverage combine`).

coverage's own `fail_under` counts lines and branches together: covered lines would hide branches that no test takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

FLOOR = 95.0
"""Percent of the branches of `exporter/` outside `simulator` that the suite takes."""


def main() -> int:
    """Print the share of branches taken; return 1 if it is below the floor."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "--quiet", "-o", report], check=True)
        totals = json.loads(report.read_bytes())["totals"]
    taken, branches = totals["covered_branches"], totals["num_branches"]
    share = 100 * taken / branches
    print(f"branches: {taken} of {branches}, {share:.1f}%; the floor is {FLOOR:g}%")  # noqa: T201 - that is its job
    return int(share < FLOOR)


if __name__ == "__main__":
    sys.exit(main())
