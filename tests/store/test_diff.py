"""Two results compared: exact in any batches, for files, folders and teams, damaged ones refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exporter
from exporter import columns
from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.store.diff import changes_schema, merged
from exporter.store.diff import diff as compared
from exporter.store.finished import finished
from exporter.vendor.orders import Record
from tests.columns.test_difference import RECORDS, counted, expected
from tests.store.orders import BEGIN, QUERY, cuts, export, record, segments, table

SECONDS = 60 * 86_400
OLD = [record(BEGIN + 86_400 * day, day) for day in range(60)]
"""An order a day from 15 November 2023 on."""


def result(out: Path, records: Sequence[Record], **options: object) -> Path:
    export(out, list(segments(table(records), cuts(4, seconds=SECONDS))), **options)
    return out


def changed(records: Sequence[Record], *, status: str, places: Sequence[int]) -> list[Record]:
    return [one | {"status": status} if place in places else one for place, one in enumerate(records)]


NEW = [*changed(OLD, status="Refunded", places=[3, 40])[1:], record(BEGIN + 59 * 86_400 + 1, 100)]


def cut(rows: pa.Table, sizes: Sequence[int]) -> list[pa.Table]:
    """Cut rows into batches, empty ones among them."""
    batches, start = [], 0
    for size in sizes:
        batches.append(rows.slice(start, size))
        start += size
    return [*batches, rows.slice(start)]


SIZES = st.lists(st.integers(0, 4), max_size=8)


@settings(max_examples=40)
@given(old=RECORDS, new=RECORDS, kept=RECORDS, one=SIZES, other=SIZES)
def test_the_batches_in_which_rows_come_make_no_difference(
    old: list[Record], new: list[Record], kept: list[Record], one: list[int], other: list[int]
) -> None:
    old, new = [*old, *kept], [*kept, *new]
    sides = [
        cut(columns.ordered(columns.typed([columns.gather(rows)], timezone="UTC", language="en")), sizes)
        if rows
        else []
        for rows, sizes in ((old, one), (new, other))
    ]
    total = sum(map(counted, merged(*sides)), start=expected([], []))
    assert total == expected(old, new)


def test_no_more_than_a_batch_of_each_side_is_held() -> None:
    """The old one is read to its end before the second batch of the new one, which is later, is asked for."""
    asked: list[str] = []

    def batches(name: str, start: int) -> object:
        for number in range(3):
            asked.append(name)
            yield table([record(BEGIN + start + 10 * number + second, second) for second in range(10)])

    found = list(merged(batches("old", 0), batches("new", 1000)))  # type: ignore[arg-type]
    assert asked == ["old", "new", "old", "old", "new", "new"]
    assert max(len(one.vanished) + len(one.added) for one in found) <= 20


def test_what_differs_is_counted_and_given(tmp_path: Path) -> None:
    old, new = result(tmp_path / "old", OLD), result(tmp_path / "new.parquet", NEW)
    found = exporter.diff(old, new)
    assert found.counts == {"added": 1, "changed": 2, "vanished": 1, "same": 57}
    assert found.differ
    assert found.notes == ()
    assert found.by_status == {("Finished", "Refunded"): 2, ("Finished", None): 1, (None, "Finished"): 1}
    assert found.by_month == {
        "2023-11": {"vanished": 1, "changed": 1},
        "2023-12": {"changed": 1},
        "2024-01": {"added": 1},
    }
    rows = found.changes.select(["change", "order_id", "old_status", "status"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("vanished", "NO00000000", "Finished", "Finished"),
        ("changed", "NO00000003", "Finished", "Refunded"),
        ("changed", "NO00000040", "Finished", "Refunded"),
        ("added", "NO00000100", None, "Finished"),
    ]
    assert list(exporter.records(found.changes)) == [OLD[0], NEW[2], NEW[39], NEW[-1]]


def test_a_result_is_the_same_as_itself(tmp_path: Path) -> None:
    old = result(tmp_path / "old", OLD)
    found = exporter.diff(exporter.open(old), old)
    assert (found.counts, found.differ) == ({"added": 0, "changed": 0, "vanished": 0, "same": 60}, False)
    assert found.changes.num_rows == 0
    assert found.changes.column_names[:3] == ["change", "old_status", "old_expired_at"]


def test_results_without_orders_are_compared(tmp_path: Path) -> None:
    old, new = result(tmp_path / "old", []), result(tmp_path / "new", OLD)
    assert exporter.diff(old, new).counts == {"added": 60, "changed": 0, "vanished": 0, "same": 0}
    assert exporter.diff(new, old).counts == {"added": 0, "changed": 0, "vanished": 60, "same": 0}


def test_only_so_many_changes_are_kept_and_all_are_given(tmp_path: Path) -> None:
    old, new = finished(result(tmp_path / "old", [])), finished(result(tmp_path / "new", OLD))
    given_: list[pa.Table] = []
    found = compared(old, new, write=given_.append, keep=5)
    assert (found.changes.num_rows, sum(map(len, given_))) == (5, 60)
    assert {batch.schema for batch in given_} == {changes_schema(old, new)}


def test_another_query_and_a_result_that_is_not_certified_are_told(tmp_path: Path) -> None:
    old = result(tmp_path / "old", OLD)
    new = result(tmp_path / "new", OLD, query=QUERY | {"status": [1], "end": "2024-02-01"})
    (note,) = exporter.diff(old, new).notes
    assert note == (
        'the two were asked for differently: end was "2023-11-16" and is now "2024-02-01"; status was 1, 2 and is now 1'
    )
    opened = exporter.open(old)
    doubtful = exporter.Result(
        out=opened.out, paths=opened.paths, manifest={**opened.manifest, "run": {"complete": False}}
    )
    assert "the old result is not certified" in exporter.diff(doubtful, old).notes[0]


def test_another_range_of_the_same_query_is_told(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for out, seconds in ((old, SECONDS), (new, SECONDS + 86_400)):
        export(out, list(segments(table(OLD), cuts(4, seconds=seconds))), query=QUERY | {"end": None})
    (note,) = exporter.diff(old, new).notes
    assert note == (
        "the two were asked for differently: the range was [2023-11-15T06:13:20+08:00, 2024-01-14T06:13:20+08:00) "
        "and is now [2023-11-15T06:13:20+08:00, 2024-01-15T06:13:20+08:00)"
    )


def teams(out: Path, **records: Sequence[Record]) -> Path:
    out.mkdir()
    for name, rows in records.items():
        result(out / f"team={name}", rows)
    states = {name: {"state": "complete"} for name in records} | {"late": {"state": "failed"}}
    (out / "_teams.json").write_text(json.dumps({"format": 1, "teams": states}))
    return out


def test_teams_are_compared_one_by_one(tmp_path: Path) -> None:
    old = teams(tmp_path / "old", berlin=OLD, oslo=OLD[:3])
    new = teams(tmp_path / "new", berlin=NEW, rome=OLD[:2])
    found = exporter.diff(old, new)
    assert found.counts == {"added": 3, "changed": 2, "vanished": 4, "same": 57}
    assert found.notes == ("team oslo: only the old one has this team", "team rome: only the new one has this team")
    rows = found.changes.select(["team", "change"]).to_pylist()
    assert [row["team"] for row in rows] == ["berlin"] * 4 + ["oslo"] * 3 + ["rome"] * 2
    assert [row["change"] for row in rows][-5:] == ["vanished"] * 3 + ["added"] * 2
    with pytest.raises(ConfigError, match="holds several"):
        exporter.diff(old, new / "team=berlin")
    assert exporter.diff(old / "team=berlin", new / "team=berlin").counts["changed"] == 2


def test_a_team_whose_result_is_gone_is_told(tmp_path: Path) -> None:
    old = teams(tmp_path / "old", berlin=OLD, oslo=OLD[:3])
    shutil.rmtree(old / "team=oslo")
    with pytest.raises(CertificateError, match="the result of oslo is missing"):
        exporter.diff(old, old)
    (old / "_teams.json").write_text("{}")
    with pytest.raises(CertificateError, match="no list of teams"):
        exporter.diff(old, old)


def test_damaged_parts_are_named(tmp_path: Path) -> None:
    old, new = result(tmp_path / "old.parquet", OLD), result(tmp_path / "new", NEW)
    content = bytearray(old.read_bytes())
    content[200] ^= 1
    old.write_bytes(content)
    (new / "part-00000.parquet").unlink()
    with pytest.raises(CertificateError) as error:
        exporter.diff(old, new)
    assert "old.parquet: its bytes were changed" in str(error.value).replace("old.parquet: old.parquet", "old.parquet")
    assert "part-00000.parquet can't be read: No such file" in str(error.value)


def test_a_damaged_manifest_is_told(tmp_path: Path) -> None:
    old = result(tmp_path / "old", OLD)
    manifest = old / "_manifest.json"
    manifest.write_text(manifest.read_text().replace('"way": "pages"', '"way": "seek"', 1))
    with pytest.raises(CertificateError, match=r"_manifest.json was changed by hand or damaged"):
        exporter.diff(old, old)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    old = result(tmp_path / "old", OLD)
    with pytest.raises(OutputError, match="no finished export"):
        exporter.diff(old, tmp_path / "nothing")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.parquet").write_text("")
    with pytest.raises(ConfigError, match="no export wrote"):
        exporter.diff(tmp_path / "mine", old)
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "_teams.json").write_text('{"teams": {"late": {"state": "failed"}}}')
    with pytest.raises(OutputError, match="of any team"):
        exporter.diff(tmp_path / "teams", old)
