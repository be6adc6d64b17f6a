"""A finished result opens in each reader, by glob and by folder: the same rows, instants and money.

What readers get wrong, and what to use instead, is in docs/recipes.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

import exporter
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart

ROWS = 1_300
ZONES = ("Asia/Shanghai", "UTC", "Europe/Berlin", "America/St_Johns")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, exporter.Result]]:
    """Export the same orders in several time zones."""
    place = tmp_path_factory.mktemp("everywhere")
    with serving_apart(SimulatorOptions(rows=ROWS, seed=7)) as url:
        yield {
            zone: exporter.run(
                place / str(number), timezone=zone, end="2025-12-31", base_url=url, api_key="simulator", rate=1e6
            )
            for number, zone in enumerate(ZONES)
        }


@pytest.fixture
def result(results: dict[str, exporter.Result]) -> exporter.Result:
    return results["Europe/Berlin"]


@pytest.fixture
def money(result: exporter.Result) -> Decimal:
    total: Decimal = pc.sum(result.to_arrow()["total"]).as_py()
    assert total.as_tuple().exponent == -4
    return total


def glob(result: exporter.Result) -> str:
    return f"{result.out}/*.parquet"


def visible(folder: Path) -> Iterator[Path]:
    """Give the files below a folder that Spark, Hive and Hadoop read: no name on the way begins with `_` or `.`."""
    for path in folder.iterdir():
        if path.name[0] not in "_.":
            yield from visible(path) if path.is_dir() else [path]


@pytest.mark.parametrize("zone", ZONES)
def test_the_time_zone_is_the_columns_and_the_instants_are_the_same(
    results: dict[str, exporter.Result], zone: str
) -> None:
    table, plain = results[zone].to_arrow(), results["UTC"].to_arrow()
    assert table.schema.field("created_at").type == table.schema.field("expired_at").type == pa.timestamp("us", zone)
    assert table.cast(plain.schema).equals(plain)
    instants = plain["created_at"].cast(pa.int64()).to_pylist()
    with duckdb.connect() as connection:
        shown = connection.sql(f"SELECT epoch_us(created_at) FROM '{glob(results[zone])}'").fetchall()
    assert [instant for (instant,) in shown] == instants
    pandas = pd.read_parquet(results[zone].out)["created_at"]
    assert (str(pandas.dt.tz), pandas.astype("int64").tolist()) == (zone, instants)
    polars = pl.read_parquet(glob(results[zone]))["created_at"]
    assert (polars.dtype, polars.to_physical().to_list()) == (pl.Datetime("us", zone), instants)


def test_duckdb_reads_the_glob_the_folder_and_the_list_of_files(result: exporter.Result, money: Decimal) -> None:
    with duckdb.connect() as connection:
        for source in (
            f"'{glob(result)}'",
            f"read_parquet('{result.out}')",
            f"read_parquet({[*map(str, result.paths)]})",
        ):
            assert connection.sql(f"SELECT count(*), sum(total) FROM {source}").fetchall() == [(ROWS, money)]
        assert connection.sql(f"SELECT total FROM '{glob(result)}'").types == ["DECIMAL(18,4)"]


def test_duckdb_makes_floats_of_money_in_df_only(result: exporter.Result, money: Decimal) -> None:
    with duckdb.connect() as connection:
        orders = connection.sql(f"SELECT * FROM '{glob(result)}'")
        assert orders.select("total").df()["total"].dtype == "float64"
        assert pc.sum(orders.to_arrow_table()["total"]).as_py() == money
        assert orders.pl()["total"].sum() == money
        assert orders.sum("total").fetchall() == [(money,)]


def test_duckdb_tells_times_in_the_zone_of_its_session(result: exporter.Result) -> None:
    first = result.to_arrow()["created_at"][0].as_py()
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'Asia/Shanghai'")
        ((shown,),) = connection.sql(f"SELECT min(created_at) FROM '{glob(result)}'").fetchall()
    assert (shown, shown.utcoffset().total_seconds()) == (first, 8 * 3600)


def test_pandas_keeps_money_exact_as_objects_or_as_arrows_decimals(result: exporter.Result, money: Decimal) -> None:
    for source in (result.out, result.paths[0]):
        objects = pd.read_parquet(source)
        assert (len(objects), str(objects["total"].dtype), str(objects["total"].sum())) == (ROWS, "object", str(money))
        arrow = pd.read_parquet(source, dtype_backend="pyarrow")
        assert (len(arrow), str(arrow["total"].sum())) == (ROWS, str(money))
        assert arrow.dtypes.equals(result.to_pandas().dtypes)
        assert str(arrow["type_code"].dtype) == "int8[pyarrow]"


def test_polars_reads_the_glob_and_keeps_money_exact(result: exporter.Result, money: Decimal) -> None:
    frame = pl.scan_parquet(glob(result)).collect()
    assert (frame.height, frame["total"].dtype, frame["total"].sum()) == (ROWS, pl.Decimal(18, 4), money)
    assert result.to_polars().equals(frame)


def test_a_dataset_of_the_folder_is_the_files(result: exporter.Result) -> None:
    dataset = ds.dataset(result.out)
    assert dataset.files == [*map(str, result.paths)]
    assert dataset.to_table().equals(result.to_arrow())


def test_spark_would_read_the_files_and_nothing_else(result: exporter.Result, tmp_path: Path) -> None:
    assert [*visible(result.out)] == [*result.paths]
    unfinished = tmp_path / ".orders.exporter" / "result"
    unfinished.mkdir(parents=True)
    (unfinished / "part-00000.parquet.partial").touch()
    assert [*visible(tmp_path)] == []
