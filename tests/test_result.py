"""The Python interface: run, open, stream, and each library that reads the result."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import exporter
from exporter.events import Event, Finished, Started
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

ROWS = 2_600


class Access(TypedDict):
    """How the simulator is reached."""

    base_url: str
    api_key: str
    rate: float


@pytest.fixture(scope="module")
def access() -> Iterator[Access]:
    with serving_apart(SimulatorOptions(rows=ROWS, seed=7)) as address:
        yield Access(base_url=address, api_key="simulator", rate=1e6)


@pytest.fixture(scope="module")
def result(access: Access, tmp_path_factory: pytest.TempPathFactory) -> exporter.Result:
    return exporter.run(tmp_path_factory.mktemp("result") / "orders", timezone="Europe/Berlin", **access)


@pytest.fixture(scope="module")
def table(result: exporter.Result) -> pa.Table:
    return result.to_arrow()


def test_a_result_tells_what_it_is(result: exporter.Result) -> None:
    assert (result.rows, result.complete, [path.name for path in result.paths]) == (ROWS, True, ["part-00000.parquet"])
    assert result.manifest["counts"]["rows"] == ROWS
    assert repr(result).startswith(
        "<exporter.Result: 2,600 orders from 2015-01-01T00:00:00+01:00 to 2025-12-31T17:00:00+01:00, 1 file in "
    )
    assert repr(exporter.open(result.out)) == repr(result)
    assert "simulator" not in str(result.manifest)


def test_a_notebook_shows_a_result_as_a_table_in_which_nothing_is_markup(result: exporter.Result) -> None:
    table = result._repr_html_()
    assert "<th>orders</th><td>2,600, complete and certified</td>" in table
    assert "2015-01-01T00:00:00+01:00 to 2025-12-31T17:00:00+01:00" in table
    elsewhere = dataclasses.replace(result, out=Path("<script>alert(1)</script>"))
    assert "<script>" not in elsewhere._repr_html_()
    manifest = {**result.manifest, "missing": [{}]}
    assert "not certified" in dataclasses.replace(result, manifest=manifest)._repr_html_()


def test_the_hint_of_an_error_is_a_note_that_tracebacks_show(tmp_path: Path) -> None:
    with pytest.raises(exporter.OutputError) as caught:
        exporter.open(tmp_path / "nothing")
    assert caught.value.__notes__ == [f"hint: {caught.value.hint}"]
    shown = "".join(traceback.format_exception(caught.value))
    assert f"hint: exporter status {tmp_path / 'nothing'} shows what is there" in shown
    assert not hasattr(exporter.ExportError("no hint"), "__notes__")


def test_a_notebook_shows_the_end_of_the_bar_and_the_summary(
    access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.api.in_notebook", lambda: True)
    monkeypatch.setattr("exporter.progress.displays.in_notebook", lambda: True)
    exporter.run(tmp_path / "orders", **access)
    shown = capsys.readouterr().err
    bar, *summary = (line.rpartition("\r")[2] for line in shown.split("\n")[:-1])
    assert bar.startswith("100%|")
    assert "2,600 of 2,600 orders" in bar
    assert summary[0].startswith("Complete: 2,600 orders from ")
    assert summary[-1] == f"pandas    pandas.read_parquet({str(tmp_path / 'orders')!r})"


def test_each_library_reads_the_same_money_and_times(result: exporter.Result, table: pa.Table) -> None:
    money: Decimal = pc.sum(table["total"]).as_py()
    first: dt.datetime = table["created_at"][0].as_py()
    assert table.schema.field("created_at").type == pa.timestamp("us", "Europe/Berlin")

    frame = result.to_pandas()
    assert (len(frame), frame["created_at"].iloc[0]) == (ROWS, pd.Timestamp(first))
    assert str(frame["total"].sum()) == str(money)

    polars = result.to_polars()
    assert (polars.height, polars["total"].sum(), polars["created_at"][0]) == (ROWS, money, first)

    relation = result.to_duckdb().aggregate("count(*), sum(total), min(created_at)")
    assert relation.fetchall() == [(ROWS, money, first)]


def test_records_come_back_as_they_came(result: exporter.Result, table: pa.Table, access: Access) -> None:
    first = next(exporter.records(table))
    assert set(first) >= {"order_id", "type", "total", "created_at", "expired_seconds"}
    assert len(list(exporter.records(table))) == ROWS


def test_typed_events_reach_the_callback(access: Access, tmp_path: Path) -> None:
    events: list[Event] = []
    exporter.run(tmp_path / "orders", progress=events.append, **access)
    started = [event for event in events if isinstance(event, Started)]
    assert [event.total for event in started] == [ROWS]
    assert events[-1] == Finished(rows=ROWS, complete=True)


def test_progress_can_be_shown_and_is_not_by_default(
    access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exporter.run(tmp_path / "silent", **access)
    assert capsys.readouterr().err == ""
    exporter.run(tmp_path / "shown", progress=True, **access)
    assert "2,600 of 2,600 orders" in capsys.readouterr().err


async def test_run_works_inside_a_running_loop_as_in_a_notebook(access: Access, tmp_path: Path) -> None:
    assert exporter.run(tmp_path / "orders", **access).rows == ROWS


async def test_two_exports_run_at_once_in_one_process(access: Access, tmp_path: Path) -> None:
    one, two = await asyncio.gather(
        exporter.arun(tmp_path / "one", **access), exporter.arun(tmp_path / "two.parquet", **access)
    )
    assert (one.rows, two.rows) == (ROWS, ROWS)
    assert two.paths == (tmp_path / "two.parquet",)


async def test_the_library_installs_no_signal_handler(access: Access, tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    during: list[Any] = []
    await exporter.arun(
        tmp_path / "orders",
        progress=lambda _: during.append([signal.getsignal(number) for number in numbers]),
        **access,
    )
    assert all(handlers == before for handlers in during)


def test_run_installs_no_signal_handler_either(access: Access, tmp_path: Path) -> None:
    before, during = signal.getsignal(signal.SIGINT), set()
    exporter.run(tmp_path / "orders", progress=lambda _: during.add(signal.getsignal(signal.SIGINT)), **access)
    assert during == {before}


async def test_stream_gives_the_rows_of_a_result_in_the_same_order(access: Access, table: pa.Table) -> None:
    batches = [batch async for batch in exporter.stream(timezone="Europe/Berlin", **access)]
    assert pa.Table.from_batches(batches).equals(table)


async def test_a_stream_that_is_broken_off_ends_cleanly(access: Access) -> None:
    async with aclosing(exporter.stream(segment_pages=1, **access)) as batches:
        async for batch in batches:
            assert batch.num_rows
            break
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


def test_options_are_the_commands_with_underscores(access: Access, tmp_path: Path) -> None:
    refunds = exporter.run(
        tmp_path / "refunds", type=["refund", 9], start=dt.date(2024, 6, 1), no_final_check=True, **access
    )
    assert set(refunds.to_arrow()["type"].to_pylist()) == {"Refund", "Receive"}
    assert refunds.manifest["run"]["final_check"] is False


def test_an_unknown_option_suggests_the_nearest(access: Access, tmp_path: Path) -> None:
    with pytest.raises(exporter.ConfigError, match="there is no option stat=") as caught:
        exporter.run(tmp_path / "orders", stat="paid", **access)  # type: ignore[call-arg]
    assert caught.value.hint == "did you mean start=?"


def test_no_variable_is_read_but_the_keys(access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_TYPE", "refund")
    monkeypatch.setenv("DUOPLUS_API_KEY", "simulator")
    assert exporter.run(tmp_path / "orders", base_url=access["base_url"], rate=1e6).rows == ROWS


def test_open_tells_what_is_missing(result: exporter.Result, access: Access, tmp_path: Path) -> None:
    with pytest.raises(exporter.OutputError, match="there is no finished export"):
        exporter.open(tmp_path / "nothing")
    broken = exporter.run(tmp_path / "broken", **access)
    broken.paths[0].unlink()
    with pytest.raises(exporter.OutputError, match=r"part-00000\.parquet"):
        exporter.open(tmp_path / "broken")


def test_a_missing_library_tells_how_to_get_it(result: exporter.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match="polars is not installed: pip install polars"):
        result.to_polars()


def test_importing_it_is_cheap() -> None:
    program = (
        "import sys, exporter; print(sorted(set(sys.modules) & {'pyarrow', 'aiohttp', 'anyio', 'tqdm', 'cyclopts'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
