"""The disk side of an update: what is kept, what is written, and whatever state a crash leaves."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.crawl.threads import InOrder
from exporter.errors import CertificateError, OutputError
from exporter.store import Manifest, RunFacts, parts, status
from exporter.store.disk import Disk
from exporter.store.manifest import Confirmed
from exporter.store.old_result import OldResult
from exporter.store.status import State as Condition
from exporter.store.update_store import UpdateStore, finish_interrupted
from exporter.store.verify import verify
from tests.store.crashes import RecordingDisk, crashes, lay_out, look
from tests.store.orders import (
    BEGIN,
    FACTS,
    QUERY,
    SCHEMA,
    THREADS,
    UnsyncedDisk,
    cuts,
    export,
    open_store,
    record,
    records,
    segments,
    table,
)
from tests.store.test_crashes import data_in

Pieces = Sequence[tuple[Certificate, pa.Table]]
OLD = records(300, seconds=60)
NEW = [*OLD[:200], *(one | {"status": "Refunded"} for one in OLD[200:210]), *OLD[210:], record(BEGIN + 65, 900)]
CUTS = cuts(6, seconds=60)
OLD_PIECES: Pieces = list(segments(table(OLD), CUTS))
NEW_PIECES: Pieces = list(segments(table(NEW), [*CUTS, BEGIN + 70]))
CONFIRMED = Confirmed(time="2026-01-01T00:00:00+08:00", counts={"5": 50})


def exported(out: Path, pieces: Pieces, **options: Any) -> Manifest:
    return export(out, pieces, query={**QUERY, "compression": "zstd"}, **options)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 128)
    monkeypatch.setattr(parts, "GROUP_ROWS", 64)


def opened(out: Path, disk: Disk | None = None, fresh: bool = False) -> UpdateStore:
    old = OldResult.load(out)
    parts_executor = InOrder(THREADS.parts)
    return UpdateStore.open_update(
        old, old.manifest.query, parts_executor=parts_executor, disk=disk or UnsyncedDisk(), fresh=fresh
    )


def update_out(out: Path, pieces: Pieces, disk: Disk | None = None) -> Manifest:
    """Update as the conductor would: drop what differs, commit what is not covered then."""
    done = finish_interrupted(out, disk=disk or UnsyncedDisk())
    if done is not None:
        return done
    store = opened(out, disk)
    try:
        if store.whole is None:
            store.freeze(Span(pieces[0][0].span.start, pieces[-1][0].span.stop))
        store.drop(one.span for one, rows in pieces if one.span in store.old.segments and differs(store, one, rows))
        covered = {one.span for one in store.certificates}
        for certificate, rows in pieces:
            if certificate.span not in covered:
                store.commit(certificate, rows)
        facts = RunFacts(final_check=True, segments_kept=len(store.kept), requests_full=9)
        manifest, _ = store.finish_update(facts, confirmed={one.span: CONFIRMED for one in store.kept})
        return manifest
    finally:
        store.close()


def differs(store: UpdateStore, certificate: Certificate, rows: pa.Table) -> bool:
    span = certificate.span
    return span not in {one.span for one in store.fresh} and not store.old.read(span).equals(rows)


@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
def test_a_crash_at_any_operation_of_an_update_is_made_good_by_the_same_command(tmp_path: Path, name: str) -> None:
    (tmp_path / "new").mkdir()
    exported(tmp_path / "new" / name, NEW_PIECES)
    new, source = data_in(tmp_path / "new" / name), tmp_path / "run"
    source.mkdir()
    exported(source / name, OLD_PIECES)
    old = data_in(source / name)
    before, disk = look(source), RecordingDisk()
    update_out(source / name, NEW_PIECES, disk)
    assert data_in(source / name) == new

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
        met.add(status(again).state)
        update_out(again, NEW_PIECES)
        assert data_in(again) == new, where
        assert verify(again).run.segments_kept in {5, 7}, where
        assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}, where
        shutil.rmtree(target)
    assert met == {Condition.COMPLETE, Condition.PUBLISHING}


def test_kept_segments_are_read_from_the_old_parts_and_others_from_the_spool(tmp_path: Path) -> None:
    exported(tmp_path / "orders", OLD_PIECES)
    store = opened(tmp_path / "orders")
    try:
        store.freeze(Span(CUTS[0], CUTS[-1]))
        with pytest.raises(ValueError, match="fixed"):
            store.freeze(Span(CUTS[0], CUTS[-1]))
        (first, _), (second, rows) = OLD_PIECES[:2]
        assert store.read(first.span).equals(OLD_PIECES[0][1])
        store.drop([second.span])
        assert second.span not in {one.span for one in store.certificates}
        with pytest.raises(ValueError, match="not covered"):
            store.finish_update(FACTS, confirmed={})
        half = Span(second.span.start, second.span.start + 3)
        inside = columns.within(rows, half.start, half.stop)
        store.commit(certificate(half, inside), inside)
        assert [one.span for one in store.fresh] == [half]
        assert store.read(half).equals(inside)
        assert second.span not in {one.span for one in store.kept}, "what is touched is not kept"
    finally:
        store.close()
    resumed = opened(tmp_path / "orders")
    assert [one.span for one in resumed.fresh] == [half]
    assert len(resumed.kept) == len(OLD_PIECES) - 1
    resumed.close()
    assert not opened_and_closed(tmp_path / "orders", fresh=True)


def certificate(span: Span, rows: pa.Table) -> Certificate:
    return Certificate(span=span, rows=len(rows), totals=(len(rows),), requests=1, fetched_from=1.0, fetched_to=2.0)


def opened_and_closed(out: Path, *, fresh: bool) -> list[Path]:
    """Return the work that is left after an update in which nothing was certified."""
    opened(out, fresh=fresh).close()
    return list(out.parent.glob(".*"))


def test_a_result_that_is_replaced_while_an_update_begins_is_left_alone(tmp_path: Path) -> None:
    exported(tmp_path / "orders", OLD_PIECES)
    old = OldResult.load(tmp_path / "orders")
    exported(tmp_path / "orders", NEW_PIECES, overwrite=True)
    with pytest.raises(OutputError, match="replaced just now"):
        UpdateStore.open_update(old, old.manifest.query, parts_executor=InOrder(THREADS.parts))


def test_a_publication_of_an_export_that_was_interrupted_is_not_taken_for_an_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):  # noqa: N818 - no error: the power was cut
        """An export ends in the middle."""

    def cut(*_: object) -> None:
        raise Cut

    exported(tmp_path / "orders", OLD_PIECES)
    with monkeypatch.context() as patched:
        patched.setattr("exporter.store.publish.publish", cut)
        with pytest.raises(Cut):
            exported(tmp_path / "orders", NEW_PIECES, overwrite=True)
    assert finish_interrupted(tmp_path / "orders") is None
    assert verify(tmp_path / "orders").rows == len(NEW)
    assert finish_interrupted(tmp_path / "orders") is None


def test_rows_are_read_by_place_over_the_borders_of_groups_and_parts(tmp_path: Path) -> None:
    exported(tmp_path / "orders", OLD_PIECES)
    old = OldResult.load(tmp_path / "orders")
    assert (old.rows, len(old.manifest.parts)) == (300, 3)
    whole = table(OLD)
    for begin, end in ((0, 0), (0, 300), (60, 70), (120, 140), (250, 257), (299, 300), (5, 6)):
        assert old.slice(begin, end).equals(whole.slice(begin, end - begin).combine_chunks())
    for (one, rows), counts in zip(OLD_PIECES, old.by_status().values(), strict=True):
        assert old.read(one.span).equals(rows)
        assert counts == {5: len(rows)}
    assert old.slice(0, 1).schema.equals(SCHEMA, check_metadata=True)
    (tmp_path / "orders" / "part-00001.parquet").unlink()
    with pytest.raises(CertificateError, match="part-00001"):
        OldResult.load(tmp_path / "orders").slice(0, 300)


def test_fewer_rows_than_certificates_count_are_damage(tmp_path: Path) -> None:
    exported(tmp_path / "orders", OLD_PIECES)
    exported(tmp_path / "fewer", list(segments(table(OLD[:50]), CUTS)))
    old = OldResult.load(tmp_path / "orders")
    for path in (tmp_path / "orders").glob("*.parquet"):
        shutil.copy(tmp_path / "fewer" / "part-00000.parquet", path)
    with pytest.raises(CertificateError, match="fewer rows"):
        old.by_status()


def test_a_manifest_that_was_changed_by_hand_is_damage(tmp_path: Path) -> None:
    exported(tmp_path / "orders", OLD_PIECES)
    path = tmp_path / "orders" / "_manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"rows": 300', '"rows": 301'), encoding="utf-8")
    with pytest.raises(CertificateError, match="changed by hand"):
        OldResult.load(tmp_path / "orders")


def test_a_result_that_is_not_complete_can_not_be_updated(tmp_path: Path) -> None:
    store = open_store(tmp_path / "orders", Span(CUTS[0], CUTS[-1]))
    store.commit(*OLD_PIECES[0])
    store.finish(FACTS, missing=[Span(CUTS[1], CUTS[-1])])
    with pytest.raises(OutputError, match="not complete"):
        OldResult.load(tmp_path / "orders")
