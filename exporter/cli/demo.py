"""`exporter demo`: the simulator serves, the export runs, a query reads. Needs no key and no network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter.cli.app import chosen, command
from exporter.cli.run import export_to
from exporter.config import sources
from exporter.config.options import KEY_VARIABLE, Options, OutputOptions, Settings, options_of
from exporter.errors import ConfigError
from exporter.progress.text import table

EXAMPLES = """\
Examples:
  exporter demo
  exporter demo /tmp/orders
"""
ORDERS = 100_000
RATE = 40
"""Requests a second: fast enough for a demonstration, slow enough to see the bar."""
QUERY = """\
SELECT type, count(*) AS orders, sum(total) AS total
FROM '{files}'
WHERE currency = 'USD'
GROUP BY type
ORDER BY orders DESC"""


@command(OutputOptions, epilogue=EXAMPLES)
def demo(out: str | Path = "demo", /, **given: Any) -> int:
    """Export from the simulator, with the live bar, and show the result. Needs no key and no network.

    OUT is a folder, demo/ by default; the result of an earlier demonstration is replaced.
    """
    output = chosen(given).values
    folder = Path(out)
    if folder.suffix == ".parquet":
        raise ConfigError(
            f"{out} names a file, and the demonstration makes a folder", hint="for example: exporter demo demo/"
        )
    with serving() as made:
        export_to(folder, made, output)
    if not output["json"] and not output["quiet"]:
        print(f"\n{query(folder)}\n{rows_of_query(folder)}")
    return 0


@contextmanager
def serving() -> Iterator[Settings]:
    """Serve in a process of its own; yield the settings of an export from there.

    The simulator's clock stands still, so every demonstration gives the same bytes. Each is served at another port,
    which makes it another query: the unfinished work of an interrupted one is discarded.
    """
    from exporter.simulator import SimulatorOptions
    from exporter.simulator.child_process import serving_apart

    world = SimulatorOptions(rows=ORDERS, latency=0.02, shape="bursty")
    with serving_apart(world) as url:
        values = {"base_url": url, "rate": RATE, "fresh": True, "overwrite": True}
        options = sources.choose(options_of(Options), sources.python(values, options_of(Options)))
        yield sources.settings(options, {KEY_VARIABLE: world.key}, now=dt.datetime.now(dt.UTC))


def query(out: Path) -> str:
    """Return the query that the demonstration ends with."""
    return QUERY.format(files=out / "*.parquet")


def rows_of_query(out: Path) -> str:
    """Return the rows of the query: by DuckDB, or by pyarrow where that is not installed."""
    try:
        import duckdb  # an extra
    except ImportError:
        return _rows_without_duckdb(out)
    with duckdb.connect() as connection:
        return str(connection.sql(query(out))).rstrip()


def _rows_without_duckdb(out: Path) -> str:
    import pyarrow.parquet as pq  # heavy

    dollars = pq.read_table(out, columns=["type", "total"], filters=[("currency", "=", "USD")])
    groups = dollars.group_by("type").aggregate([([], "count_all"), ("total", "sum")])
    rows = groups.sort_by([("count_all", "descending")]).select(["type", "count_all", "total_sum"]).to_pylist()
    return table([("type", "orders", "total"), *([str(cell) for cell in row.values()] for row in rows)])
