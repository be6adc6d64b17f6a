"""What the tests of whole exports share: settings for a simulator, its truth, what a result holds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import exporter
from exporter.config.options import Settings
from exporter.simulator.server import Simulator
from exporter.vendor.orders import IDENTITY_FIELDS, Record
from exporter.vendor.secret import Secret

UNLIMITED = 1_000_000.0


def settings_for(simulator: Simulator, **options: Any) -> Settings:
    """Return settings for all that a simulator holds, without a pace."""
    first, last = simulator.options.span()
    given = {
        "base_url": simulator.url,
        "api_key": simulator.options.key,
        "start": first,
        "end": last,
        "start_asked": str(first),
        "end_asked": str(last),
        "rate": UNLIMITED,
        **options,
    }
    return Settings(**given | {"api_key": Secret(given["api_key"])})


def identities(records: Iterable[Record]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(record[name] for name in IDENTITY_FIELDS) for record in records)


def held(out: Path) -> list[Record]:
    """Return the records of a result, as the API gave them."""
    files = sorted(out.glob("*.parquet")) if out.is_dir() else [out]
    return [record for file in files for record in exporter.records(pq.read_table(file))]


def rows(out: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(file) for file in sorted(out.glob("*.parquet")))


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def digests(out: Path) -> dict[str, str]:
    """Return the checksum of each Parquet file of a result."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(out.glob("*.parquet"))}


def assert_exact(out: Path, simulator: Simulator) -> None:
    """What the server holds is in the result, each order once, nothing else."""
    assert identities(held(out)) == identities(simulator.world.oracle())
