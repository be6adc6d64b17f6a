"""Access the file system: everything is written through here, so that tests can record it and make it fail."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

from exporter.errors import DiskError

Result = TypeVar("Result")

PRIVATE = 0o600
"""The mode of files that only this user may read: what is not published."""

COPIED = 1 << 20
"""Bytes that are copied at a time."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
DENIED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""What the system answers where this user may not write."""


class Disk:
    """A file system. Each change goes through `perform`, which turns what fails into a `DiskError`.

    What must survive a power cut is synced: a file's bytes by `File.sync`, names in a folder by `sync_folder`.
    """

    def perform(self, name: str, path: Path, action: Callable[..., Result], *arguments: Any) -> Result:
        """Do one operation on `path`; `name` and `arguments` are for tests that watch."""
        try:
            return action(*arguments)
        except OSError as error:
            raise _disk_error(name, path, error) from error

    def append(self, path: Path) -> File:
        """Open a file, not a link, to read it and write at its end; or create it for this user alone."""
        return self._opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, PRIVATE)

    def read_only(self, path: Path) -> File:
        """Open a file, not a link, to read it."""
        return self._opened(path, os.O_RDONLY)

    def create(self, path: Path, *, mode: int = 0o666) -> File:
        """Open a new, empty file that replaces whatever has that name; the umask cuts `mode`."""
        self.unlink(path)
        return self._opened(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, mode)

    def _opened(self, path: Path, flags: int, mode: int = 0) -> File:
        descriptor = self.perform("open", path, os.open, path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DiskError(f"{path} is not a plain file, and no export makes anything else there", hint="remove it")
        return File(self, path, descriptor)

    def make_folder(self, path: Path, *, mode: int = 0o777) -> None:
        """Create one folder, unless it exists; the umask cuts `mode`."""
        if not path.is_dir():
            self.perform("mkdir", path, os.mkdir, path, mode)
            self.sync_folder(path.parent)

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step and make it durable."""
        self.perform("rename", source, os.rename, source, target)
        for folder in {source.parent, target.parent}:
            self.sync_folder(folder)

    def link_or_copy(self, source: Path, target: Path) -> None:
        """Give a file that is never written again a second name; copy it where the file system knows no such links."""
        try:
            self.perform("link", source, os.link, source, target)
        except DiskError:
            with source.open("rb") as original, self.create(target) as copy:
                while piece := self.perform("read", source, original.read, COPIED):
                    copy.write(piece)
                copy.sync()
        self.sync_folder(target.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file or a link, if it exists."""
        if os.path.lexists(path):
            self.perform("unlink", path, os.unlink, path)

    def remove_tree(self, path: Path) -> None:
        """Remove a file or a link, or a folder with all that is in it, if it exists."""
        if not path.is_dir() or path.is_symlink():
            self.unlink(path)
            return
        for inside in sorted(path.iterdir()):
            self.remove_tree(inside)
        self.remove_folder(path)

    def remove_folder(self, path: Path) -> None:
        """Remove a folder, unless something is in it."""
        self.perform("rmdir", path, _remove_empty, path)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        self.perform("sync_folder", path, _sync_folder, path)

    def write_whole(self, path: Path, content: bytes, *, mode: int = 0o666) -> None:
        """Write a file under another name, sync it, rename it: it exists whole or not at all."""
        partial = path.with_name(path.name + ".partial")
        with self.create(partial, mode=mode) as file:
            file.write(content)
            file.sync()
        self.rename(partial, path)


class File:
    """An open file that is written at its end, with the methods that pyarrow needs to write to it."""

    def __init__(self, disk: Disk, path: Path, descriptor: int) -> None:
        self.path = path
        self.closed = False
        self._disk = disk
        self.descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, content: bytes) -> int:
        """Write all of `content`."""
        left = memoryview(content)
        while left:
            written = self._disk.perform("write", self.path, os.write, self.descriptor, left)
            self._size += written
            left = left[written:]
        return len(content)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes from `offset`; any thread may."""
        return self._disk.perform("read", self.path, os.pread, self.descriptor, length, offset)

    def tell(self) -> int:
        """Return the size in bytes, which is where the next write goes."""
        return self._size

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes and make that durable."""
        self._disk.perform("truncate", self.path, os.ftruncate, self.descriptor, size)
        self._size = size
        self.sync()

    def sync(self) -> None:
        """Make what was written durable."""
        self._disk.perform("sync", self.path, os.fsync, self.descriptor)

    def flush(self) -> None:
        """Do nothing: no byte waits in this process."""

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if not self.closed:
            self.closed = True
            os.close(self.descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_empty(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


def _disk_error(name: str, path: Path, error: OSError) -> DiskError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        hint = f"make room on the disk ({_free(path)} bytes are free) and run the same command again: it resumes"
    elif error.errno == errno.ELOOP:
        reason, hint = "it is a link, which no export makes", "remove it: a link may lead to a file of somebody else"
    elif error.errno in DENIED and name == "read":
        hint = "see that this user may read it"
    elif error.errno in DENIED:
        hint = "make this folder writable, or choose another OUT"
    else:
        hint = "check the disk, then run the same command again: what is committed stays"
    return DiskError(f"{path}: could not {name.replace('_', ' ')}: {reason}", hint=hint)


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.parent).free:,}"
    except OSError:
        return "no"
