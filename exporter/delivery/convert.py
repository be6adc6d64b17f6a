"""Convert a finished result, or those of teams, to a file that a spreadsheet opens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from exporter import columns
from exporter.columns.arrays import strings
from exporter.delivery.csv_file import CsvFile
from exporter.delivery.output_file import check_name, output_file
from exporter.delivery.xlsx_file import XlsxFile
from exporter.errors import ConfigError
from exporter.store.finished import Results, check_parts, tables

ENDINGS = (".csv", ".xlsx")
CHANGES = (".parquet", ".csv")
"""The endings of a file of orders that differ."""

Made = TypeVar("Made")
Write = Callable[[pa.Table], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Converted:
    """What was written; `notes` are what a reader of the file should know."""

    rows: int
    bytes: int
    notes: tuple[str, ...]


def convert(results: Results, file: Path, *, overwrite: bool = False, bom: bool = False) -> Converted:
    """Write all orders to `file`, a `.csv` or `.xlsx`, those of teams with a column `team`.

    `bom` is for `.csv`. Raise ConfigError or OutputError if the file can't be written so, CertificateError that names
    the parts that are damaged.
    """
    kind = check_name(file, ENDINGS)
    if bom and kind != ".csv":
        raise ConfigError(f"only a .csv has a byte order mark, {file.name} has none", hint="leave out --bom")
    notes = [
        f"{'the result' if team is None else f'team {team}'} is not certified: orders may be missing"
        for team, result in results
        if not result.complete
    ]
    with output_file(file, results, overwrite=overwrite) as partial:
        check_parts(results)
        schema = _schema(results)
        opened = XlsxFile(partial, schema) if kind == ".xlsx" else CsvFile(partial, schema, bom=bom)
        with opened as written:
            for team, result in results:
                for table in tables(result):
                    written.write(_with_team(table, team))
    if isinstance(written, XlsxFile) and written.cut:
        notes.append(f"{written.cut:,} text(s) were longer than a cell of Excel takes, and were cut")
    return Converted(rows=written.rows, bytes=file.stat().st_size, notes=tuple(notes))


def write_changes(file: Path, results: Results, schema: pa.Schema, make: Callable[[Write], Made]) -> Made:
    """Write the tables that `make` gives to its argument to `file`, a `.parquet` or `.csv`, in place of what is there.

    Return what `make` returns. Raise ConfigError if the file can't be written or is part of `results`.
    """
    kind = check_name(file, CHANGES)
    with output_file(file, results, overwrite=True) as partial:
        opened = CsvFile(partial, schema) if kind == ".csv" else pq.ParquetWriter(partial, schema, compression="zstd")
        with opened as written:
            return make(written.write)


def _schema(results: Results) -> pa.Schema:
    team, result = results[0]
    schema = columns.schema(timezone=result.manifest["timezone"], language=result.manifest["language"])
    return schema if team is None else schema.insert(0, pa.field("team", pa.string(), nullable=False))


def _with_team(table: pa.Table, team: str | None) -> pa.Table:
    return table if team is None else table.add_column(0, "team", pa.repeat(strings([team])[0], len(table)))
