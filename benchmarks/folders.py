"""Measure what many teams cost on disk: the list of a run, and opening all results as one.

    python benchmarks/folders.py [--teams N ...]

One small result is exported, and linked for each team.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import report
from measure import machine

import exporter
from exporter.progress.summary import Summary
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.teams.summary import Outcome, write_list

FACTS: dict[str, Any] = {
    "requests": 25,
    "requests_ideal": 20,
    "retries": 0,
    "rate_limited": 0,
    "repaired_segments": 0,
    "segments": 1,
}
ROWS = 10_000


def timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def measured(one: Path, folder: Path, teams: int) -> tuple[str, ...]:
    out = folder / str(teams)
    names = [f"t{number:06d}" for number in range(teams)]
    for name in names:
        shutil.copytree(one, out / f"team={name}", copy_function=os.link)
    result = exporter.open(one)
    figures = Summary(
        **FACTS,
        complete=True,
        rows=result.rows,
        windows=1,
        parts=1,
        bytes=1,
        start="",
        end="",
        final_check=True,
        totals="exact",
        elapsed_seconds=1.0,
        rows_per_second=1.0,
        values_in_extra=0,
        out=str(out),
    )
    outcomes = {name: Outcome(summary=figures) for name in names}
    listed = timed(lambda: write_list(out, outcomes))
    opened = timed(lambda: exporter.open(out))
    pattern = f"{out}/team=*/*.parquet"
    query = f"SELECT count(*) FROM read_parquet('{pattern}')"
    by_duckdb = timed(lambda: duckdb.connect().execute(query).fetchall())
    by_arrow = timed(lambda: ds.dataset(out, partitioning="hive", format="parquet").count_rows())
    size = (out / "_teams.json").stat().st_size
    shutil.rmtree(out)
    return (
        f"{teams:,}",
        f"{size / 1e6:.1f}",
        *(f"{seconds:.1f}" for seconds in (listed, opened, by_duckdb, by_arrow)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teams", type=int, nargs="+", default=[1_000, 10_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving_apart(SimulatorOptions(rows=ROWS)) as url:
        folder = Path(name)
        exporter.run(folder / "one", base_url=url, api_key="simulator", rate=1e6, end="2025-12-31")
        rows = [measured(folder / "one", folder, teams) for teams in arguments.teams]
    heads = ("teams", "_teams.json, MB", "writing it, s", "exporter.open, s", "DuckDB counts, s", "pyarrow counts, s")
    print(report.table(heads, rows, texts=()))
    print(f"Teams of {ROWS:,} orders. {machine()}.")


if __name__ == "__main__":
    main()
