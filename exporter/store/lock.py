"""Let one export at a time work on an OUT, and record which. The system frees a dead holder's lock."""

from __future__ import annotations

import fcntl
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from exporter.errors import ConfigError, DiskError, InUseError
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
    """An exclusive lock on a work folder, held until `release` or the end of the process.

    The system's lock is on a file in the folder: not every network file system locks folders. The user may remove
    either while the lock is held, and another export may then make and lock new ones, so both are compared with what
    was locked before anything is written to the result or removed.
    """

    def __init__(self, path: Path, file: File, folder: int) -> None:
        self._path = path
        self._file = file
        self._folder = folder

    @classmethod
    def take(cls, path: Path, disk: Disk) -> Lock:
        """Make the folder of the lock file, if need be, and lock it; raise InUseError that names its holder."""
        while True:
            disk.make_folder(path.parent, mode=0o700)
            folder = _open_folder(path.parent, disk)
            try:
                file = disk.append(path)
            except BaseException:
                os.close(folder)
                raise
            lock = cls(path, file, folder)
            if not _acquire(file.descriptor):
                lock.release()
                raise InUseError(
                    f"{path.parent} is in use by another export: {holder(path) or 'it began just now'}",
                    hint="wait for it to end, or stop it",
                )
            if lock.is_in_place:
                break
            lock.release()  # its last holder removed it in between
        try:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            file.truncate(0)
            file.write(orjson.dumps(asdict(Holder(pid=os.getpid(), host=socket.gethostname(), since=now))))
        except BaseException:
            lock.release()
            raise
        return lock

    @property
    def is_in_place(self) -> bool:
        """Whether folder and lock file still are those that were locked."""
        return _is_same(self._path.parent, self._folder) and _is_same(self._path, self._file.descriptor)

    def check(self) -> None:
        """Raise DiskError if folder or lock file was removed or replaced: what is there now is another export's."""
        if not self.is_in_place:
            raise DiskError(
                f"{self._path.parent} was removed or replaced while this export worked in it",
                hint="nothing was written to the result; run the same command again, and leave that folder to it",
            )

    def release(self) -> None:
        """Release the lock."""
        self._file.close()
        os.close(self._folder)


def _open_folder(path: Path, disk: Disk) -> int:
    """Open a work folder; raise ConfigError if it is not a folder of this user, and keep others out of it."""
    if path.is_symlink():
        raise ConfigError(f"{path} is a link, which no export makes", hint="remove it, or choose another OUT")
    folder = disk.perform("read", path, os.open, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(folder)
    if found.st_uid != os.geteuid():
        os.close(folder)
        raise ConfigError(
            f"{path} belongs to another user: what is in it can't be relied on",
            hint="remove it, or choose another OUT",
        )
    if found.st_mode & 0o077:
        os.fchmod(folder, 0o700)
    return folder


def holder(path: Path) -> Holder | None:
    """Return who wrote the lock file last, if that can be read."""
    try:
        return Holder(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def is_held(path: Path) -> bool:
    """Return whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
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


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except OSError:
        return False
