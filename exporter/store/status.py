"""Tell in a line what stands in OUT and what is under way beside it. Reads only, also while an export runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from exporter.certify.spans import Span, gaps
from exporter.store.disk import Disk
from exporter.store.layout import Layout, lacking, standing
from exporter.store.lock import Holder, holder, is_held
from exporter.store.manifest import Manifest
from exporter.store.spool import Spool, check_version
from exporter.vendor.orders import wire_time


class State(StrEnum):
    """What a command finds."""

    NOTHING = "nothing"
    UNFINISHED = "unfinished"
    RUNNING = "running"
    SWAPPING = "swap interrupted"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """An unfinished export: its query, its range (None while an open end is not fixed), what it has, what is left."""

    asked: Mapping[str, Any]
    whole: Span | None
    rows: int
    segments: int
    left: tuple[Span, ...]

    @property
    def committed_to(self) -> int | None:
        """Unix second up to which nothing is left to do, itself not included."""
        if self.whole is None:
            return None
        return self.left[0].start if self.left else self.whole.stop

    def __str__(self) -> str:
        if self.whole is None or self.committed_to is None:
            return "nothing is committed yet"
        seconds = sum(span.stop - span.start for span in self.left)
        share = 1 - seconds / max(1, self.whole.stop - self.whole.start)
        return (
            f"{self.rows:,} rows in {self.segments:,} segments, whole up to {wire_time(self.committed_to)}, "
            f"{share:.1%} of {self.whole}, {len(self.left)} span(s) left"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What stands in OUT (`finished`), what is under way beside it (`progress`) and by whom (`holder`)."""

    state: State
    out: Path
    finished: Manifest | None = None
    lacking: tuple[str, ...] = field(default=())
    """Parts of the result that are missing or of another size."""
    progress: Unfinished | None = None
    holder: Holder | None = None

    def __str__(self) -> str:
        beside = f"; beside it an unfinished export: {self.progress}" if self.progress and self.finished else ""
        match self.state:
            case State.NOTHING:
                line = "nothing is there"
            case State.UNFINISHED:
                line = f"unfinished export: {self.progress}; the same command goes on" if self.progress else ""
            case State.RUNNING:
                line = f"running export ({self.holder}): {self.progress or 'nothing is committed yet'}"
            case State.SWAPPING:
                line = "the export is whole, its last step was interrupted; the same command ends it"
            case State.DAMAGED:
                line = f"damaged: {', '.join(self.lacking)} is missing or of another size"
            case State.COMPLETE | State.INCOMPLETE:
                line = f"{self.state}: {_told(self.finished)}" if self.finished else ""
        return f"{self.out}: {line}{beside if self.state is not State.RUNNING else ''}"


def status(out: Path) -> Status:
    """Return what stands in OUT or is under way beside it.

    Raise ConfigError or OutputError if OUT or the work is none of ours, damaged, or of a newer program.
    """
    place = Layout.of(out)
    progress = _progress(place)
    running = is_held(place.lock)
    held_by = holder(place.lock) if running else None
    if place.ready.exists() or (place.old.exists() and not place.out.exists()):
        state = State.RUNNING if running else State.SWAPPING
        return Status(state=state, out=place.out, progress=progress, holder=held_by)
    finished = standing(place)
    lost = tuple(lacking(place, finished)) if finished else ()
    if running:
        state = State.RUNNING
    elif finished:
        state = State.DAMAGED if lost else State.COMPLETE if finished.complete else State.INCOMPLETE
    else:
        state = State.UNFINISHED if progress else State.NOTHING
    return Status(state=state, out=place.out, finished=finished, lacking=lost, progress=progress, holder=held_by)


def _progress(place: Layout) -> Unfinished | None:
    if not place.spool.exists():
        return None
    file = Disk().read_only(place.spool)
    try:
        spool = Spool(file)
        check_version(spool.heading, place.spool)
    finally:
        file.close()
    return Unfinished(
        asked=spool.heading["asked"],
        whole=spool.whole,
        rows=sum(segment.rows for segment in spool.segments),
        segments=len(spool.segments),
        left=tuple(gaps(spool.whole, spool.spans)) if spool.whole else (),
    )


def _told(manifest: Manifest) -> str:
    counts = manifest.counts
    missing = f", {len(manifest.missing)} span(s) missing" if manifest.missing else ""
    return f"{counts['rows']:,} rows in {counts['parts']} part(s), {counts['bytes']:,} bytes, {manifest.whole}{missing}"
