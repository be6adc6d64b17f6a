"""Report in a line what OUT holds and what is under way. Reads only, also while an export runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from exporter.certify.spans import Span, gaps
from exporter.progress.text import counted
from exporter.store.disk import Disk
from exporter.store.layout import Layout, missing_parts, published, unusable
from exporter.store.lock import Holder, holder, is_held
from exporter.store.manifest import Manifest
from exporter.store.publish import is_done, is_ready
from exporter.store.spool import Spool
from exporter.vendor.orders import wire_time


class State(StrEnum):
    """What a command finds."""

    NOTHING = "nothing"
    UNFINISHED = "unfinished"
    RUNNING = "running"
    PUBLISHING = "swap interrupted"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """An unfinished export: its query, its range (None while an open end is not fixed), what it has, what is left.

    `expected` is the number of orders in the range, if the latest run learned it, else None.
    """

    query: Mapping[str, Any]
    whole: Span | None
    rows: int
    expected: int | None
    segments: int
    left: tuple[Span, ...]
    updates: bool = False
    """It brings a finished result up to date: what is left of it may well be kept."""

    @property
    def committed_to(self) -> int | None:
        """Unix second up to which nothing is left to do, itself not included."""
        if self.whole is None:
            return None
        return self.left[0].start if self.left else self.whole.stop

    @property
    def _held(self) -> str:
        return f"{counted(self.rows, 'order')} in {counted(self.segments, 'segment')}"

    def __str__(self) -> str:
        if self.whole is None or self.committed_to is None or not self.segments:
            return "nothing is committed yet"
        if self.updates:
            return f"{self._held} certified anew so far"
        share = f", {min(1, self.rows / self.expected):.0%} of about {self.expected:,}" if self.expected else ""
        left = f"{counted(len(self.left), 'span')} of {self.whole} left"
        return f"{self._held}{share}, whole up to {wire_time(self.committed_to)}, {left}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What OUT holds (`finished`), what is under way (`progress`) and by whom (`holder`)."""

    state: State
    out: Path
    finished: Manifest | None = None
    missing_parts: tuple[str, ...] = field(default=())
    """Parts of the result that are missing or of another size."""
    progress: Unfinished | None = None
    holder: Holder | None = None

    def __str__(self) -> str:
        other = ""
        if self.progress and self.finished:
            other = f"; with an unfinished {'update' if self.progress.updates else 'export'}: {self.progress}"
        match self.state:
            case State.NOTHING:
                line = "nothing is there"
            case State.UNFINISHED:
                line = f"unfinished export: {self.progress}; the same command resumes it" if self.progress else ""
            case State.RUNNING:
                line = f"running export ({self.holder}): {self.progress or 'nothing is committed yet'}"
            case State.PUBLISHING:
                line = "the export is whole, its last step was interrupted; the same command finishes it"
            case State.DAMAGED:
                line = f"damaged: {', '.join(self.missing_parts)} is missing or of another size"
            case State.COMPLETE | State.INCOMPLETE:
                line = f"{self.state}: {_described(self.finished)}" if self.finished else ""
        return f"{self.out}: {line}{other if self.state is not State.RUNNING else ''}"


def status(out: Path) -> Status:
    """Return what OUT holds and what is under way.

    Raise ConfigError or OutputError if OUT or the work is not an export's, damaged, or of a newer program.
    """
    layout = Layout.of(out)
    with unusable(out):
        spool = _spool(layout)
    digest = spool.ready if spool else None
    progress = _progress(spool) if spool and not is_done(layout, digest) else None
    running = is_held(layout.lock)
    held_by = holder(layout.lock) if running else None
    if is_ready(layout, digest) or (layout.old.exists() and not layout.out.exists()):
        state = State.RUNNING if running else State.PUBLISHING
        return Status(state=state, out=layout.out, progress=progress, holder=held_by)
    finished = published(layout)
    lost = tuple(missing_parts(layout, finished)) if finished else ()
    if running:
        state = State.RUNNING
    elif finished:
        state = State.DAMAGED if lost else State.COMPLETE if finished.complete else State.INCOMPLETE
    else:
        state = State.UNFINISHED if progress else State.NOTHING
    return Status(state=state, out=layout.out, finished=finished, missing_parts=lost, progress=progress, holder=held_by)


def _spool(layout: Layout) -> Spool | None:
    if not layout.spool.exists():
        return None
    with Disk().read_only(layout.spool) as file:
        return Spool(file)


def _progress(spool: Spool) -> Unfinished:
    return Unfinished(
        query=spool.heading["asked"],
        whole=spool.whole,
        rows=sum(segment.rows for segment in spool.segments),
        expected=spool.expected,
        segments=len(spool.segments),
        left=tuple(gaps(spool.whole, spool.spans)) if spool.whole else (),
        updates=spool.updates is not None,
    )


def _described(manifest: Manifest) -> str:
    counts = manifest.counts
    missing = f", {len(manifest.missing)} span(s) missing" if manifest.missing else ""
    return f"{counts['rows']:,} rows in {counts['parts']} part(s), {counts['bytes']:,} bytes, {manifest.whole}{missing}"
