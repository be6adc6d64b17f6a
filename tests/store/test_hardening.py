"""Links, folders of others, folders that vanish: nothing is written elsewhere, nothing half-made is published."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from exporter.errors import CertificateError, ConfigError, DiskError, OutputError
from exporter.store import status
from exporter.store.lock import Lock
from exporter.store.status import State
from exporter.store.verify import verify
from tests.store.orders import FACTS, cuts, export, open_store, records, segments, table, whole
from tests.store.test_crashes import data_in

PIECES = list(segments(table(records(200, seconds=60)), cuts(6, seconds=60)))
WHOLE = whole(60)


@pytest.fixture(params=["orders", "orders.parquet"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    return path


def work_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.exporter")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# A work folder that is taken away


@pytest.mark.parametrize("taken", ["folder", "lock"])
@pytest.mark.parametrize("another", [False, True], ids=["alone", "another began"])
@pytest.mark.parametrize("after", [3, 6])
def test_an_export_whose_work_was_removed_publishes_nothing(out: Path, taken: str, another: bool, after: int) -> None:
    store = open_store(out, WHOLE)
    for proof, rows in PIECES[:after]:
        store.commit(proof, rows)
    work = work_of(out)
    if taken == "folder":
        shutil.rmtree(work)
    else:
        (work / "lock").unlink()
    second = open_store(out, WHOLE) if another else None
    if second is not None:
        kept = len(second.certificates)
        for proof, rows in PIECES[kept:]:
            second.commit(proof, rows)

    def the_rest() -> None:
        for proof, rows in PIECES[after:]:
            store.commit(proof, rows)
        store.finish(FACTS)

    with pytest.raises(DiskError, match="was removed or replaced") as caught:
        the_rest()
    assert caught.value.exit_code == 3
    store.close()
    assert not out.exists()
    if second is not None:
        second.finish(FACTS)
        assert verify(out).rows == 200
    assert export(out, PIECES).rows == 200
    assert verify(out).complete


def test_a_folder_that_vanishes_at_the_last_moment_is_named_as_the_cause(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts are written; then the folder is gone when the manifest is to be."""
    store = open_store(out, WHOLE)
    for proof, rows in PIECES:
        store.commit(proof, rows)
    checks = iter(range(10))
    check = Lock.check

    def removing(self: Lock) -> None:
        check(self)
        if next(checks) == 1:
            shutil.rmtree(work_of(out))

    monkeypatch.setattr(Lock, "check", removing)
    with pytest.raises(DiskError, match="was removed or replaced"):
        store.finish(FACTS)
    store.close()
    assert not out.exists()


def test_a_failed_export_removes_nothing_of_the_one_that_followed(out: Path) -> None:
    store = open_store(out, WHOLE)
    shutil.rmtree(work_of(out))
    second = open_store(out, WHOLE)
    second.commit(*PIECES[0])
    store.close()
    assert status(out).state is State.RUNNING
    second.close()
    progress = status(out).progress
    assert progress is not None
    assert progress.segments == 1


# Links and strangers


def test_a_lock_that_is_a_link_leaves_its_target_alone(out: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    work_of(out).mkdir()
    (work_of(out) / "lock").symlink_to(victim)
    with pytest.raises(ConfigError, match="it is a link"):
        open_store(out, WHOLE)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["spool", "spool.partial", "result", "old"])
