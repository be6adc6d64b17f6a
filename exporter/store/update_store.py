"""Run the disk side of an update: segments of the old result that still stand, and those that were certified anew.

The spool holds the latter alone. What is kept stays where it is, in the parts of the old result, until the new one is
written: parts before the first difference get a second name, the others are written again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from exporter.certify.judge import Certificate
from exporter.certify.spans import Span, gaps
from exporter.errors import OutputError
from exporter.result import Diff, Result
from exporter.store import parts
from exporter.store.diff import diff
from exporter.store.disk import Disk
from exporter.store.layout import Layout
from exporter.store.manifest import CommittedSegment, Confirmed, Manifest, Part, as_json, span_to_json
from exporter.store.old_result import OldResult
from exporter.store.row_budget import RowBudget
from exporter.store.run_facts import RunFacts
from exporter.store.spool import Spool
from exporter.store.store import Store
from exporter.store.work_folder import differing_work, encoded, new_spool, take_work, unusable_is_a_config_error

Compare = Callable[[Callable[[Callable[[pa.Table], None]], Diff], Result, Result], Diff]
"""Called with what makes the comparison, to be given a place for the orders that differ, and with its two sides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A segment of the new result, and where its rows are in it."""

    segment: CommittedSegment
    begin: int
    kept: bool

    @property
    def end(self) -> int:
        return self.begin + self.segment.rows


class UpdateStore(Store):
    """The disk side of one update. It blocks; one thread at a time may use it, others may read."""

    old: OldResult

    @classmethod
    def open_update(
        cls,
        old: OldResult,
        query: Mapping[str, Any],
        *,
        parts_executor: Executor,
        fresh: bool = False,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> UpdateStore:
        """Lock OUT, which holds the old result, and resume its unfinished update, or begin one.

        Raise OutputError if OUT is in use, if something else is unfinished there, or if another update is.
        """
        layout, disk, query = old.layout, disk or Disk(), as_json(query)
        heading = {"asked": query, "schema": encoded(old.schema), "updates": old.sha256}
        with ExitStack() as undo, unusable_is_a_config_error():
            lock, spool, done = take_work(undo, layout, disk, fresh=fresh, clock=clock)
            if done or OldResult.load(layout.out).sha256 != old.sha256:
                raise OutputError(f"{layout.out} was replaced just now", hint="run the same command again")
            notices = []
            if spool is not None and not fresh:
                notices = _refuse_others(spool, layout, heading)
            if fresh or notices or spool is None or spool.updates is None or differing_work(spool, heading):
                spool = new_spool(undo, layout, disk, heading, clock=clock)
            store = cls(
                layout,
                disk,
                lock=lock,
                spool=spool,
                schema=old.schema,
                compression=query["compression"],
                parts_executor=parts_executor,
                budget=RowBudget(0),
            )
            store.notices += notices
            store.old = old
            store._dropped = set()
            undo.pop_all()
            return store

    _dropped: set[Span]

    def freeze(self, whole: Span) -> None:
        """Fix the range to be covered, for this update and those that resume it."""
        if self.whole is not None:
            raise ValueError(f"the range is fixed to {self.whole} already")
        self._spool.freeze(whole)

    @property
    def kept(self) -> list[CommittedSegment]:
        """The segments of the old result that stand: not dropped, and nothing of them certified anew."""
        fresh = self._spool.spans
        found, at = [], 0
        for span, segment in self.old.segments.items():
            while at < len(fresh) and fresh[at].stop <= span.start:
                at += 1
            touched = at < len(fresh) and fresh[at].start < span.stop
            if not touched and span not in self._dropped:
                found.append(segment)
        return found

    def drop(self, spans: Iterable[Span]) -> None:
        """Keep these segments of the old result no longer: they are to be certified anew."""
        self._dropped.update(spans)

    @property
    def fresh(self) -> list[CommittedSegment]:
        """The segments that this update certified, in order of time."""
        return self._spool.segments

    @property
    def certificates(self) -> list[Certificate]:
        """What is kept and what is certified anew, in order of time; the spans are disjoint."""
        return [segment.certificate for segment in self._segments()]

    def _segments(self) -> list[CommittedSegment]:
        return sorted([*self.kept, *self.fresh], key=lambda segment: segment.span)

    def read(self, span: Span) -> pa.Table:
        """Return the rows of a segment, kept or certified anew."""
        return self._spool.read(span) if span in self._spool else self.old.read(span)

    def close(self) -> None:
        """Release the lock; leave the work as it is, unless nothing was certified yet."""
        begun = self._spool.spans or self._spool.ready is not None
        if not (self.closed or begun) and self._lock.is_in_place:
            self._spool.close()
            self._disk.unlink(self._layout.spool)
        super().close()

    def finish_update(
        self,
        facts: RunFacts,
        *,
        confirmed: Mapping[Span, Confirmed],
        missing: Sequence[Span] = (),
        compare: Compare = lambda make, _old, _new: make(lambda _: None),
    ) -> tuple[Manifest, Diff]:
        """Write the parts and the manifest, publish the result in place of the old one, remove the work.

        `confirmed` says of each kept segment when and how it was confirmed; `compare` takes the orders that differ
        before anything is replaced. Return the manifest, and what differs.
        """
        segments = [replace(one, confirmed=confirmed.get(one.span, one.confirmed)) for one in self._segments()]
        whole = self.whole
        if whole is None or (left := gaps(whole, [*(one.span for one in segments), *missing])):
            raise ValueError(f"these spans are not covered: {', '.join(map(str, left if whole else []))}")
        with self._lost_folder_is_the_cause():
            self._lock.check()
            reused, written = self._write(segments)
            self._lock.check()
            found = self._compare(compare, reused, written)
            facts = replace(facts, added=found.added, changed=found.changed, vanished=found.vanished)
            manifest = self._manifest(facts, whole, tuple(segments), [*reused, *written])
            self._publish(manifest.dumps())
        self.close()
        return manifest, found

    def _write(self, segments: Sequence[CommittedSegment]) -> tuple[list[Part], list[Part]]:
        """Give the parts before the first difference a second name, write the others; return both."""
        layout, disk, old = self._layout, self._disk, self.old
        pieces = list(_placed(segments, fresh=self._spool))
        rows = pieces[-1].end if pieces else 0
        reused = list(self._reusable(pieces, rows))
        begin = sum(part.rows for part in reused)
        disk.remove_tree(layout.result)
        disk.make_folder(layout.result)
        for part in reused:
            disk.link_or_copy(layout.part(part.name), layout.result / part.name)
        if reused and begin == rows:
            return reused, []
        writer = self._writer_from(len(reused))
        try:
            for piece in pieces:
                if piece.end > begin:
                    skipped = max(0, begin - piece.begin)
                    if piece.kept:
                        place = old.begin_of(piece.segment.span)
                        writer.add(old.slice(place + skipped, place + piece.segment.rows))
                    else:
                        writer.add(self._spool.read(piece.segment.span).slice(skipped))
            return reused, writer.finish()
        except BaseException:
            writer.abandon()
            raise

    def _reusable(self, pieces: Sequence[_Piece], rows: int) -> Iterator[Part]:
        """Yield the old parts before the first difference that the new result has, byte for byte."""
        old, single = self.old, self._layout.is_file
        if dict(self.query) != dict(old.manifest.query):
            return  # each part says what was asked
        same, end = self._rows_alike(pieces), 0
        for part in old.manifest.parts:
            end += part.rows
            is_last = end == rows == old.rows
            name = self._layout.out.name if single else part.name
            if end > same or not (is_last or (part.rows == parts.PART_ROWS and not single)) or part.name != name:
                return
            yield part

    def _rows_alike(self, pieces: Sequence[_Piece]) -> int:
        """Return how many rows are the same as in the old result, up to the segment in which one differs."""
        old, same = self.old, 0
        for piece in pieces:
            if piece.kept:
                alike = old.begin_of(piece.segment.span) == piece.begin
            else:
                rows = self._spool.read(piece.segment.span)
                alike = piece.end <= old.rows and rows.equals(old.slice(piece.begin, piece.end))
            if not alike:
                break
            same = piece.end
        return same

    def _compare(self, compare: Compare, reused: Collection[Part], written: Sequence[Part]) -> Diff:
        """Compare the old result with the new one, without the parts that both have."""
        old, layout = self.old, self._layout
        left = [part for part in old.manifest.parts if part not in reused]
        before = _part_of_a_result(old.manifest, left, [layout.part(part.name) for part in left])
        after = _part_of_a_result(
            replace(old.manifest, query=self.query), written, [layout.result / part.name for part in written]
        )

        def make(write: Callable[[pa.Table], None]) -> Diff:
            return diff([(None, before)], [(None, after)], write=write, keep=0)

        return compare(make, before, after)


def finish_interrupted(out: Path, *, disk: Disk | None = None) -> Manifest | None:
    """Complete the publication of an update that was interrupted, and return its manifest; None if there is none."""
    layout, disk = Layout.of(out), disk or Disk()
    if not layout.spool.exists():
        return None
    with ExitStack() as undo, unusable_is_a_config_error():
        *_, done = take_work(undo, layout, disk, fresh=False, clock=time.monotonic)
        if not done:
            return None
    manifest = OldResult.load(out).manifest
    return manifest if manifest.run.added is not None else None


def _refuse_others(spool: Spool, layout: Layout, heading: Mapping[str, Any]) -> list[str]:
    """Raise OutputError if a spool with segments is not of this update.

    Return a notice if it is of an update of a result that has been replaced since: it is dropped.
    """
    if not spool.spans:
        return []
    if spool.updates is None:
        raise OutputError(
            f"{layout.out} has an unfinished export, which would replace the result",
            hint="finish it: `exporter run` with --overwrite; or drop what is unfinished with --fresh",
        )
    if spool.updates != heading["updates"]:
        return [f"{layout.out} was replaced since its unfinished update began: the update begins anew"]
    if differing := differing_work(spool, heading):
        raise OutputError(
            f"{layout.out} has another unfinished update: {'; '.join(differing)}",
            hint="give the same options again to resume it, or drop what is unfinished with --fresh",
        )
    return []


def _placed(segments: Sequence[CommittedSegment], *, fresh: Spool) -> Iterator[_Piece]:
    begin = 0
    for segment in segments:
        yield _Piece(segment=segment, begin=begin, kept=segment.span not in fresh)
        begin += segment.rows


def _part_of_a_result(manifest: Manifest, listed: Sequence[Part], paths: Sequence[Path]) -> Result:
    """Return some parts of a result as one, to be compared."""
    facts = {
        **{name: getattr(manifest, name) for name in ("query", "timezone", "language")},
        "range": span_to_json(manifest.whole),
        "parts": [asdict(part) for part in listed],
        "missing": [],
        "run": {},
    }
    return Result(out=Path(), paths=tuple(paths), manifest=facts)
