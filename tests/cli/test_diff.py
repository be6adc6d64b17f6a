"""`exporter diff` and `exporter convert` as their users meet them: words, files, exit codes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import exporter
from exporter.cli import main
from tests.store.orders import BEGIN, QUERY, record
from tests.store.test_diff import NEW, OLD, result


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result(Path("old"), OLD)
    result(Path("new.parquet"), NEW)


def told(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> str:
    assert main(tokens) == code
    return capsys.readouterr().out


def read_csv(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def columns_of(lines: Sequence[str]) -> list[list[str]]:
    return [line.split() for line in lines]


def test_diff_tells_numbers_statuses_months_and_the_first_orders(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "diff", "old", "new.parquet").splitlines()
    assert lines[0] == "1 added, 2 changed, 1 vanished, 57 same"
    assert columns_of(lines[2:11]) == [
        ["old", "status", "new", "status", "orders"],
        ["Finished", "→", "Refunded", "2"],
        ["Finished", "→", "-", "1"],
        ["-", "→", "Finished", "1"],
        [],
        ["month", "added", "changed", "vanished"],
        ["2023-11", "0", "1", "1"],
        ["2023-12", "0", "1", "0"],
        ["2024-01", "1", "0", "0"],
    ]
    assert columns_of(lines[12:14]) == [
        ["change", "order_id", "created_at", "type", "total", "currency", "old_status", "status"],
        ["vanished", "NO00000000", "2023-11-15T06:13:20+08:00", "Renewal", "-21.9100", "USD", "Finished", "Finished"],
    ]
    assert len(lines) == 17


def test_diff_shows_twenty_orders_and_says_that_there_are_more(capsys: pytest.CaptureFixture[str]) -> None:
    result(Path("none"), [])
    lines = told(capsys, "diff", "none", "old").splitlines()
    assert lines[-1] == "and 40 more: --output writes them all"
    assert len([line for line in lines if line.startswith("added  ")]) == 20


def test_diff_writes_all_orders_with_the_change_and_the_old_status(capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "diff", "old", "new.parquet", "--output", "changes.csv", "--quiet")
    told(capsys, "diff", "old", "new.parquet", "--output", "changes.parquet", "--quiet")
    table, rows = pq.read_table("changes.parquet"), read_csv("changes.csv")
    assert table.equals(exporter.diff("old", "new.parquet").changes)
    assert [(row["change"], row["old_status"], row["status"], row["total"]) for row in rows] == [
        ("vanished", "Finished", "Finished", "-21.9100"),
        ("changed", "Finished", "Refunded", "-21.9100"),
        ("changed", "Finished", "Refunded", "-21.9100"),
        ("added", "", "Finished", "-21.9100"),
    ]
    assert [Decimal(row["total"]) for row in rows] == table["total"].to_pylist()
    assert [row["created_at"] for row in rows] == [OLD[0]["created_at"], *(NEW[at]["created_at"] for at in (2, 39, -1))]
    assert told(capsys, "diff", "old", "old", "--output", "changes.csv") == "0 added, 0 changed, 0 vanished, 60 same\n"
    assert read_csv("changes.csv") == []
    assert sorted(path.name for path in Path().iterdir() if "changes" in path.name) == [
        "changes.csv",
        "changes.parquet",
    ]


def test_diff_prints_the_counts_as_json_and_exits_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"added": 1, "changed": 2, "vanished": 1, "same": 57}
    assert json.loads(told(capsys, "diff", "old", "new.parquet", "--json")) == counts
    assert json.loads(told(capsys, "diff", "old", "new.parquet", "--json", "--exit-code", code=4)) == counts
    assert told(capsys, "diff", "old", "old", "--exit-code") == "0 added, 0 changed, 0 vanished, 60 same\n"


def test_diff_says_how_two_queries_differ_and_compares_them(capsys: pytest.CaptureFixture[str]) -> None:
    result(Path("other"), NEW, query=QUERY | {"type": [7]})
    assert main(["diff", "old", "other", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["changed"] == 2
    assert output.err == "note: the two were asked for differently: type was not given and is now 7\n"


def test_diff_shows_no_character_that_would_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    result(Path("odd"), [record(BEGIN, 1) | {"order_id": "\x1b[2Jx\ny"}])
    assert "�[2Jx�y" in told(capsys, "diff", "old", "odd")


@pytest.mark.parametrize("output", ["new.parquet", "old/changes.csv", "changes.json", "nowhere/changes.csv"])
def test_diff_never_writes_into_a_result(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old", "new.parquet", "--output", output]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert exporter.diff("old", "new.parquet").counts["same"] == 57


def test_damaged_and_missing_results_have_their_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["diff", "nothing", "old"], ["convert", "nothing", "orders.csv"]):
        assert main(command) == 5
        assert "there is no finished export in nothing" in capsys.readouterr().err
    with Path("old/part-00000.parquet").open("ab") as part:
        part.write(b"x")
    for command in (["diff", "new.parquet", "old"], ["convert", "old", "orders.csv"]):
        assert main(command) == 4
        assert "part-00000.parquet" in capsys.readouterr().err


def test_convert_says_what_it_wrote_and_refuses_to_do_it_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "convert", "old", "orders.csv").startswith("wrote orders.csv: 60 orders, ")
    assert main(["convert", "old", "orders.csv"]) == 5
    assert "--overwrite replaces it" in capsys.readouterr().err
    facts = json.loads(told(capsys, "convert", "new.parquet", "orders.csv", "--overwrite", "--bom", "--json"))
    size = Path("orders.csv").stat().st_size
    assert facts == {"out": "new.parquet", "file": "orders.csv", "rows": 60, "bytes": size}
    assert Path("orders.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_convert_without_the_extra_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    assert main(["convert", "old", "orders.xlsx"]) == 2
    assert "hint: pip install xlsxwriter" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["orders.csv", "orders.xlsx"])
def test_run_to_a_spreadsheet_is_refused_and_names_convert(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUOPLUS_API_KEY", "a-key")
    assert main(["run", name, "--base-url", "http://127.0.0.1:9", "--quiet"]) == 2
    assert f"exporter convert orders {name}" in capsys.readouterr().err
    assert not Path(f".{name}.exporter").exists()