@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_no_link_in_the_work_folder_is_written_through(out: Path, tmp_path: Path, name: str, target: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if target == "file":
        (elsewhere / "victim").write_text("precious")
    if target == "folder":
        (elsewhere / "victim").mkdir()
        (elsewhere / "victim" / "inside").write_text("precious")
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    work_of(out).mkdir()
    (work_of(out) / name).symlink_to(elsewhere / "victim")
    if name == "spool":
        with pytest.raises(ConfigError, match="it is a link"):
            export(out, PIECES)
        assert not out.exists()
    else:
        export(out, PIECES)
        assert verify(out).rows == 200
        assert not out.is_symlink()
    assert {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()} == before


def test_a_work_folder_that_is_a_link_is_refused(out: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    work_of(out).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        open_store(out, WHOLE)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_work_folder_of_another_user_is_refused(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_of(out).mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="another user"):
        open_store(out, WHOLE)


def test_a_pipe_in_place_of_a_work_file_is_refused_without_waiting(out: Path) -> None:
    work_of(out).mkdir()
    os.mkfifo(work_of(out) / "spool")
    with pytest.raises(DiskError, match="not a plain file"):
        open_store(out, WHOLE)


def test_a_planted_result_is_not_taken_for_complete(out: Path, tmp_path: Path) -> None:
    """A whole result of the same query, put where this program puts its own before it is published."""
    other = tmp_path / "other" / out.name
    export(other, PIECES[:3])
    result = work_of(out) / "result"
    result.mkdir(parents=True)
    if out.suffix:
        shutil.copy(other, result / out.name)
        shutil.copy(other.with_name(f"{other.name}.manifest.json"), result / "_manifest.json")
    else:
        shutil.copytree(other, result, dirs_exist_ok=True)
    assert status(out).state is State.NOTHING
    store = open_store(out, WHOLE)
    assert store.certificates == []
    assert not out.exists()
    store.close()
    assert export(out, PIECES).rows == 200


def test_a_result_moved_away_by_nobody_known_is_neither_taken_nor_thrown_away(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    export(out, PIECES)
    work_of(out).mkdir()
    out.rename(work_of(out) / "old")
    with pytest.raises(OutputError, match="was moved away"):
        open_store(out, WHOLE)
    assert (work_of(out) / "old" / "part-00000.parquet").exists()


# Modes


def test_work_is_private_and_the_result_follows_the_umask(out: Path) -> None:
    before = os.umask(0o022)
    try:
        store = open_store(out, WHOLE)
        for proof, rows in PIECES:
            store.commit(proof, rows)
        work = work_of(out)
        assert mode(work) == 0o700
        assert {name: mode(work / name) for name in ("lock", "spool")} == {"lock": 0o600, "spool": 0o600}
        manifest = store.finish(FACTS)
    finally:
        os.umask(before)
    if out.suffix:
        assert (mode(out), mode(out.with_name(f"{out.name}.manifest.json"))) == (0o644, 0o644)
    else:
        assert {mode(out), mode(out / "_manifest.json"), mode(out / manifest.parts[0].name)} == {0o755, 0o644}


def test_a_strict_umask_keeps_the_result_private(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        export(tmp_path / "orders", PIECES)
    finally:
        os.umask(before)
    assert {mode(path) for path in (tmp_path / "orders").iterdir()} == {0o600}
    assert mode(tmp_path / "orders") == 0o700


def test_an_open_work_folder_of_an_earlier_version_is_closed_to_others(out: Path) -> None:
    work_of(out).mkdir(mode=0o755)
    store = open_store(out, WHOLE)
    assert mode(work_of(out)) == 0o700
    store.close()


# What verify finds


@pytest.mark.parametrize("name", ["more", "part-00007.parquet", "_more.parquet", "deep/part-00007.parquet"])
@pytest.mark.parametrize("kind", ["folder", "file", "dangling", "pipe"])
def test_verify_finds_links_and_special_files_that_a_reader_would_follow(tmp_path: Path, name: str, kind: str) -> None:
    out = tmp_path / "orders"
    export(out, PIECES)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(out / "part-00000.parquet", tmp_path / "elsewhere" / "part-00000.parquet")
    path = out / name
    path.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        targets = {"folder": "elsewhere", "file": "elsewhere/part-00000.parquet", "dangling": "nothing"}
        path.symlink_to(tmp_path / targets[kind])
    found = f"{name} is not one of its files, " + ("and no plain file" if kind == "pipe" else "but a link")
    with pytest.raises(CertificateError, match=found):
        verify(out)


def test_verify_compares_the_manifest_with_the_checksum_that_was_kept(out: Path) -> None:
    import hashlib

    export(out, PIECES)
    manifest = out.with_name(f"{out.name}.manifest.json") if out.suffix else out / "_manifest.json"
    kept = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert verify(out, expect=kept.upper()).rows == 200
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    export(out, PIECES[:5], overwrite=True)
    assert verify(out)
    with pytest.raises(CertificateError, match=f"not {kept}"):
        verify(out, expect=kept)


# What else may be there


def test_unfinished_work_without_segments_gives_way_to_another_query(out: Path) -> None:
    open_store(out, WHOLE).close()
    assert status(out).state is State.UNFINISHED
    other = {"start": "2020-01-01"}
    store = open_store(out, WHOLE, query=other)
    assert store.query == other
    store.commit(*PIECES[0])
    store.close()
    with pytest.raises(OutputError, match="another query"):
        open_store(out, WHOLE)


def test_a_file_that_was_renamed_with_its_manifest_is_right_for_verify_and_for_run(tmp_path: Path) -> None:
    export(tmp_path / "orders.parquet", PIECES)
    moved = tmp_path / "archive.parquet"
    (tmp_path / "orders.parquet").rename(moved)
    (tmp_path / "orders.parquet.manifest.json").rename(tmp_path / "archive.parquet.manifest.json")
    assert verify(moved).rows == 200
    assert export(moved, PIECES).rows == 200
    assert status(moved).state is State.COMPLETE
    assert list(data_in(moved)) == ["archive.parquet"]
