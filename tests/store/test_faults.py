"""A disk that fails at any operation stops the export with a DiskError; once it works again, the export goes on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import ConfigError, DiskError
from exporter.store import parts, status
from tests.store.orders import FACTS, UnsyncedDisk, cuts, export, open_store, records, segments, table, whole
from tests.store.test_crashes import data_in

PIECES = list(segments(table(records(200, seconds=60)), cuts(6, seconds=60)))


class FailingDisk(UnsyncedDisk):
    """A disk on which everything fails from one operation on, reads aside."""

    def __init__(self, *, at: int | None = None, code: int = errno.ENOSPC) -> None:
        self.at = at
        self.code = code
        self.done = 0

    def perform(self, name: str, path: Path, action: Any, *arguments: Any) -> Any:
        if name != "read":
            self.done += 1
        if self.at is not None and self.done > self.at and name != "read":
            return super(UnsyncedDisk, self).perform(name, path, self._fail, path)
        return super().perform(name, path, action, *arguments)

    def _fail(self, path: Path) -> None:
        raise OSError(self.code, "it failed", str(path))


@pytest.fixture(autouse=True)
def one_small_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "GROUP_ROWS", 128)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["orders", "orders.parquet"])
def test_each_operation_may_fail(tmp_path: Path, name: str, code: int) -> None:
    whole_run = FailingDisk()
    (tmp_path / "calm").mkdir()
    export(tmp_path / "calm" / name, PIECES, disk=whole_run, clock=float)
    expected = data_in(tmp_path / "calm" / name)
    opening = FailingDisk()
    (tmp_path / "opened").mkdir()
    store = open_store(tmp_path / "opened" / name, whole(60), disk=opening)
    assert opening.done < 20
    store.close()
    # Most operations are the writes to the part: every seventh of them stands for all.
    for at in [*range(20), *range(20, whole_run.done - 25, 7), *range(whole_run.done - 25, whole_run.done)]:
        folder = tmp_path / "broken"
        folder.mkdir()
        out = folder / name
        with pytest.raises((DiskError, ConfigError)) as caught:
            export(out, PIECES, disk=FailingDisk(at=at, code=code), clock=float)
        assert str(folder) in str(caught.value)
        assert caught.value.hint
        assert isinstance(caught.value, DiskError) or (code == errno.EROFS and at < opening.done)
        assert data_in(out) in ({}, expected)
        assert "\n" not in str(status(out))
        export(out, PIECES)
        assert data_in(out) == expected
        shutil.rmtree(folder)


def test_nothing_is_added_after_a_write_that_failed(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = open_store(tmp_path / "orders", whole(60), disk=disk)
    store.commit(*PIECES[0])
    store.sync()
    disk.at = 0
    with pytest.raises(DiskError):
        store.commit(*PIECES[1])
    disk.at = None
    with pytest.raises(DiskError):
        store.commit(*PIECES[2])
    store.close()
    again = open_store(tmp_path / "orders", whole(60))
    assert [certificate.span for certificate in again.certificates] == [PIECES[0][0].span]
    again.close()


def test_a_full_disk_says_what_is_free(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="could not") as caught:
        export(tmp_path / "orders", PIECES, disk=FailingDisk(at=30))
    assert "bytes are free" in str(caught.value.hint)


def test_rows_damaged_in_the_spool_are_never_exported(tmp_path: Path) -> None:
    store = open_store(tmp_path / "orders", whole(60))
    store.commit(*PIECES[3])
    spool = tmp_path / ".orders.exporter" / "spool"
    content = bytearray(spool.read_bytes())
    content[-40] ^= 1
    spool.write_bytes(content)
    with pytest.raises(DiskError, match="damaged"):
        store.read(PIECES[3][0].span)
    store.close()
    again = open_store(tmp_path / "orders", whole(60))
    assert again.certificates == []
    assert "cut off" in again.notices[0]
    again.close()


def test_a_failure_of_the_parts_stops_the_next_commit(tmp_path: Path) -> None:
    """The thread that writes parts has no caller to tell; the next to come hears of it."""

    class FullForParts(UnsyncedDisk):
        def perform(self, name: str, path: Path, action: Any, *arguments: Any) -> Any:
            if name == "write" and path.suffix == ".partial" and "part-" in path.name:
                raise DiskError(f"{path}: full")
            return super().perform(name, path, action, *arguments)

    store = open_store(tmp_path / "orders", whole(60), disk=FullForParts())
    for certificate, rows in PIECES[1:]:
        store.commit(certificate, rows)

    def the_rest() -> None:
        store.commit(*PIECES[0])
        store.finish(FACTS)

    with pytest.raises(DiskError, match="full"):
        the_rest()
    store.close()
    assert export(tmp_path / "orders", PIECES).counts["rows"] == 200
