"""Parts are a function of the rows: same bytes whatever the way, readable by everyone, invisible until the end."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from concurrent.futures import wait
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import columns
from exporter.crawl.threads import NICENESS
from exporter.store import parts
from exporter.store.layout import digest_in
from tests.store.orders import (
    BEGIN,
    FACTS,
    SCHEMA,
    certificate,
    cuts,
    export,
    open_store,
    record,
    records,
    segments,
    table,
    whole,
)
from tests.store.test_crashes import data_in

ROWS = table(records(500, seconds=100))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 128)
    monkeypatch.setattr(parts, "GROUP_ROWS", 64)


def test_the_figures_of_the_result_are_fixed() -> None:
    assert (parts.PART_ROWS, parts.GROUP_ROWS) == (1_048_576, 131_072)
    assert parts.PART_ROWS % parts.GROUP_ROWS == 0


def test_any_segments_in_any_order_with_any_stops_give_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, small_parts: None
) -> None:
    calm = tmp_path_factory.mktemp("calm") / "orders"
    export(calm, list(segments(ROWS, cuts(5, seconds=100))))
    expected = data_in(calm)
    assert len(expected) == 4

    @settings(max_examples=25, deadline=None)
    @given(
        inner=st.sets(st.integers(BEGIN + 1, BEGIN + 99), max_size=12),
        shuffler=st.randoms(use_true_random=False),
        stops=st.sets(st.integers(0, 12), max_size=3),
        replaced=st.booleans(),
    )
    def interrupted(inner: set[int], shuffler: Random, stops: set[int], replaced: bool) -> None:
        out = tmp_path_factory.mktemp("broken") / "orders"
        pieces = list(segments(ROWS, [BEGIN, *sorted(inner), BEGIN + 100]))
        shuffler.shuffle(pieces)
        store = open_store(out, whole(100))
        for at, (proof, rows) in enumerate(pieces):
            store.commit(proof, rows)
            if at in stops:
                store.close()
                store = open_store(out, whole(100))
        if replaced:
            store.commit(*pieces[0])
        store.finish(FACTS)
        assert data_in(out) == expected

    interrupted()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("result") / "orders"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_ROWS", 256)
        patch.setattr(parts, "GROUP_ROWS", 128)
        export(out, list(segments(ROWS, cuts(5, seconds=100))))
    return out


def test_pyarrow_reads_it(result: Path) -> None:
    read = ds.dataset(result, format="parquet").to_table()
    assert read.replace_schema_metadata(SCHEMA.metadata).equals(ROWS)
    assert list(columns.records(read)) == list(columns.records(ROWS))


def rows_of(query: str) -> list[Any]:
    relation = duckdb.sql(query)
    assert relation is not None
    return relation.fetchall()


def test_duckdb_reads_it(result: Path) -> None:
    found = rows_of(
        f"SELECT count(*), sum(total), min(epoch_us(created_at)), max(epoch_us(created_at)) FROM '{result}/*.parquet'"
    )
    instants = ROWS["created_at"].cast(pa.int64())
    assert found == [(500, Decimal("-21.9100") * 500, instants[0].as_py(), instants[-1].as_py())]


def test_pandas_reads_it(result: Path) -> None:
    read = pd.read_parquet(result)
    assert len(read) == 500
    assert read["total"].iloc[0] == Decimal("-21.9100")
    assert read["created_at"].iloc[0] == pd.Timestamp(ROWS["created_at"][0].value, unit="us", tz="Asia/Shanghai")


def test_polars_reads_it(result: Path) -> None:
    read = pl.read_parquet(result / "*.parquet")
    assert read.height == 500
    assert read["total"].sum() == Decimal("-21.9100") * 500
    assert read["created_at"].to_physical().to_list() == ROWS["created_at"].cast(pa.int64()).to_pylist()


def test_no_pattern_finds_anything_before_the_end(tmp_path: Path, small_parts: None) -> None:
    out = tmp_path / "orders"
    store = open_store(out, whole(100))
    for proof, rows in segments(ROWS, cuts(5, seconds=100)):
        store.commit(proof, rows)
    assert store._feeder is not None
    wait([future for future, _ in store._feeder._submitted])  # so that every part that can be written is
    assert list((tmp_path / ".orders.exporter" / "result").iterdir())
    assert list(tmp_path.rglob("*.parquet")) == []
    assert rows_of(f"SELECT file FROM glob('{tmp_path}/**/*.parquet')") == []
    assert not out.exists()
    store.close()


def test_row_groups_statistics_and_encodings(result: Path) -> None:
    first, last = (pq.ParquetFile(path) for path in sorted(result.glob("*.parquet")))
    assert [first.metadata.row_group(at).num_rows for at in range(first.num_row_groups)] == [128, 128]
    assert [last.metadata.row_group(at).num_rows for at in range(last.num_row_groups)] == [128, 116]
    chunks = {chunk.path_in_schema: chunk for chunk in map(first.metadata.row_group(0).column, range(13))}
    assert all(chunk.compression == "ZSTD" and chunk.has_column_index for chunk in chunks.values())
    assert "DELTA_BINARY_PACKED" in chunks["created_at"].encodings
    assert chunks["created_at"].statistics.min.timestamp() >= BEGIN
    assert chunks["status"].has_dictionary_page
    assert not chunks["order_id"].has_dictionary_page
    assert not first.schema_arrow.field("order_id").nullable
    assert first.schema_arrow.equals(SCHEMA)


def test_the_files_say_the_query_and_nothing_of_the_run(result: Path) -> None:
    for path in result.glob("*.parquet"):
        metadata = pq.read_metadata(path).metadata
        assert set(metadata) == {
            b"exporter.query",
            b"exporter.language",
            b"exporter.format",
            b"exporter.manifest_format",
            b"exporter.digest",
            b"ARROW:schema",
        }
        assert digest_in(path)


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
def test_an_empty_range_gives_one_part_without_rows(tmp_path: Path, name: str) -> None:
    manifest = export(tmp_path / name, [(certificate(whole(10), 0), table([]))])
    (part,) = manifest.parts
    assert (part.rows, part.min_created_at) == (0, None)
    path = tmp_path / name if name.endswith(".parquet") else tmp_path / name / part.name
    assert pq.read_table(path).num_rows == 0
    assert part.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_fractions_and_a_dense_second_survive(tmp_path: Path) -> None:
    dense = [record(BEGIN, number) for number in range(300)]
    dense[7]["created_at"] = "2023-11-15T06:13:20.250000+08:00"
    rows = table(dense)
    manifest = export(tmp_path / "orders", [(certificate(whole(10), 300), rows)])
    assert manifest.parts[0].max_created_at == "2023-11-15T06:13:20.250000+08:00"
    assert list(columns.records(pq.read_table(tmp_path / "orders"))) == list(columns.records(rows))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is the process's")
def test_only_the_thread_that_writes_parts_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen: list[int] = []
    write = parts.PartWriter.add

    def add(*given: Any) -> None:
        seen.append(niceness())
        write(*given)

    monkeypatch.setattr(parts.PartWriter, "add", add)
    before = niceness()
    export(tmp_path / "orders", list(segments(ROWS, cuts(4, seconds=100))))
    assert niceness() == before
    assert set(seen) == {min(before + NICENESS, 19)}
