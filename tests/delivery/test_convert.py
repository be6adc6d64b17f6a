"""Results as files for spreadsheets: the same rows, exactly, and nothing that would run."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import duckdb
import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exporter
from exporter import columns
from exporter.delivery import xlsx_file
from exporter.delivery.convert import convert
from exporter.delivery.csv_file import CsvFile
from exporter.delivery.xlsx_file import XlsxFile
from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.store.finished import finished
from tests.store.orders import BEGIN, record
from tests.store.test_diff import OLD, result, teams

ZONE = "America/New_York"
SCHEMA = columns.schema(timezone=ZONE, language="en")
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''", "\t=1", "\r=1", "\n=1", "＝1", '"', 'a"b', "a,b", "1e5", "00123",
     "<r>x</r>", "_x0041_", "\x00", "\x0b", "\ufffe", " lead", "x\r\ny", "TRUE", "NULL", "https://duoplus.net", "{=1}"]
)  # fmt: skip
MONEY = st.none() | st.decimals(-(10**14) + 1, 10**14 - 1, places=4) | st.decimals(-1000, 1000, places=2)
MOMENTS = st.integers(-(10**15), 2**51) | st.integers(1_500_000_000, 1_900_000_000).map(lambda second: second * 10**6)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(0, 4))
    values: dict[str, Any] = {}
    for field in SCHEMA:
        kind: st.SearchStrategy[Any] = TEXTS
        if pa.types.is_timestamp(field.type):
            kind = MOMENTS
        elif pa.types.is_decimal(field.type):
            kind = MONEY
        elif pa.types.is_integer(field.type):
            kind = st.integers(-128, 127) if field.type == pa.int8() else st.integers(-(2**63), 2**63 - 1)
        kind = kind if field.nullable else kind.filter(lambda value: value is not None)
        values[field.name] = draw(
            st.lists(kind if not field.nullable else st.none() | kind, min_size=count, max_size=count)
        )
    return pa.table(values, schema=columns.table.with_times_as(pa.int64(), SCHEMA)).cast(SCHEMA)


def clock(instant: int) -> dt.datetime:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=instant)).astimezone(ZoneInfo(ZONE))


def instants(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.cast(columns.table.with_times_as(pa.int64(), SCHEMA)).to_pylist()
    return rows


def unquoted(text: str) -> str:
    return text.removeprefix("'")


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@given(table=tables())
def test_a_csv_gives_back_every_row_exactly(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / "orders.csv"
    with CsvFile(path, SCHEMA) as file:
        file.write(table)
    heading, *rows = read_csv(path)
    assert heading == SCHEMA.names
    assert len(rows) == len(table)
    for cells, row in zip(rows, instants(table), strict=True):
        for cell, field in zip(cells, SCHEMA, strict=True):
            value = row[field.name]
            if value is None:
                assert cell == ""
            elif pa.types.is_timestamp(field.type):
                assert cell == clock(value).isoformat()
            elif pa.types.is_decimal(field.type):
                assert Decimal(cell).as_tuple() == value.as_tuple()
            elif pa.types.is_string(field.type):
                assert unquoted(cell) == value
                assert cell[:1] not in {*"=+-@\t\r\n＝＋－＠"}
            else:
                assert int(cell) == value


@settings(max_examples=60)
@given(table=tables())
def test_a_workbook_gives_back_every_row_exactly(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("xlsx") / "orders.xlsx"
    with XlsxFile(path, SCHEMA) as file:
        file.write(table)
    sheet = openpyxl.load_workbook(path).active
    heading, *rows = list(sheet.iter_rows())
    assert [cell.value for cell in heading] == [
        f"{field.name} ({ZONE})" if pa.types.is_timestamp(field.type) else field.name for field in SCHEMA
    ]
    for cells, row in zip(rows, instants(table), strict=False):
        for cell, field in zip(cells, SCHEMA, strict=True):
            assert cell.data_type in {"n", "s", "d"}, "no formula, no error"
            assert_cell(cell.value, row[field.name], field)
    assert all(not any(row.values()) for row in instants(table)[len(rows) :])


def assert_cell(cell: Any, value: Any, field: pa.Field) -> None:
    if value is None or value == "":
        assert cell is None
    elif pa.types.is_timestamp(field.type):
        local = clock(value).replace(tzinfo=None)
        shown = dt.datetime.fromisoformat(cell) if isinstance(cell, str) else cell
        assert abs(shown - local) < dt.timedelta(milliseconds=1)
        assert isinstance(cell, str) == (local < dt.datetime.fromisoformat("1900-03-01"))
    elif pa.types.is_string(field.type):
        assert openpyxl.utils.escape.unescape(cell).replace("\r\n", "\n") == value.replace("\r\n", "\n")
    elif isinstance(cell, str):
        assert Decimal(cell) == value
        assert len(str(abs(value)).replace(".", "").strip("0")) > 15
    else:
        assert Decimal(repr(cell)) == value


def test_a_csv_reads_in_duckdb_as_the_parquet_does(tmp_path: Path) -> None:
    out = result(tmp_path / "orders", OLD)
    convert(finished(out), tmp_path / "orders.csv")
    names = [name for name in SCHEMA.names if name != "expired_at"]
    query = "SELECT * REPLACE (epoch_us(created_at) AS created_at) FROM {} ORDER BY ALL"
    kinds = json.dumps({"order_id": "VARCHAR", "created_at": "TIMESTAMPTZ", "total": "DECIMAL(18,4)"}).replace('"', "'")
    with duckdb.connect() as connection:
        read = connection.sql(query.format(f"read_csv('{tmp_path}/orders.csv', types={kinds})")).select(*names)
        held = connection.sql(query.format(f"'{out}/*.parquet'")).select(*names)
        assert [tuple(map(str, row)) for row in read.fetchall()] == [tuple(map(str, row)) for row in held.fetchall()]
        assert len(read) == len(OLD)


HOSTILE = [
    record(BEGIN + second, second) | {"description": text, "order_id": f"{text}{second}"}
    for second, text in enumerate(["=cmd|'/c calc'!A1", "+1", "-1", "@A1", "\t=1", "'x", "{=1}", "＝1", "http://x"])
]


def test_nothing_is_a_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    out = finished(result(tmp_path / "orders", HOSTILE))
    for name in ("orders.csv", "orders.xlsx"):
        convert(out, tmp_path / name)
    for cells in read_csv(tmp_path / "orders.csv"):
        assert not [cell for cell in cells if re.match(r"[=@\t\r\n＝]|[+-](?!\d+\.\d{4}$)", cell)]
    parts = zipfile.ZipFile(tmp_path / "orders.xlsx")
    sheet = ET.fromstring(parts.read("xl/worksheets/sheet1.xml"))
    tags = {element.tag.rpartition("}")[2] for element in sheet.iter()}
    assert "c" in tags
    assert not tags & {"f", "hyperlink", "hyperlinks"}
    texts = [cell.value for cell in openpyxl.load_workbook(tmp_path / "orders.xlsx").active["H"][1:]]
    assert texts == [one["description"] for one in HOSTILE]


def test_a_byte_order_mark_comes_on_demand(tmp_path: Path) -> None:
    out = finished(result(tmp_path / "orders", OLD))
    plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
    assert (convert(out, plain).rows, convert(out, marked, bom=True).rows) == (60, 60)
    assert marked.read_bytes() == b"\xef\xbb\xbf" + plain.read_bytes()
    with pytest.raises(ConfigError, match="byte order mark"):
        convert(out, tmp_path / "orders.xlsx", bom=True)


def test_money_shows_two_to_four_decimals_and_order_numbers_are_texts(tmp_path: Path) -> None:
    totals = ["-$21.90", "$0.1234", "$12345678901234.5678"]
    rows = [
        one | {"total": total, "order_id": f"20260212113455000{place}"}
        for place, (one, total) in enumerate(zip(OLD[:3], totals, strict=True))
    ]
    convert(finished(result(tmp_path / "orders", rows)), tmp_path / "orders.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "orders.xlsx").active
    assert [cell.value for cell in sheet["I"]] == ["total", -21.9, 0.1234, "12345678901234.5678"]
    assert sheet["I2"].number_format == "0.00##"
    assert [(cell.value, cell.number_format) for cell in sheet["A"][1:3]] == [
        ("202602121134550000", "@"),
        ("202602121134550001", "@"),
    ]
    assert (sheet["B1"].value, sheet["B2"].value) == (
        "created_at (Asia/Shanghai)",
        dt.datetime.fromisoformat(rows[0]["created_at"]).replace(tzinfo=None),
    )


def test_what_a_sheet_does_not_take_goes_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert xlsx_file.SHEET_ROWS == 1_048_575
    monkeypatch.setattr(xlsx_file, "SHEET_ROWS", 25)
    convert(finished(result(tmp_path / "orders", OLD)), tmp_path / "orders.xlsx")
    book = openpyxl.load_workbook(tmp_path / "orders.xlsx")
    assert [(sheet.title, sheet.max_row) for sheet in book] == [("orders", 26), ("orders 2", 26), ("orders 3", 11)]
    assert [cell.value for sheet in book for cell in sheet["A"][1:]] == [one["order_id"] for one in OLD]
    assert {sheet["A1"].value for sheet in book} == {"order_id"}


def test_a_text_longer_than_a_cell_is_cut_and_told(tmp_path: Path) -> None:
    long = [OLD[0] | {"description": "x" * 40_000}, *OLD[1:]]
    made = convert(finished(result(tmp_path / "orders", long)), tmp_path / "orders.xlsx")
    assert made.notes == ("1 text(s) were longer than a cell of Excel takes, and were cut",)
    assert openpyxl.load_workbook(tmp_path / "orders.xlsx").active["H2"].value == "x" * 32_767


@pytest.mark.parametrize("name", ["orders.csv", "orders.xlsx"])
def test_teams_get_a_column(name: str, tmp_path: Path) -> None:
    out = finished(teams(tmp_path / "teams", berlin=OLD[:2], oslo=OLD[:1]))
    assert convert(out, tmp_path / name).rows == 3
    rows: Sequence[Sequence[Any]] = (
        read_csv(tmp_path / name)
        if name.endswith(".csv")
        else list(openpyxl.load_workbook(tmp_path / name).active.iter_rows(values_only=True))
    )
    assert [row[0] for row in rows] == ["team", "berlin", "berlin", "oslo"]
    assert [row[1] for row in rows[1:]] == [OLD[0]["order_id"], OLD[1]["order_id"], OLD[0]["order_id"]]


def test_a_file_that_is_there_is_replaced_on_demand_and_nothing_is_left(tmp_path: Path) -> None:
    out, file = finished(result(tmp_path / "orders", OLD)), tmp_path / "orders.csv"
    file.write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        convert(out, file)
    assert file.read_text() == "mine"
    convert(out, file, overwrite=True)
    assert len(read_csv(file)) == 61
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders", "orders.csv"]


@pytest.mark.parametrize("name", ["orders.csv", "orders.xlsx"])
def test_a_damaged_result_writes_nothing_and_names_the_part(name: str, tmp_path: Path) -> None:
    out = result(tmp_path / "orders", OLD)
    results = finished(out)
    with (out / "part-00000.parquet").open("r+b") as part:
        part.truncate(100)
    with pytest.raises(CertificateError, match=r"part-00000\.parquet has 100 bytes"):
        convert(results, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["orders"]


def test_a_name_that_cant_be_used_is_refused(tmp_path: Path) -> None:
    out = result(tmp_path / "orders", OLD)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "one.csv.manifest.json").write_text("")
    for name, message in {
        "orders.json": "ends in none of .csv, .xlsx",
        "orders/orders.csv": "would be written into a result",
        "one.csv": "would be written into a result",
        "nowhere/orders.csv": "there is no folder",
        "folder.csv": "is a folder",
    }.items():
        with pytest.raises(ConfigError, match=message):
            convert(finished(out), tmp_path / name, overwrite=True)
    assert exporter.open(out).rows == 60


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = finished(result(tmp_path / "orders", OLD))
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(ConfigError, match="xlsxwriter is not installed") as error:
        convert(out, tmp_path / "orders.xlsx")
    assert error.value.hint == "pip install xlsxwriter"
    assert [path.name for path in tmp_path.iterdir()] == ["orders"]


def test_a_result_that_is_not_certified_is_told(tmp_path: Path) -> None:
    opened = exporter.open(result(tmp_path / "orders", OLD))
    doubtful = exporter.Result(
        out=opened.out, paths=opened.paths, manifest={**opened.manifest, "run": {"complete": False}}
    )
    made = convert([(None, doubtful)], tmp_path / "orders.csv")
    assert made.notes == ("the result is not certified: orders may be missing",)
