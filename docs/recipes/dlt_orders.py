"""Load certified orders into DuckDB by dlt: `python dlt_orders.py`, with the key in DUOPLUS_API_KEY."""

from collections.abc import AsyncIterator
from typing import Any

import dlt
import pyarrow as pa

import exporter


@dlt.resource(name="orders", write_disposition="replace")
async def orders(**options: Any) -> AsyncIterator[pa.RecordBatch]:
    """Yield the orders in order of time; fail, and so load nothing, where they can't be certified."""
    async for batch in exporter.stream(**options):
        yield batch


def load(**options: Any) -> None:
    """Load into `duoplus.duckdb`; the options are those of `exporter.run`."""
    pipeline = dlt.pipeline("duoplus", destination=dlt.destinations.duckdb("duoplus.duckdb"), dataset_name="history")
    print(pipeline.run(orders(**options)))
    with pipeline.sql_client() as client:
        print(client.execute_sql("SELECT count(*), sum(total), max(created_at) FROM orders"))


if __name__ == "__main__":
    load(start="2024-01-01", end="2025-12-31")
