"""Write orders as an Excel workbook, row by row: texts stay texts, money and times are numbers where that is exact.

Excel keeps 15 digits of a number, knows no time before 1900 and no zone, and takes 32,767 characters a cell and
1,048,576 rows a sheet. A number with more digits and an earlier time are texts; the zone is in the heading; a longer
text is cut, and counted; further rows go to further sheets. An empty text is an empty cell. Nothing is a formula.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from exporter.columns import local
from exporter.columns.arrays import whole
from exporter.errors import ConfigError

SHEET_ROWS = 1_048_575
"""Rows of a sheet below its heading."""

DIGITS = 15
"""Digits of a number that a spreadsheet keeps."""

_BATCH_ROWS = 10_000  # rows that are Python objects at once
_DAY = 86_400_000_000  # microseconds
_DAYS_BEFORE_1970 = 25_569
_SINCE = (datetime(1900, 3, 1) - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001  # a clock's time
"""Before it Excel counts a 29 February 1900, which never was."""
_WIDTHS = {"order_id": 22, "product": 24, "description": 32, "total": 12}
_TIME_WIDTH, _OTHER_WIDTH = 26, 14

Cell = tuple[str | float, str | None]
"""What is in a cell, and the name of its format."""


class XlsxFile:
    """A workbook that is written batch by batch. `cut` counts the texts that were longer than a cell."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        library = _library()
        self.rows = self.cut = 0
        self._schema = schema
        self._timezone = next((field.type.tz for field in schema if pa.types.is_timestamp(field.type)), None)
        self._sheet_class = _plain_sheet(importlib.import_module("xlsxwriter.worksheet"))
        # What is on its way to the disk waits beside the file: the system's temporary folder may be memory.
        self._book = library.Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)})
        self._book.use_zip64()
        self._failure = importlib.import_module("xlsxwriter.exceptions").XlsxFileError
        formats = {"text": "@", "money": "0.00##", "time": "yyyy-mm-dd hh:mm:ss", "fraction": "yyyy-mm-dd hh:mm:ss.000"}
        self._formats = {name: self._book.add_format({"num_format": text}) for name, text in formats.items()}
        self._bold = self._book.add_format({"bold": True})
        self._sheets = 0
        self._sheet_rows = 0
        self._add_sheet()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._book.close()
        except self._failure as error:
            if kind is None:
                raise OSError(str(error)) from error

    def write(self, table: pa.Table) -> None:
        """Write the next rows."""
        for start in range(0, len(table), _BATCH_ROWS):
            self._write(table.slice(start, _BATCH_ROWS))

    def _write(self, table: pa.Table) -> None:
        cells = [_cells(whole(table[name]), name, self._timezone) for name in table.column_names]
        for row in zip(*cells, strict=True):
            if self._sheet_rows == SHEET_ROWS:
                self._add_sheet()
            self._sheet_rows += 1
            for place, cell in enumerate(row):
                if cell is None:
                    continue
                value, name = cell
                kind = None if name is None else self._formats[name]
                if not isinstance(value, str):
                    self._sheet.write_number(self._sheet_rows, place, value, kind)
                elif self._sheet.write_string(self._sheet_rows, place, value, kind):
                    self.cut += 1
        self.rows += len(table)

    def _add_sheet(self) -> None:
        self._sheets += 1
        name = "orders" if self._sheets == 1 else f"orders {self._sheets}"
        self._sheet = self._book.add_worksheet(name, worksheet_class=self._sheet_class)
        self._sheet_rows = 0
        self._sheet.freeze_panes(1, 0)
        self._sheet.ignore_errors({"number_stored_as_text": f"A1:Z{SHEET_ROWS + 1}"})
        for place, field in enumerate(self._schema):
            timed = pa.types.is_timestamp(field.type)
            width = _TIME_WIDTH if timed else _WIDTHS.get(field.name, _OTHER_WIDTH)
            self._sheet.set_column(place, place, width)
            self._sheet.write_string(0, place, f"{field.name} ({self._timezone})" if timed else field.name, self._bold)


def _cells(column: pa.Array, name: str, timezone: str | None) -> Sequence[Cell | None]:
    if pa.types.is_timestamp(column.type):
        clocks = local(column, timezone or "UTC")[0].view(pa.int64()).to_pylist()
        return [None if clock is None else _time(clock) for clock in clocks]
    made: Callable[[Any], Cell | None] = _number
    if pa.types.is_decimal(column.type):
        made = _money
    elif pa.types.is_string(column.type):
        kind = "text" if name == "order_id" else None
        return [(text, kind) if text else None for text in column.to_pylist()]
    return [None if value is None else made(value) for value in column.to_pylist()]


def _money(amount: Decimal) -> Cell:
    digits = str(amount.copy_abs()).replace(".", "").strip("0")
    return (float(amount), "money") if len(digits) <= DIGITS else (str(amount), "text")


def _number(number: int) -> Cell:
    return (number, None) if len(str(abs(number))) <= DIGITS else (str(number), "text")


def _time(clock: int) -> Cell:
    """Return a time of a clock, in microseconds since 1970, as Excel counts days."""
    if clock < _SINCE:
        return (datetime(1970, 1, 1) + timedelta(microseconds=clock)).isoformat(), None  # noqa: DTZ001  # a clock's time
    return clock / _DAY + _DAYS_BEFORE_1970, "fraction" if clock % 1_000_000 else "time"


def _library() -> Any:
    try:
        return importlib.import_module("xlsxwriter")
    except ImportError as error:
        raise ConfigError("xlsxwriter is not installed, which writes .xlsx", hint="pip install xlsxwriter") from error


def _plain_sheet(module: Any) -> type:
    """Return a sheet that writes each text as it is; XlsxWriter's own takes `<r>…</r>` for markup."""

    class PlainSheet(module.Worksheet):  # type: ignore[misc]  # loaded where it is needed
        def _xml_rich_inline_string(self, string: str, attributes: Any) -> None:
            self._xml_inline_string(string, True, attributes)  # noqa: FBT003  # XlsxWriter's own signature

    return PlainSheet
