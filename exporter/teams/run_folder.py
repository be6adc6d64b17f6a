"""Remember, on the storage that all workers share, which teams of a run were taken, and what was there before.

Dask does a team's work again when its worker is lost, also when only the way back of its figures was. A team that was
begun is then resumed, whatever `--fresh` says; one that was finished in this run stays, whatever `--overwrite` says.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

from exporter.store.disk import Disk
from exporter.store.layout import Layout
from exporter.store.lock import is_held

HELD = "held"
"""The file that a run holds locked as long as it lives."""


class RunFolder:
    """The folder of one run in OUT: that a worker finds it shows that both mean the same storage."""

    def __init__(self, out: Path, run: str) -> None:
        self._out = out
        self.path = out / f".team=.{run}"

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the folder for the time of a run; remove those of runs that were killed."""
        for left in self._out.glob(".team=.*"):
            if not is_held(left / HELD):
                rmtree(left, ignore_errors=True)
        disk = Disk()
        disk.make_folder(self.path, mode=0o700)
        held = disk.append(self.path / HELD)
        try:
            fcntl.flock(held.descriptor, fcntl.LOCK_EX)
            yield
        finally:
            held.close()
            rmtree(self.path, ignore_errors=True)

    def take(self, team: str) -> bool:
        """Record that a worker took a team, and the result that was there; return whether it is the first to do so."""
        written = self.path / uuid4().hex
        written.write_text(self._result(team))
        try:
            os.link(written, self._taken(team))  # in one step, with its content
        except FileExistsError:
            return False
        finally:
            written.unlink()
        return True

    def begin(self, team: str) -> None:
        """Record that a team's first response came: by then what an earlier run left is discarded, if it was to be."""
        with suppress(OSError):
            (self.path / f"{team}.begun").touch()

    def has_begun(self, team: str) -> bool:
        """Return whether a worker has begun a team."""
        return (self.path / f"{team}.begun").exists()

    def has_finished(self, team: str) -> bool:
        """Return whether a worker of this run has made the result of a team that was taken."""
        result = self._result(team)
        return bool(result) and self._taken(team).read_text() != result

    def _taken(self, team: str) -> Path:
        return self.path / f"{team}.taken"

    def _result(self, team: str) -> str:
        """Return what names the result of a team, the checksum of its manifest; empty without a result."""
        try:
            return hashlib.sha256(Layout.of(self._out / f"team={team}").manifest.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""
