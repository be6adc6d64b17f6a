"""Measure how much concurrency pays when each response takes a while: latency against requests in flight.

    python benchmarks/latency.py [--rows N] [--latencies MS ...] [--concurrency N|auto ...] [--save NAME]

`auto` is the exporter left to itself. A cell with few in flight exports fewer orders, so that none takes minutes:
rows a second hardly depend on how many there are.
"""

from __future__ import annotations

import argparse
import sys

import report
from contest import EXPORTER, attempt

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

PAGE_SIZE = 500
TURNS = 100
"""Answers that one cell waits for after one another, at most, when the concurrency is given."""


def orders(most: int, concurrency: str) -> int:
    """Return how many orders a cell exports."""
    return most if concurrency == "auto" else min(most, int(concurrency) * TURNS * PAGE_SIZE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="orders at most")
    parser.add_argument("--latencies", type=int, nargs="+", default=[0, 50, 200], help="milliseconds a response")
    parser.add_argument("--concurrency", nargs="+", default=["1", "8", "32", "128", "auto"])
    parser.add_argument("--save", metavar="NAME", default="latency", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    lines, data = [], {}
    for latency in arguments.latencies:
        cells = []
        for concurrency in arguments.concurrency:
            rows = orders(arguments.rows, concurrency)
            options = "" if concurrency == "auto" else f"--concurrency {concurrency}"
            with serving_apart(SimulatorOptions(rows=rows, latency=latency / 1000)) as url:
                done = attempt(EXPORTER, url, rows=rows, options=options)
            rate = rows / done.measured.seconds
            cells.append(f"{rate:,.0f} ({report.megabytes(done.measured.memory)})")
            data[f"{latency} ms, {concurrency}"] = done.as_json()
            print(f"{latency} ms, {concurrency} in flight: {rate:,.0f} rows/s", file=sys.stderr)
        lines.append((f"{latency} ms", *cells))
    text = "Rows a second (peak memory, MB) by latency of a response and requests in flight.\n\n"
    text += report.table(("", *arguments.concurrency), lines, texts=())
    print(text)
    report.save(arguments.save, "Latency and concurrency", text, {"cells": data})


if __name__ == "__main__":
    main()
