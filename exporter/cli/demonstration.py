"""Show the exporter at work without a key or a network: the simulator serves, the export runs, a query reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.config import sources
from exporter.config.options import KEY_VARIABLE, Options, Settings, options_of
from exporter.progress.text import table

ORDERS = 100_000
RATE = 40
"""Requests a second: fast enough for a demonstration, slow enough to see the bar."""
QUERY = """\
SELECT type, count(*) AS orders, sum(total) AS total
FROM '{files}'
WHERE currency = 'USD'
GROUP BY type
ORDER BY orders DESC"""


@contextmanager
def serving() -> Iterator[Settings]:
    """Serve in a process of its own; yield the settings of an export from there.

    The simulator's clock stands still, so every demonstration gives the same bytes. Each is served at another port,
    which makes it another query: what an interrupted one left is dropped.
    """
    from exporter.simulator import SimulatorOptions  # only where there is a simulator
    from exporter.simulator.child_process import serving_apart

    world = SimulatorOptions(rows=ORDERS, latency=0.02, shape="bursty")
    with serving_apart(world) as url:
        values = {"base_url": url, "rate": RATE, "fresh": True, "overwrite": True}
        chosen = sources.choose(options_of(Options), sources.python(values, options_of(Options)))
        yield sources.settings(chosen, {KEY_VARIABLE: world.key}, now=dt.datetime.now(dt.UTC))


def query(out: Path) -> str:
    """Return the query that the demonstration ends with."""
    return QUERY.format(files=out / "*.parquet")


def answer(out: Path) -> str:
    """Return what the query gives: by DuckDB, or by pyarrow where that is not installed."""
    try:
        import duckdb  # not everybody has it
    except ImportError:
        return _answer_without_duckdb(out)
    with duckdb.connect() as connection:
        return str(connection.sql(query(out))).rstrip()


def _answer_without_duckdb(out: Path) -> str:
    import pyarrow.parquet as pq  # heavy

    dollars = pq.read_table(out, columns=["type", "total"], filters=[("currency", "=", "USD")])
    groups = dollars.group_by("type").aggregate([([], "count_all"), ("total", "sum")])
    rows = groups.sort_by([("count_all", "descending")]).select(["type", "count_all", "total_sum"]).to_pylist()
    return table([("type", "orders", "total"), *([str(cell) for cell in row.values()] for row in rows)])
