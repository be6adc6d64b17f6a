"""Print what a contender's output holds, or should hold, as one JSON object.

    python benchmarks/check.py FOLDER
    python benchmarks/check.py --expected ROWS

It runs in a process of its own, since it loads what the measuring process must not: a child's peak memory begins
with that of its parent.
"""

from __future__ import annotations

import json
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MONEY = pa.decimal128(38, 4)


def money(column: pa.ChunkedArray) -> Decimal:
    """Return the sum of amounts, whatever their type and currency; texts lose all but sign, digits and point."""
    if not pa.types.is_decimal(column.type):
        text = pc.cast(column, pa.string())
        column = pc.cast(pc.replace_substring_regex(text, "[^-0-9.]", ""), MONEY)
    return Decimal(pc.sum(pc.cast(column, MONEY)).as_py() or 0)


def held(folder: Path) -> dict[str, Any]:
    """Return rows, distinct orders, the sum of money, bytes and types of the Parquet files that hold orders."""
    if (folder / "rows.json").exists():
        return dict(json.loads((folder / "rows.json").read_text()))
    files = [file for file in sorted(folder.rglob("*.parquet")) if "order_id" in pq.read_schema(file).names]
    rows, total, orders = 0, Decimal(0), []
    for file in files:
        table = pq.read_table(file, columns=["order_id", "total"], partitioning=None)
        rows, total = rows + len(table), total + money(table["total"])
        orders.append(pc.unique(table["order_id"]))
    schema = pq.read_schema(files[0])
    return {
        "rows": rows,
        "orders": pc.count_distinct(pa.chunked_array(orders)).as_py(),
        "money": str(total.quantize(Decimal("0.01"))),
        "bytes": sum(file.stat().st_size for file in files),
        "bytes_by_defaults": _bytes_by_defaults(files[0]) / files[0].stat().st_size,
        "money_type": str(schema.field("total").type),
        "time_type": str(schema.field("created_at").type),
    }


def _bytes_by_defaults(file: Path) -> int:
    with tempfile.TemporaryFile() as other:
        pq.write_table(pq.read_table(file, partitioning=None), other)
        return other.tell()


def expected(rows: int) -> dict[str, Any]:
    """Return what the simulator's orders hold, from its own tables."""
    from exporter.simulator import SimulatorOptions  # noqa: PLC0415 - a contender's output is checked without it
    from exporter.simulator.world import World  # noqa: PLC0415

    columns = World.of(SimulatorOptions(rows=rows)).columns
    orders = {json.loads(row)["order_id"] for row in columns.rows}
    return {"rows": len(columns), "orders": len(orders), "money": str(Decimal(sum(columns.amounts)).scaleb(-2))}


def main() -> None:
    *option, subject = sys.argv[1:]
    print(json.dumps(expected(int(subject)) if option == ["--expected"] else held(Path(subject))))


if __name__ == "__main__":
    main()
