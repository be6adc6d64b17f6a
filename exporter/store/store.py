"""Run the disk side of one export: open or resume the work, commit segments, publish the result."""

from __future__ import annotations

import errno
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span, gaps
from exporter.errors import ConfigError, DiskError, OutputError
from exporter.store.disk import Disk
from exporter.store.layout import Layout, lacking, standing
from exporter.store.lock import Lock
from exporter.store.manifest import CommittedSegment, Manifest, differences, plain
from exporter.store.part_feeder import Feed
from exporter.store.parts import PartWriter
from exporter.store.publish import leave, recover, swap
from exporter.store.spool import Spool, check_version
from exporter.vendor.orders import wire_time

_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
)


class Store:
    """The disk's side of one export. It blocks; one thread at a time may use it."""

    def __init__(self, place: Layout, disk: Disk, *, finished: Manifest | None) -> None:
        self._place = place
        self._disk = disk
        self.finished = finished
        """The manifest, if OUT holds the complete result of this query already; then nothing else is of use here."""
        self.asked: dict[str, Any] = {}
        """The query as the first run of it wrote it down."""
        self.notices: list[str] = []
        """What a user should read about how work goes on."""
        self._lock: Lock | None = None

    @classmethod
    def open(
        cls,
        out: Path,
        asked: Mapping[str, Any],
        *,
        schema: pa.Schema,
        whole: Span | None,
        compression: str,
        fresh: bool = False,
        overwrite: bool = False,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Store:
        """Lock OUT and go on with the unfinished export of this query, or begin it; finish an interrupted swap first.

        `whole` is None for an open end. Raise ConfigError if OUT can't be used, OutputError if it is another's: another
        run's, another query's, a newer program's, or a finished result that this run would replace.
        """
        place, disk, query = Layout.of(out), disk or Disk(), plain(asked)
        if not place.work.exists():
            finished = _finished(place, query, whole=whole, overwrite=overwrite)
            if finished is not None:
                return cls(place, disk, finished=finished)
        lock = _take_lock(place, disk)
        try:
            recover(place, disk)
            store = cls(place, disk, finished=_finished(place, query, whole=whole, overwrite=overwrite))
            if store.finished is None:
                store._begin(lock, query, schema, whole=whole, compression=compression, fresh=fresh, clock=clock)
                return store
        except BaseException:
            _let_go(place, disk, lock)
            raise
        _let_go(place, disk, lock)
        return store

    def _begin(
        self,
        lock: Lock,
        query: Mapping[str, Any],
        schema: pa.Schema,
        *,
        whole: Span | None,
        compression: str,
        fresh: bool,
        clock: Callable[[], float],
    ) -> None:
        spool_path = self._place.spool
        if fresh:
            self._disk.unlink(spool_path)
        if not spool_path.exists():
            encoded = b64encode(schema.serialize()).decode()
            Spool.create(spool_path, self._disk, {"asked": query, "schema": encoded})
        self._schema = schema
        self._compression = compression
        self._lock = lock
        self._feed: Feed | None = None
        self._spool = Spool(self._disk.append(spool_path), clock=clock)
        try:
            self._go_on(query)
            if self.whole is not None:
                self._start_feed(self.whole)
            elif whole is not None:
                self.freeze(whole)
        except BaseException:
            self._spool.close()
            raise

    def _go_on(self, query: Mapping[str, Any]) -> None:
        heading = self._spool.heading
        check_version(heading, self._place.spool)
        self.asked = heading["asked"]
        differing = differences(self.asked, query)
        if heading["schema"] != b64encode(self._schema.serialize()).decode():
            differing.append("its columns are those of another version of this program")
        if differing:
            raise OutputError(
                f"{self._place.out} has an unfinished export of another query: {'; '.join(differing)}",
                hint="ask for the same again to go on, choose another OUT, or drop what is unfinished with --fresh",
            )
        if self._spool.torn:
            self.notices.append(f"{self._place.spool}: cut off {self._spool.torn} bytes that a crash left incomplete")
            self._spool.cut()

    @property
    def whole(self) -> Span | None:
        """The whole range to be covered, None until an open end is frozen."""
        return self._spool.whole

    def freeze(self, whole: Span) -> None:
        """Fix the range to be covered, for this run and those that go on with it."""
        if self.whole is not None:
            raise ValueError(f"the range is fixed to {self.whole} already")
        self._spool.freeze(whole)
        self._start_feed(whole)

    def _start_feed(self, whole: Span) -> None:
        self._feed = Feed(self._spool, whole.start, self._new_writer)
        self._feed.advance()

    def _new_writer(self) -> PartWriter:
        self._disk.remove_tree(self._place.result)
        return PartWriter(
            self._place.result,
            self._disk,
            schema=self._schema,
            query=self.asked,
            compression=self._compression,
            single=self._place.out.name if self._place.is_file else None,
        )

    @property
    def certificates(self) -> list[Certificate]:
        """What is committed, in order of time; the spans are disjoint."""
        return [segment.certificate for segment in self._spool.segments]

    def commit(self, certificate: Certificate, table: pa.Table) -> None:
        """Take a certified segment, its rows in the result's order, in place of an earlier one of the same span.

        It lasts once the spool is synced: after every 65,536 rows, after a second, or with `sync`.
        """
        if self._feed is None:
            raise ValueError("freeze the range before you commit")
        if len(table) != certificate.rows:
            raise ValueError(f"{certificate.span}: {len(table)} rows came with a certificate for {certificate.rows}")
        replaces = certificate.span in self._spool
        self._spool.add(CommittedSegment(certificate=certificate, repeated=columns.repeated(table)), table)
        if replaces:
            self._feed.restart_for(certificate.span)
        self._feed.advance(certificate.span, table)

    def read(self, span: Span) -> pa.Table:
        """Return the rows of a committed segment."""
        return self._spool.read(span)

    def sync(self) -> None:
        """Make all that is committed last."""
        self._spool.sync()

    def finish(self, facts: Mapping[str, Any], *, missing: Sequence[Span] = ()) -> Manifest:
        """Close the parts, write the manifest with the run's `facts`, swap the result into OUT, remove the work.

        `missing` are the spans without certificate: committed segments and they must cover the whole range.
        """
        whole, spans = self.whole, self._spool.spans
        if whole is None or self._feed is None or (left := gaps(whole, [*spans, *missing])):
            raise ValueError(f"these spans are not committed: {', '.join(map(str, left if whole else []))}")
        segments = tuple(self._spool.segments)
        parts = self._feed.finish()
        self._spool.close()
        metadata = self._schema.metadata or {}
        manifest = Manifest(
            query=self.asked,
            whole=whole,
            timezone=self._schema.field("created_at").type.tz,
            language=metadata.get(b"exporter.language", b"en").decode(),
            base_url=self.asked.get("base_url"),
            segments=segments,
            missing=tuple(gaps(whole, spans)),
            parts=tuple(parts),
            run=plain(facts),
        )
        self._disk.write_whole(self._place.ready, manifest.dumps())
        swap(self._place, self._disk)
        recover(self._place, self._disk)
        self.close()
        return manifest

    def close(self) -> None:
        """Let go of the lock and leave the work as it is; a second time, or after `finish`, does nothing."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        try:
            if self._feed is not None:
                self._feed.stop()
            self._spool.close()
        finally:
            _let_go(self._place, self._disk, lock)


def _take_lock(place: Layout, disk: Disk) -> Lock:
    try:
        for folder in (*reversed(place.work.parents), place.work):
            disk.make_folder(folder)
        return Lock.take(place.lock, disk)
    except DiskError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _UNUSABLE:
            raise ConfigError(str(error), hint=error.hint) from error
        raise


def _let_go(place: Layout, disk: Disk, lock: Lock) -> None:
    try:
        leave(place, disk)
    finally:
        lock.release()


def _finished(place: Layout, query: Mapping[str, Any], *, whole: Span | None, overwrite: bool) -> Manifest | None:
    """Return the manifest of what stands in OUT if it is what this query wants; raise OutputError if it is not."""
    manifest = standing(place)
    if manifest is None or overwrite:
        return None
    if differing := differences(manifest.query, query):
        problem = f"holds the result of another query: {'; '.join(differing)}"
    elif whole is None:
        problem = f"holds a finished export up to {wire_time(manifest.whole.stop - 1)}; there may be more orders by now"
    elif not manifest.complete:
        problem = "holds an export that is not complete"
    elif lost := lacking(place, manifest):
        problem = f"holds a damaged result: {', '.join(lost)} is missing or of another size"
    else:
        return manifest
    raise OutputError(
        f"{place.out} {problem}",
        hint="--overwrite replaces it once the new export is complete; or choose another OUT",
    )
