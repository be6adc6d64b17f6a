"""Run the recipes that need an environment of their own, against the simulator (`make recipes`)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from environments import HERE, RECIPES, python_of

import exporter
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

FOLDER = HERE.parent / "docs" / "recipes"


def dlt_loads_what_an_export_holds(folder: Path) -> None:
    """Run the pipeline twice; fail unless its table holds the rows of an export, once, with exact money."""
    simulated = SimulatorOptions(rows=12_600, seed=7)
    with serving_apart(simulated) as url:
        options: dict[str, Any] = {"base_url": url, "rate": 1e6, "start": "2024-01-01", "end": "2025-12-31"}
        table = exporter.run(folder / "orders", api_key=simulated.key, **options).to_arrow()
        environ = {
            **os.environ,
            "DLT_DATA_DIR": str(folder / "dlt"),
            "DUOPLUS_API_KEY": simulated.key,
            "PYTHONPATH": str(FOLDER),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        for _ in range(2):
            command: list[str | Path] = [python_of(RECIPES), "-c", f"import dlt_orders; dlt_orders.load(**{options})"]
            done = subprocess.run(command, cwd=folder, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    loaded = done.stdout.strip().splitlines()[-1]
    total = sum((value for value in table["total"].to_pylist() if value is not None), Decimal())
    print(loaded)
    if f"({len(table)}, Decimal('{total}'), " not in loaded:
        raise SystemExit(f"dlt: an export holds {len(table)} orders of {total}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        dlt_loads_what_an_export_holds(Path(folder))
    print("dlt: right", file=sys.stderr)


if __name__ == "__main__":
    main()
