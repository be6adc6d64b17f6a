"""What an OUT is taken for, how work goes on, and what the result says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter import columns
from exporter.certify.spans import Span, gaps
from exporter.errors import ConfigError, OutputError
from exporter.store import status
from exporter.store.layout import Layout
from exporter.store.manifest import FORMAT, loads
from exporter.store.status import State
from tests.store.orders import (
    BEGIN,
    FACTS,
    QUERY,
    certificate,
    cuts,
    export,
    open_out,
    open_store,
    record,
    records,
    segments,
    table,
    whole,
)
from tests.store.test_crashes import data_in

ROWS = table(records(200, seconds=60))
PIECES = list(segments(ROWS, cuts(6, seconds=60)))
FEWER = list(segments(table(records(90, seconds=60)), cuts(2, seconds=60)))
WHOLE = whole(60)
OTHER = {**QUERY, "start": "2023-01-01", "status": [3]}


@pytest.fixture(params=["orders", "orders.parquet"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    return path


def begin(out: Path, count: int = 3, **options: Any) -> None:
    """Leave an unfinished export."""
    store = open_store(out, WHOLE, **options)
    for proof, rows in PIECES[:count]:
        store.commit(proof, rows)
    store.close()


def test_a_finished_export_leaves_the_result_and_nothing_else(out: Path) -> None:
    manifest = export(out, PIECES)
    left = {path.name for path in out.parent.iterdir()}
    assert left == ({"orders"} if out.name == "orders" else {"orders.parquet", "orders.parquet.manifest.json"})
    assert manifest.counts["rows"] == len(ROWS)
    assert manifest.complete
    assert status(out).finished == manifest


def test_the_manifest_tells_what_was_asked_and_done(out: Path) -> None:
    made = export(out, PIECES)
    text = Layout.of(out).manifest.read_bytes()
    value = orjson.loads(text)
    assert value["format"] == FORMAT
    assert value["query"] == {**QUERY, "status": [1, 2]}
    assert value["range"] == {"start": "2023-11-15T06:13:20+08:00", "stop": "2023-11-15T06:14:20+08:00"}
    assert (value["timezone"], value["language"], value["base_url"]) == ("Asia/Shanghai", "en", "http://127.0.0.1")
    assert value["counts"] == {"rows": 200, "segments": 6, "parts": 1, "bytes": made.parts[0].bytes}
    assert value["segments"][0]["totals"] == [PIECES[0][0].rows] * 2
    assert value["parts"][0]["min_created_at"] == "2023-11-15T06:13:20+08:00"
    assert value["run"] == FACTS.to_json()
    assert (value["run"]["complete"], value["run"]["totals"], value["run"]["final_check"]) == (True, "exact", True)
    assert loads(text, path=out) == (made, [])


def test_work_goes_on_where_it_was(out: Path) -> None:
    store = open_store(out, WHOLE)
    for proof, rows in PIECES[2:4]:
        store.commit(proof, rows)
    store.close()
    again = open_store(out, WHOLE)
    assert again.query == {**QUERY, "status": [1, 2]}
    assert again.certificates == [proof for proof, _ in PIECES[2:4]]
    assert again.read(PIECES[2][0].span).equals(PIECES[2][1], check_metadata=True)
    assert gaps(WHOLE, [proof.span for proof in again.certificates]) == [
        Span(WHOLE.start, PIECES[2][0].span.start),
        Span(PIECES[3][0].span.stop, WHOLE.stop),
    ]
    again.close()
    assert export(out, PIECES).counts["rows"] == len(ROWS)


def test_an_open_end_is_frozen_once(out: Path) -> None:
    store = open_store(out, None)
    assert store.whole is None
    store.freeze(WHOLE)
    store.commit(*PIECES[0])
    store.close()
    again = open_store(out, None)
    assert again.whole == WHOLE
    with pytest.raises(ValueError, match="already"):
        again.freeze(whole(99))
    again.close()


def test_a_segment_of_the_same_span_replaces_the_earlier_one(out: Path) -> None:
    begin(out, count=6)
    proof, _ = PIECES[1]
    store = open_store(out, WHOLE)
    extra = table([record(proof.span.start, 777)])
    store.commit(certificate(proof.span, 1), extra)
    manifest = store.finish(FACTS)
    assert manifest.counts["rows"] == len(ROWS) - proof.rows + 1
    assert "NO00000777" in pq.read_table(out)["order_id"].to_pylist()


def test_what_cannot_be_is_a_mistake_of_the_caller(out: Path) -> None:
    store = open_store(out, WHOLE)
    store.commit(*PIECES[1])
    span = PIECES[1][0].span
    with pytest.raises(ValueError, match="overlaps"):
        store.commit(certificate(Span(span.start + 1, span.stop + 1), 0), table([]))
    with pytest.raises(ValueError, match="rows came with"):
        store.commit(certificate(PIECES[2][0].span, 1), table([]))
    with pytest.raises(ValueError, match="not committed"):
        store.finish(FACTS)
    store.close()


def test_missing_spans_are_told_and_the_result_is_not_complete(out: Path) -> None:
    store = open_store(out, WHOLE)
    for proof, rows in (*PIECES[:2], *PIECES[3:]):
        store.commit(proof, rows)
    manifest = store.finish(replace(FACTS, complete=False), missing=[PIECES[2][0].span])
    assert manifest.missing == (PIECES[2][0].span,)
    assert manifest.counts["rows"] == len(ROWS) - PIECES[2][0].rows
    assert status(out).state is State.INCOMPLETE
    with pytest.raises(OutputError, match="not complete"):
        open_store(out, WHOLE)


def test_rows_that_are_alike_are_counted(out: Path) -> None:
    twice = table([record(BEGIN, 1), record(BEGIN, 1), record(BEGIN, 1), record(BEGIN, 2), record(BEGIN + 1, 2)])
    manifest = export(out, [(certificate(WHOLE, 5), twice)])
    assert manifest.segments[0].repeated == 2


def test_a_finished_result_of_the_same_query_sends_nothing(out: Path) -> None:
    manifest = export(out, PIECES)
    before = data_in(out)
    assert open_out(out, WHOLE) == manifest
    assert data_in(out) == before
    assert not Layout.of(out).work.exists()


def test_a_finished_result_with_an_open_end_may_lack_newer_orders(out: Path) -> None:
    export(out, PIECES)
    with pytest.raises(OutputError, match="more orders by now") as caught:
        open_store(out, None)
    assert "--overwrite" in str(caught.value.hint)


@pytest.mark.parametrize("leave", [begin, lambda out: export(out, PIECES)], ids=["unfinished", "finished"])
def test_another_query_is_refused_field_by_field(out: Path, leave: Callable[[Path], object]) -> None:
    leave(out)
    before = status(out)
    with pytest.raises(OutputError) as caught:
        open_store(out, WHOLE, query=OTHER)
    assert 'start was "2023-11-15" and is now "2023-01-01"' in str(caught.value)
    assert "status was 1, 2 and is now 3" in str(caught.value)
    assert "base_url" not in str(caught.value)
    assert status(out) == before


def test_other_columns_are_refused(out: Path) -> None:
    begin(out)
    with pytest.raises(OutputError, match="columns"):
        open_store(out, WHOLE, schema=columns.schema(timezone="UTC", language="en"))


def test_fresh_drops_unfinished_work(out: Path) -> None:
    begin(out)
    store = open_store(out, WHOLE, query=OTHER, fresh=True)
    assert store.certificates == []
    store.close()


def test_overwrite_replaces_a_result_only_once_the_new_one_is_whole(out: Path) -> None:
    export(out, FEWER)
    old = data_in(out)
    begin(out, overwrite=True)
    assert data_in(out) == old
    told = status(out)
    assert (told.state, told.progress is not None) == (State.COMPLETE, True)
    assert "with an unfinished export" in str(told)
    assert export(out, PIECES, overwrite=True).counts["rows"] == len(ROWS)
    assert data_in(out) != old


def test_a_newer_version_is_refused_untouched(out: Path) -> None:
    export(out, PIECES)
    manifest = Layout.of(out).manifest
    manifest.write_bytes(orjson.dumps({**orjson.loads(manifest.read_bytes()), "format": FORMAT + 1}))
    before = manifest.read_bytes()
    with pytest.raises(OutputError, match="version 2"):
        open_store(out, WHOLE, overwrite=True)
    with pytest.raises(OutputError, match="version 2"):
        status(out)
    assert manifest.read_bytes() == before


def test_a_manifest_that_was_changed_is_refused(out: Path) -> None:
    export(out, PIECES)
    manifest = Layout.of(out).manifest
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows": 200', b'"rows": 201', 1))
    with pytest.raises(OutputError, match="changed by hand"):
        open_store(out, WHOLE)


def test_a_lost_part_is_seen(out: Path) -> None:
    manifest = export(out, PIECES)
    Layout.of(out).part(manifest.parts[0].name).unlink()
    if out.name == "orders":
        assert status(out).state is State.DAMAGED
        with pytest.raises(OutputError, match="missing or of another size"):
            open_store(out, WHOLE)
    else:
        assert status(out).state is State.NOTHING
    assert export(out, PIECES, overwrite=True).counts["rows"] == 200


def foreign(path: Path) -> Path:
    pq.write_table(pa.table({"a": [1]}), path)
    return path


def test_foreign_parquet_is_refused(out: Path) -> None:
    if out.name == "orders":
        out.mkdir()
    foreign(out / "mine.parquet" if out.name == "orders" else out)
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="no export wrote"):
            open_store(out, WHOLE, overwrite=overwrite)
    assert not Layout.of(out).work.exists()


def test_a_file_of_the_users_in_the_result_is_never_thrown_away(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    export(out, PIECES)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        open_store(out, WHOLE, overwrite=True)


def test_a_file_where_a_folder_is_needed_and_the_other_way_round(out: Path) -> None:
    if out.name == "orders":
        out.write_text("")
    else:
        out.mkdir()
    with pytest.raises(ConfigError, match="is needed"):
        open_store(out, WHOLE)


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    out.mkdir()
    assert status(out).state is State.NOTHING
    assert export(out, PIECES).counts["rows"] == 200


def test_folders_above_are_made(tmp_path: Path) -> None:
    assert export(tmp_path / "a" / "b" / "orders", PIECES).counts["rows"] == 200


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        open_store(tmp_path / "file" / "orders", WHOLE)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "orders").symlink_to(tmp_path / "far" / "orders")
    export(tmp_path / "orders", PIECES)
    assert (tmp_path / "orders").is_symlink()
    assert status(tmp_path / "orders").state is State.COMPLETE


def test_a_second_run_is_told_who_holds_the_lock(out: Path) -> None:
    store = open_store(out, WHOLE)
    store.commit(*PIECES[0])
    with pytest.raises(OutputError, match=f"process {os.getpid()} on .*, since 20"):
        open_store(out, WHOLE)
    told = status(out)
    assert told.state is State.RUNNING
    assert told.holder is not None
    assert told.holder.pid == os.getpid()
    assert "31 orders in 1 segment," in str(told)
    store.close()
    assert status(out).state is State.UNFINISHED
    open_store(out, WHOLE).close()


def test_the_lock_of_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    code = (
        "import os, sys; from pathlib import Path; from tests.store.orders import open_store, whole;"
        "store = open_store(Path(sys.argv[1]), whole(60)); os._exit(9)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(out)], check=False, cwd=Path(__file__).parents[2])
    assert died.returncode == 9
    assert Layout.of(out).lock.exists()
    assert status(out).state is State.UNFINISHED
    assert export(out, PIECES).counts["rows"] == 200


def test_status_tells_each_state_in_a_line(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    assert str(status(out)) == f"{out}: nothing is there"
    begin(out)
    assert str(status(out)).startswith(f"{out}: unfinished export: ")
    assert "committed" not in str(status(out))
    assert "101 orders in 3 segments, whole up to 2023-11-15T06:13:50+08:00, 1 span of [2023" in str(status(out))
    with closing(open_store(out, WHOLE)) as store:
        store.expect(200)
    assert "101 orders in 3 segments, 50% of about 200, whole up to 2023-11-15T06:13:50+08:00" in str(status(out))
    progress = status(out).progress
    assert progress is not None
    assert progress.left == (Span(BEGIN + 30, BEGIN + 60),)
    export(out, PIECES)
    assert str(status(out)).startswith(f"{out}: complete: 200 rows in 1 part(s)")
