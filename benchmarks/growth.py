"""Measure how time and memory of an export grow with the orders, from 100,000 to 20 million.

    python benchmarks/growth.py [--rows N ...] [--contender NAME] [--save NAME]

The server holds all orders in memory, about 350 MB a million; telling what they hold takes 500 MB a million before.
"""

from __future__ import annotations

import argparse
import sys

import report
from contest import CONTENDERS, EXPORTER, attempt, expected

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

HEADS = ("orders", "rows/s", "seconds", "CPU, s", "peak memory, MB", "requests", "on disk, MB", "of pyarrow's defaults")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 500_000, 1_000_000, 5_000_000, 20_000_000])
    parser.add_argument("--contender", choices=[one.name for one in CONTENDERS], default=EXPORTER.name)
    parser.add_argument("--save", metavar="NAME", default="growth", help="write results/NAME.md and .json")
    arguments = parser.parse_args()
    contender = next(one for one in CONTENDERS if one.name == arguments.contender)
    lines, data = [], {}
    for rows in arguments.rows:
        expected(rows)  # before there is a server: both hold all orders
        with serving_apart(SimulatorOptions(rows=rows)) as url:
            done = attempt(contender, url, rows=rows)
        seconds, held = done.measured.seconds, done.held
        lines.append(
            (
                f"{rows:,}",
                f"{rows / seconds:,.0f}",
                f"{seconds:.1f}",
                f"{done.measured.cpu_seconds:.1f}",
                report.megabytes(done.measured.memory),
                f"{done.requests:,}",
                f"{held['bytes'] / 1e6:.1f}" if "bytes" in held else "–",
                f"{1 / held['bytes_by_defaults']:.2f}" if "bytes" in held else "–",
            )
        )
        data[str(rows)] = done.as_json()
        print(f"{rows:,} orders: {seconds:.1f} s", file=sys.stderr)
    text = report.table(HEADS, lines, texts=())
    text += f"\nEach once. {contender.version}.\n"
    print(text)
    report.save(arguments.save, f"Growth: {contender.title.strip('*')}", text, {"rows": data})


if __name__ == "__main__":
    main()
