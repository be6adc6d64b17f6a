"""A spool that was cut or damaged anywhere gives back the segments before that place, whole, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exporter.errors import CertificateError, OutputError
from exporter.store import space, status
from exporter.store.manifest import FORMAT, CommittedSegment
from exporter.store.spool import Spool, _packed
from tests.store.orders import UnsyncedDisk, cuts, export, open_store, records, segments, table, whole

PIECES = list(segments(table(records(60, seconds=60)), cuts(6, seconds=60)))
DISK = UnsyncedDisk()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("spool") / "orders"
    store = open_store(out, whole(60))
    for proof, rows in PIECES:
        store.commit(proof, rows)
    store.close()
    return (out.parent / ".orders.exporter" / "spool").read_bytes()


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**6), damage=st.sampled_from(["cut", "zeros", "flip"]))
def test_what_is_before_the_damage_is_kept_and_the_rest_comes_again(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int, damage: str
) -> None:
    out = tmp_path_factory.mktemp("torn") / "orders"
    open_store(out, whole(60)).close()
    spool = out.parent / ".orders.exporter" / "spool"
    fixed = spool.stat().st_size
    at = fixed + place % (len(content) - fixed)
    if damage == "zeros":  # what is zero already is not damaged: the rows of a segment end so
        at = len(content) - len(content[at:].lstrip(b"\0"))
        assume(at < len(content))
    tail = {"cut": b"", "zeros": bytes(len(content) - at), "flip": bytes([content[at] ^ 64]) + content[at + 1 :]}[
        damage
    ]
    spool.write_bytes(content[:at] + tail)
    store = open_store(out, whole(60))
    kept = store.certificates
    assert kept == [proof for proof, _ in PIECES[: len(kept)]]
    assert [store.read(proof.span).equals(rows) for proof, rows in PIECES[: len(kept)]] == [True] * len(kept)
    store.close()
    assert spool.stat().st_size <= at
    assert export(out, PIECES).rows == 60


def test_a_spool_without_heading_is_told(tmp_path: Path) -> None:
    work = tmp_path / ".orders.exporter"
    work.mkdir()
    (work / "spool").write_bytes(b"something else")
    with pytest.raises(CertificateError, match="not a spool") as caught:
        open_store(tmp_path / "orders", whole(60))
    assert "--fresh" in str(caught.value.hint)
    open_store(tmp_path / "orders", whole(60), fresh=True).close()


def test_a_newer_spool_is_refused_untouched(tmp_path: Path) -> None:
    open_store(tmp_path / "orders", whole(60)).close()
    spool = tmp_path / ".orders.exporter" / "spool"
    Spool.create(spool, DISK, {"format": FORMAT + 1, "asked": {}, "schema": ""})
    before = spool.read_bytes()
    with pytest.raises(OutputError, match=f"version {FORMAT + 1}"):
        open_store(tmp_path / "orders", whole(60))
    assert spool.read_bytes() == before


def test_syncs_are_grouped_by_rows_and_by_time(tmp_path: Path) -> None:
    synced: list[Path] = []

    class Counting(UnsyncedDisk):
        def perform(self, name: str, path: Path, action: Any, *arguments: Any) -> Any:
            if name == "sync" and path.name == "spool":
                synced.append(path)
            return super().perform(name, path, action, *arguments)

    now = [0.0]
    store = open_store(tmp_path / "orders", whole(60), disk=Counting(), clock=lambda: now[0])
    before = len(synced)
    for proof, rows in PIECES[:3]:
        store.commit(proof, rows)
    assert len(synced) == before
    now[0] = 1.0
    store.commit(*PIECES[3])
    assert len(synced) == before + 1
    store.commit(*PIECES[4])
    assert len(synced) == before + 1
    store.sync()
    store.close()


def test_space_counts_what_is_to_come(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "deep" / "orders"
    alone = space(out, 1_000_000)
    assert 200_000_000 < alone.needed < 230_000_000
    assert alone.free > 0
    assert alone.enough == (alone.free >= alone.needed)
    assert f"{alone.needed:,} bytes are needed" in str(alone)
    open_store(out, whole(60)).close()
    (out.parent / ".orders.exporter" / "spool").write_bytes(content)
    assert alone.needed < space(out, 1_000_000).needed < alone.needed + len(content)


def unknown_frames() -> list[dict[str, Any]]:
    proof = PIECES[0][0]
    known = CommittedSegment(certificate=proof, repeated=0).to_json()
    return [
        {"note": "of a newer version"},
        {"segment": {**known, "proof": "of a new kind"}},
        {"segment": {**known, "rows": "many"}},
        {"segment": {"start": 3}},
        {"segment": None},
        {"whole": "everything"},
        {"whole": {"start": "0001-01-01T00:00:00+14:00", "stop": "9999-12-31T23:59:59-14:00"}},
        {"ready": 3},
        {"heading": {"format": 1}},
        {},
    ]


@pytest.mark.parametrize("frame", unknown_frames(), ids=lambda frame: str(frame)[:40])
def test_a_frame_that_is_not_known_is_a_newer_versions_and_left_alone(tmp_path: Path, frame: dict[str, Any]) -> None:
    out = tmp_path / "orders"
    open_store(out, whole(60)).close()
    path = tmp_path / ".orders.exporter" / "spool"
    with DISK.append(path) as file:
        for piece in _packed(frame):
            file.write(piece)
    before = path.read_bytes()
    for reading in (lambda: open_store(out, whole(60)), lambda: status(out)):
        with pytest.raises(OutputError, match="left alone") as caught:
            reading()
        assert caught.value.exit_code == 5
    assert path.read_bytes() == before
    open_store(out, whole(60), fresh=True).close()
    assert status(out).progress is not None
