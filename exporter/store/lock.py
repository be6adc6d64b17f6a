"""Let one export at a time work on an OUT, and record which. The system frees a dead holder's lock."""

from __future__ import annotations

import fcntl
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from exporter.errors import OutputError
from exporter.store.disk import Disk, File


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who holds a lock; `since` is ISO 8601."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class Lock:
    """An exclusive lock on a file, held until `release` or the end of the process."""

    def __init__(self, file: File) -> None:
        self._file = file

    @classmethod
    def take(cls, path: Path, disk: Disk) -> Lock:
        """Take the lock, or raise OutputError that names its holder."""
        while True:
            disk.make_folder(path.parent)
            file = disk.append(path)
            if not _acquire(file.descriptor):
                file.close()
                raise OutputError(
                    f"{path.parent} is in use by another export: {holder(path) or 'it began just now'}",
                    hint="wait for it to end, or stop it",
                )
            if _is_same_file(path, file.descriptor):
                break
            file.close()  # its last holder removed it in between
        try:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            file.truncate(0)
            file.write(orjson.dumps(asdict(Holder(pid=os.getpid(), host=socket.gethostname(), since=now))))
        except BaseException:
            file.close()
            raise
        return cls(file)

    def release(self) -> None:
        """Release the lock."""
        self._file.close()


def holder(path: Path) -> Holder | None:
    """Return who wrote the lock file last, if that can be read."""
    try:
        return Holder(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _acquire(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
