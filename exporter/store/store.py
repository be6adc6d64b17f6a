"""Run the disk side of one export: open or resume the work, commit segments, publish the result."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span, gaps
from exporter.errors import DiskError
from exporter.store.disk import Disk
from exporter.store.layout import Layout, check_name
from exporter.store.lock import Lock
from exporter.store.manifest import CommittedSegment, Manifest, Part, as_json
from exporter.store.part_feeder import PartFeeder
from exporter.store.parts import PartWriter
from exporter.store.publish import recover
from exporter.store.row_budget import RowBudget
from exporter.store.run_facts import RunFacts
from exporter.store.spool import Spool
from exporter.store.work_folder import (
    encoded,
    is_resumable,
    new_spool,
    release,
    take_work,
    unusable_is_a_config_error,
    wanted_result,
)


class Store:
    """The disk side of one export that is not finished. It blocks; one thread at a time may use it."""

    def __init__(
        self,
        layout: Layout,
        disk: Disk,
        *,
        lock: Lock,
        spool: Spool,
        schema: pa.Schema,
        compression: str,
        parts_executor: Executor,
        budget: RowBudget,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._lock = lock
        self._spool = spool
        self._schema = schema
        self._compression = compression
        self._parts_executor = parts_executor
        self._budget = budget
        self._feeder: PartFeeder | None = None
        self.closed = False
        """Whether the lock is released."""
        self.query: Mapping[str, Any] = spool.heading["asked"]
        """The query as its first run recorded it."""
        self.notices: list[str] = []
        """What a user should read about how the work is resumed."""
        if spool.torn:
            self.notices.append(f"{layout.spool}: cut off {spool.torn} bytes that a crash left incomplete")
            spool.cut()

    @classmethod
    def open(
        cls,
        out: Path,
        query: Mapping[str, Any],
        *,
        schema: pa.Schema,
        whole: Span | None,
        compression: str,
        parts_executor: Executor,
        budget: RowBudget | None = None,
        fresh: bool = False,
        overwrite: bool = False,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Store | Manifest:
        """Lock OUT and resume the unfinished export of this query, or begin it; first complete a publication.

        Return the manifest instead if OUT holds the complete result of this query already. `whole` is the range as
        asked, None for an open end; `freeze` fixes what of it is covered. `parts_executor` writes the parts, one thing
        at a time and in order; `budget` bounds the rows that wait for it, over all stores that share it. Raise
        ConfigError if OUT can't be used, OutputError if it belongs to another run, another query or a newer program, or
        holds a finished result that this run would replace.
        """
        check_name(out)
        layout, disk, query = Layout.of(out), disk or Disk(), as_json(query)
        if not os.path.lexists(layout.work):
            finished = wanted_result(layout, query, whole=whole, overwrite=overwrite)
            if finished is not None:
                return finished
        with ExitStack() as undo, unusable_is_a_config_error():
            lock, spool, _ = take_work(undo, layout, disk, fresh=fresh, clock=clock)
            finished = wanted_result(layout, query, whole=whole, overwrite=overwrite)
            if finished is not None:
                return finished
            heading = {"asked": query, "schema": encoded(schema)}
            if fresh or spool is None or not is_resumable(spool, layout, heading):
                spool = new_spool(undo, layout, disk, heading, clock=clock)
            store = cls(
                layout,
                disk,
                lock=lock,
                spool=spool,
                schema=schema,
                compression=compression,
                parts_executor=parts_executor,
                budget=budget or RowBudget(),
            )
            if store.whole is not None:
                store._start_feeder(store.whole)
            undo.pop_all()
            return store

    def expect(self, orders: int) -> None:
        """Record how many orders the range has, for `status`; it is durable with the next segment."""
        self._spool.expect(orders)

    @property
    def whole(self) -> Span | None:
        """The whole range to be covered, None until its end is frozen."""
        return self._spool.whole

    def freeze(self, whole: Span) -> None:
        """Fix the range to be covered, for this run and those that resume it."""
        if self.whole is not None:
            raise ValueError(f"the range is fixed to {self.whole} already")
        self._spool.freeze(whole)
        self._start_feeder(whole)

    def _start_feeder(self, whole: Span) -> None:
        self._feeder = PartFeeder(
            self._spool,
            start=whole.start,
            new_writer=self._new_writer,
            executor=self._parts_executor,
            budget=self._budget,
        )
        self._feeder.advance()

    def _new_writer(self) -> PartWriter:
        self._disk.remove_tree(self._layout.result)
        return self._writer_from(0)

    def _writer_from(self, number: int) -> PartWriter:
        """Return a writer whose first part has this number."""
        return PartWriter(
            self._layout.result,
            self._disk,
            schema=self._schema,
            query=self.query,
            compression=self._compression,
            single=self._layout.out.name if self._layout.is_file else None,
            number=number,
        )

    @property
    def certificates(self) -> list[Certificate]:
        """What is committed, in order of time; the spans are disjoint."""
        return [segment.certificate for segment in self._spool.segments]

    def commit(self, certificate: Certificate, table: pa.Table) -> None:
        """Take a certified segment, its rows in the result's order; it replaces an earlier one of the same span.

        It is durable once the spool is synced: after every 65,536 rows, after a second, or with `sync`.
        """
        if self.whole is None:
            raise ValueError("freeze the range before you commit")
        if len(table) != certificate.rows:
            raise ValueError(f"{certificate.span}: {len(table)} rows came with a certificate for {certificate.rows}")
        self._lock.check()
        replaces = certificate.span in self._spool
        with self._lost_folder_is_the_cause():
            self._spool.add(CommittedSegment(certificate=certificate, repeated=columns.repeated(table)), table)
            if self._feeder is None:
                return
            if replaces:
                self._feeder.restart_for(certificate.span)
            self._feeder.advance(certificate.span, table)

    @contextmanager
    def _lost_folder_is_the_cause(self) -> Iterator[None]:
        """Report that the work folder was removed, rather than what failed in it then."""
        try:
            yield
        except DiskError:
            self._lock.check()
            raise

    def read(self, span: Span) -> pa.Table:
        """Return the rows of a committed segment."""
        return self._spool.read(span)

    def sync(self) -> None:
        """Make all that is committed durable."""
        self._spool.sync()

    def finish(self, facts: RunFacts, *, missing: Sequence[Span] = ()) -> Manifest:
        """Close the parts, write the manifest with the run's facts, publish the result as OUT, remove the work.

        `missing` are the spans without certificate: committed segments and they must cover the whole range.
        """
        whole, spans = self.whole, self._spool.spans
        if whole is None or self._feeder is None or (left := gaps(whole, [*spans, *missing])):
            raise ValueError(f"these spans are not committed: {', '.join(map(str, left if whole else []))}")
        segments = tuple(self._spool.segments)
        with self._lost_folder_is_the_cause():
            self._lock.check()
            parts = self._feeder.finish()
            self._lock.check()
            manifest = self._manifest(facts, whole, segments, parts)
            self._publish(manifest.dumps())
        self.close()
        return manifest

    def _manifest(
        self, facts: RunFacts, whole: Span, segments: tuple[CommittedSegment, ...], parts: Sequence[Part]
    ) -> Manifest:
        metadata = self._schema.metadata or {}
        return Manifest(
            query=self.query,
            whole=whole,
            timezone=self._schema.field("created_at").type.tz,
            language=metadata.get(b"exporter.language", b"en").decode(),
            base_url=self.query.get("base_url"),
            segments=segments,
            missing=tuple(gaps(whole, [segment.span for segment in segments])),
            parts=tuple(parts),
            run=facts,
        )

    def _publish(self, manifest: bytes) -> None:
        digest = hashlib.sha256(manifest).hexdigest()
        self._spool.mark_ready(digest)
        self._spool.close()
        self._disk.write_whole(self._layout.ready, manifest)
        recover(self._layout, self._disk, self._lock, digest=digest)

    def close(self) -> None:
        """Release the lock and leave the work as it is; a second time, or after `finish`, does nothing."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._feeder is not None:
                self._feeder.stop()
            self._spool.close()
        finally:
            release(self._layout, self._disk, self._lock)
