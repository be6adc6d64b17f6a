"""Hand committed segments on to the parts, in order of time, in another thread, while the export continues.

Segments are handed on a row group at a time. Until then their rows wait: in memory while the budget that all exports of
the process share allows it, else in the spool, from which they are read back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field

import pyarrow as pa

from exporter.certify.spans import Span
from exporter.store import parts
from exporter.store.manifest import Part
from exporter.store.parts import PartWriter
from exporter.store.row_budget import RowBudget
from exporter.store.spool import Spool

BATCHES = 2
"""Batches that may wait for the thread with their rows in memory; further ones are read back from the spool."""


@dataclass(slots=True)
class _Batch:
    """Consecutive segments that go to the writer together; the rows of some may be held in memory."""

    spans: list[Span] = field(default_factory=list)
    held: dict[Span, pa.Table] = field(default_factory=dict)
    rows: int = 0


class PartFeeder:
    """Feeds a part writer from a spool. `executor` does one thing at a time, in the order of submission."""

    def __init__(
        self,
        spool: Spool,
        *,
        start: int,
        new_writer: Callable[[], PartWriter],
        executor: Executor,
        budget: RowBudget,
    ) -> None:
        self._spool = spool
        self._start = start
        self._new_writer = new_writer
        self._executor = executor
        self._budget = budget
        self._begin()

    def _begin(self) -> None:
        self._next = self._start
        self._batch = _Batch()
        self._submitted: list[tuple[Future[None], _Batch]] = []
        self._failure: Exception | None = None
        self._writer = self._new_writer()

    def advance(self, span: Span | None = None, rows: pa.Table | None = None) -> None:
        """Take what is committed without a gap from the start; raise what went wrong with earlier segments.

        `rows` are those of `span`, the segment that was committed last.
        """
        self._check()
        while following := self._spool.starting_at(self._next):
            self._add(following, rows if following == span else None)

    def restart_for(self, span: Span) -> None:
        """Begin anew if the rows of a span that was taken have been replaced."""
        if span.start < self._next:
            self.stop()
            self._begin()

    def finish(self) -> list[Part]:
        """Take all that is left, whatever gaps there are, and return the parts."""
        for span in self._spool.spans:
            if span.start >= self._next:
                self._add(span)
        self._submit()
        wait([future for future, _ in self._submitted])
        self._check()
        return self._writer.finish()

    def stop(self) -> None:
        """Give up what is being written; wait for the batch under way."""
        for future, batch in self._submitted:
            if future.cancel():
                self._release(batch)
        wait([future for future, _ in self._submitted])
        self._release(self._batch)
        self._writer.abandon()

    def _add(self, span: Span, rows: pa.Table | None = None) -> None:
        batch = self._batch
        batch.spans.append(span)
        batch.rows += self._spool.rows_of(span)
        if rows is not None and len(self._submitted) < BATCHES and self._budget.take(len(rows)):
            batch.held[span] = rows
        self._next = span.stop
        if batch.rows >= parts.GROUP_ROWS:
            self._submit()

    def _submit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        self._submitted = [(future, sent) for future, sent in self._submitted if not future.done()]
        self._submitted.append((self._executor.submit(self._write, batch), batch))

    def _write(self, batch: _Batch) -> None:
        try:
            for span in batch.spans:
                if self._failure is None:
                    rows = batch.held.get(span)
                    self._writer.add(self._spool.read(span) if rows is None else rows)
        except Exception as error:  # noqa: BLE001 - it is raised where the next segment is committed
            self._failure = error
        finally:
            self._release(batch)

    def _release(self, batch: _Batch) -> None:
        self._budget.give_back(sum(map(len, batch.held.values())))
        batch.held.clear()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
