"""Estimate the disk space that an export needs while it runs, and compare it with what is free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from exporter.store.layout import Layout

SPOOL_ROW_BYTES = 180
RESULT_ROW_BYTES = 35
"""A row takes 156 and 21 bytes where the simulator made it (`benchmarks/store.py`); longer texts take more."""

_BASE_BYTES = 1 << 20  # manifest, footers, what a file system rounds up


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """What is needed and what is free on the disk of OUT, in bytes."""

    needed: int
    free: int

    @property
    def enough(self) -> bool:
        """Whether it suffices, as far as can be known beforehand."""
        return self.free >= self.needed

    def __str__(self) -> str:
        return f"about {self.needed:,} bytes are needed, {self.free:,} are free"


def space(out: Path, rows: int) -> Space:
    """Return what an export of `rows` more orders to OUT needs beyond what is stored already, and what is free."""
    layout = Layout.of(out)
    there = next(folder for folder in (layout.out, *layout.out.parents) if folder.is_dir())
    spooled = layout.spool.stat().st_size if layout.spool.exists() else 0
    result = (spooled // SPOOL_ROW_BYTES + rows) * RESULT_ROW_BYTES
    return Space(needed=_BASE_BYTES + rows * SPOOL_ROW_BYTES + result, free=shutil.disk_usage(there).free)
