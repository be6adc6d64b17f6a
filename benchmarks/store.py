"""Measure the store alone: how long segments take to be safe, to become a result, to be verified, and in what memory.

Run: python benchmarks/store.py [rows]. The orders are the simulator's; the same segment comes again at later times, so
that making orders is not what is measured, and Parquet finds no more to compress than it should in one row group.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path
from random import Random

import orjson
import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.crawl.threads import InOrder, threads
from exporter.simulator.data import make_orders
from exporter.store import RunFacts, Store
from exporter.store.verify import verify

SEGMENT = 10_000
DISTINCT = 20 * SEGMENT
BEGIN = 1_700_000_000


def tables() -> list[pa.Table]:
    """Return the segments that are repeated: an order each second."""
    moments = array("q", ((BEGIN + second) * 1000 for second in range(DISTINCT)))
    records = [orjson.loads(row) for row in make_orders(moments, Random(1)).rows]
    table = columns.typed([columns.gather(records)], timezone="Asia/Shanghai", language="en")
    return [table.slice(start, SEGMENT).combine_chunks() for start in range(0, DISTINCT, SEGMENT)]


def later(table: pa.Table, seconds: int) -> pa.Table:
    """Return the orders as if they had been made so much later."""
    at = table.schema.get_field_index("created_at")
    kind = table.schema.field(at).type
    moved = pa.compute.add(table["created_at"].cast(pa.int64()), seconds * 1_000_000).cast(kind)
    return table.set_column(at, table.schema.field(at), moved)


def main(rows: int) -> None:
    distinct = tables()
    whole = Span(BEGIN, BEGIN + rows)
    schema = columns.schema(timezone="Asia/Shanghai", language="en")
    with tempfile.TemporaryDirectory() as folder, threads() as pools:
        out = Path(folder) / "orders"
        store = Store.open(
            out,
            {"rows": rows},
            schema=schema,
            whole=whole,
            compression="zstd",
            parts_executor=InOrder(pools.parts),
        )
        assert isinstance(store, Store)
        committing = longest = 0.0
        began = time.perf_counter()
        for start in range(0, rows, SEGMENT):
            table = later(distinct[start // SEGMENT % len(distinct)], start - start % DISTINCT)
            proof = Certificate(
                span=Span(BEGIN + start, BEGIN + start + SEGMENT),
                rows=SEGMENT,
                totals=(SEGMENT,),
                requests=20,
                fetched_from=0,
                fetched_to=0,
            )
            before = time.perf_counter()
            store.commit(proof, table)
            committing += (took := time.perf_counter() - before)
            longest = max(longest, took)
        fed = time.perf_counter()
        spool = (Path(folder) / ".orders.exporter" / "spool").stat().st_size
        manifest = store.finish(RunFacts())
        finished = time.perf_counter()
        verify(out)
        verified = time.perf_counter()
    per_million = 1_000_000 / rows
    print(f"{rows:,} rows, {len(manifest.segments)} segments of {SEGMENT:,}")
    print(f"commit      {committing * per_million:.2f} s a million rows, the longest {longest * 1000:.0f} ms")
    print(f"finish      {finished - fed:.2f} s after the last commit")
    print(f"in all      {(finished - began) * per_million:.2f} s a million rows")
    print(f"verify      {(verified - finished) * per_million:.2f} s a million rows")
    print(f"spool       {spool / rows:.0f} bytes a row; result {manifest.counts['bytes'] / rows:.0f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
