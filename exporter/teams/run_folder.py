"""Remember, on the storage that all workers share, what they have done for the teams of one run.

Dask does a team's work again when its worker is lost, also when only the result's way back was. A team that was begun
is then resumed, whatever `--fresh` says, and one that is complete is not asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

import orjson

from exporter.progress.summary import Summary
from exporter.store.disk import Disk


class RunFolder:
    """The folder of one run in OUT: that a worker finds it shows that both mean the same storage."""

    def __init__(self, out: Path, run: str) -> None:
        self.path = out / f".team=.{run}"

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the folder for the time of a run."""
        Disk().make_folder(self.path, mode=0o700)
        try:
            yield
        finally:
            rmtree(self.path, ignore_errors=True)

    def take(self, team: str) -> bool:
        """Record that a worker took a team; return whether it is the first one in this run."""
        try:
            (self.path / f"{team}.taken").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def begin(self, team: str) -> None:
        """Record that a team's first response came: what an earlier run left is discarded, if it was to be."""
        with suppress(OSError):
            (self.path / f"{team}.begun").touch()

    def has_begun(self, team: str) -> bool:
        """Return whether a worker has begun a team."""
        return (self.path / f"{team}.begun").exists()

    def finish(self, team: str, summary: Summary) -> None:
        """Record the figures of a team that ended."""
        with suppress(OSError):
            Disk().write_whole(self._figures(team), orjson.dumps(asdict(summary)))

    def figures(self, team: str) -> Summary | None:
        """Return the figures of a team that ended in this run; None of any other."""
        try:
            facts = orjson.loads(self._figures(team).read_bytes())
        except (OSError, ValueError):
            return None
        return Summary(**facts | {"uncertified": tuple(facts["uncertified"])})

    def _figures(self, team: str) -> Path:
        return self.path / f"{team}.json"
