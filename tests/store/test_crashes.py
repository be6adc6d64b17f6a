"""Whatever state a crash leaves, nothing half-made shows, the status tells it, and the same command ends it right."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from exporter.certify.judge import Certificate
from exporter.store import parts, status
from exporter.store.manifest import loads
from exporter.store.status import State as Condition
from exporter.store.status import Unfinished
from tests.store.crashes import RecordingDisk, State, crashes, lay_out, look
from tests.store.orders import cuts, export, records, segments, table

PIECES = list(segments(table(records(200, seconds=60)), cuts(6, seconds=60)))
OLD_PIECES = list(segments(table(records(150, seconds=60, seed=2)), cuts(3, seconds=60)))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 128)
    monkeypatch.setattr(parts, "GROUP_ROWS", 64)


def data_in(out: Path) -> dict[str, bytes]:
    """Return what a user's pattern for Parquet files finds."""
    found = [out] if out.is_file() else sorted(out.glob("*.parquet"))
    return {path.name: path.read_bytes() for path in found}


def finished_with(pieces: Sequence[tuple[Certificate, pa.Table]], out: Path) -> dict[str, bytes]:
    out.parent.mkdir()
    export(out, pieces)
    return data_in(out)


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_a_crash_at_any_operation_is_made_good_by_the_same_command(tmp_path: Path, name: str, overwrite: bool) -> None:
    new = finished_with(PIECES, tmp_path / "new" / name)
    old = finished_with(OLD_PIECES, tmp_path / "old" / name) if overwrite else {}
    source = tmp_path / "run"
    out = source / name
    source.mkdir()
    if overwrite:
        export(out, OLD_PIECES)
    before, disk = look(source), RecordingDisk()
    # A clock that gallops: each commit is synced at once, so that states with some segments are met.
    export(out, PIECES, disk=disk, overwrite=overwrite, clock=iter(range(10**6)).__next__)
    assert data_in(out) == new

    met = set()
    for done, state in crashes(disk.operations, before):
        target = tmp_path / "crash"
        target.mkdir()
        lay_out(state, source, target)
        again = target / name
        where = f"after {done} operations, {disk.operations[done - 1][:2]}"
        shown = data_in(again) if again.exists() else {}
        assert shown in ({}, old, new), where
        assert shown == new or done < len(disk.operations), "what is finished lasts"
        assert shown or not overwrite or kept_aside(state, source, name) == old, where
        condition = status(again)
        assert "\n" not in str(condition), where
        met.add(condition.state)
        export(again, PIECES, overwrite=overwrite)
        assert data_in(again) == new, where
        assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}, where
        shutil.rmtree(target)
    assert met >= {Condition.PUBLISHING, Condition.COMPLETE}
    assert overwrite or met >= {Condition.NOTHING, Condition.UNFINISHED}


def kept_aside(state: State, source: Path, name: str) -> dict[str, bytes]:
    old = source / f".{name}.exporter" / "old"
    kept = {path: content for path, content in state.items() if path.parent == old and content is not None}
    return {path.name: content for path, content in kept.items() if path.suffix == ".parquet"}


def test_a_crash_loses_no_segment_that_was_synced(tmp_path: Path) -> None:
    source = tmp_path / "run"
    source.mkdir()
    disk = RecordingDisk()
    export(source / "orders", PIECES, disk=disk, clock=iter(range(10**6)).__next__)
    spool = source / ".orders.exporter" / "spool"
    synced = 0
    for done, state in crashes(disk.operations, {}):
        synced = sum(1 for name, path, _ in disk.operations[:done] if (name, path) == ("sync", spool)) - 1
        if spool not in state:
            continue
        target = tmp_path / "crash"
        target.mkdir()
        lay_out(state, source, target)
        told = status(target / "orders")
        found = told.progress or told.finished
        assert found is not None
        segments_held = found.segments if isinstance(found, Unfinished) else len(found.segments)
        assert segments_held >= min(synced, len(PIECES))
        shutil.rmtree(target)
    assert synced >= len(PIECES)


def test_the_manifest_in_every_shown_result_is_its_own(tmp_path: Path) -> None:
    """Between the two renames of a file, the digest in it tells that the old manifest is another's."""
    source = tmp_path / "run"
    out = source / "orders.parquet"
    source.mkdir()
    export(out, OLD_PIECES)
    before, disk = look(source), RecordingDisk()
    export(out, PIECES, disk=disk, overwrite=True)
    manifest = out.with_name("orders.parquet.manifest.json")
    mixed = 0
    for _, state in crashes(disk.operations, before):
        target = tmp_path / "crash"
        target.mkdir()
        lay_out(state, source, target)
        told = status(target / out.name)
        if (content := state.get(manifest)) and state.get(out):
            stands, _ = loads(content, path=manifest)
            mixed += len(state[out] or b"") != stands.parts[0].bytes
            assert told.finished is None or told.finished == stands
        shutil.rmtree(target)
    assert mixed
