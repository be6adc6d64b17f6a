"""Write orders as CSV: UTF-8, texts in quotes, exact decimals, times as ISO 8601 with their offset.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@` (or their wide forms), a tab or a line break as a formula.
So each text that begins with one of these, or with `'`, has a `'` before it. To undo that, take away one `'` from each
text that begins with it. Numbers and times are as they are. A missing value is nothing at all, an empty text is `""`.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from exporter.columns import iso
from exporter.columns.arrays import strings, whole
from exporter.store.disk import Disk

_RISKY = "^['=+@\\t\\r\\n＝＋－＠-]"
_QUOTE, _NOTHING = strings(["'"])[0], strings([""])[0]


class CsvFile:
    """A CSV file that is written batch by batch; with `bom` it begins as Excel wants it to know UTF-8."""

    def __init__(self, path: Path, schema: pa.Schema, *, bom: bool = False, disk: Disk | None = None) -> None:
        self.rows = 0
        self._file = (disk or Disk()).create(path)
        if bom:
            self._file.write(codecs.BOM_UTF8)
        self._writer = csv.CSVWriter(self._file, _texts(schema.empty_table()).schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._file.close()

    def write(self, table: pa.Table) -> None:
        """Write the next rows."""
        self._writer.write(_texts(table))
        self.rows += len(table)


def _texts(table: pa.Table) -> pa.Table:
    """Return what to write: times and risky texts as said above."""
    return pa.table([_safe(whole(column)) for column in table.columns], names=table.column_names)


def _safe(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        # A number to Arrow's writer is what it needs no quotes for; a time is safe as it is, and a text to it.
        return iso(column, column.type.tz)
    if pa.types.is_string(column.type):
        risky = pc.match_substring_regex(column, _RISKY)
        if pc.any(risky).as_py():
            return pc.if_else(risky, pc.binary_join_element_wise(_QUOTE, column, _NOTHING), column)
    return column
