"""Measure `exporter diff` and `exporter convert`: seconds and memory, for results of so many rows.

Run: python benchmarks/diff.py [rows]. The orders are those of benchmarks/store.py. In the new result one order in 50
has another status, one in 100 is gone and one in 100 has another number, all over the range; a second pair differs only
at its end, as most do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from store import BEGIN, DISTINCT, SEGMENT, later, tables

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.crawl.threads import InOrder, threads
from exporter.store import RunFacts, Store

PEAK = """
import pathlib, re, sys, time
from exporter.cli import main
assert main(sys.argv[1:]) == 0
# Not ru_maxrss, which begins with that of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
print(f"{time.process_time():.1f} s of the processor, peak {peak:.0f} MB", file=sys.stderr)
"""


def renewed(table: pa.Table) -> pa.Table:
    """Return a segment in which one order in 50 is refunded, one in 100 gone, one in 100 renamed."""
    places = pa.arange(0, len(table))

    def one_in(count: int) -> pa.BooleanArray:
        return pc.equal(pc.subtract(places, pc.multiply(pc.divide(places, count), count)), 7)

    at = table.schema.get_field_index("status")
    status = pc.if_else(one_in(50), "Refunded", table["status"])
    table = table.set_column(at, table.schema.field(at), status).filter(pc.invert(one_in(100)))
    names = pc.if_else(
        one_in(100)[: len(table)], pc.binary_join_element_wise(table["order_id"], "-", ""), table["order_id"]
    )
    return table.set_column(0, table.schema.field(0), names)


def write(out: Path, rows: int, distinct: list[pa.Table]) -> None:
    """Write a result of at most so many rows."""
    schema = columns.schema(timezone="Asia/Shanghai", language="en")
    whole = Span(BEGIN, BEGIN + rows)
    with threads() as pools:
        executor = InOrder(pools.parts)
        query = {"rows": rows}
        store = Store.open(out, query, schema=schema, whole=whole, compression="zstd", parts_executor=executor)
        assert isinstance(store, Store)
        for start in range(0, rows, SEGMENT):
            table = later(distinct[start // SEGMENT % len(distinct)], start - start % DISTINCT).combine_chunks()
            span, count = Span(BEGIN + start, BEGIN + start + SEGMENT), len(table)
            store.commit(
                Certificate(span=span, rows=count, totals=(count,), requests=20, fetched_from=0, fetched_to=0), table
            )
        store.finish(RunFacts())


def measured(*command: str | Path) -> None:
    """Run a command in a process of its own and print what it took."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PEAK, *command], check=True, capture_output=True, text=True)
    took = f"{time.perf_counter() - began:.1f} s, {done.stderr.splitlines()[-1]}"
    print(f"{command[0]}: {took}: {done.stdout.splitlines()[0]}")


def main(rows: int) -> None:
    old = tables()
    new = [renewed(table) for table in old]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        write(out / "old", rows, old)
        write(out / "new", rows, new)
        print(f"{rows:,} rows, 4% of them different, everywhere")
        measured("diff", out / "old", out / "new")
        measured("diff", out / "old", out / "new", "--output", out / "changes.csv")
        write(out / "grown", rows + SEGMENT, old)
        print(f"{rows:,} rows and {SEGMENT:,} new ones")
        measured("diff", out / "old", out / "grown")
        measured("convert", out / "old", out / "orders.csv")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
