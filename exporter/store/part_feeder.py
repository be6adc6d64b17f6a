"""Hand committed segments on to the parts, in order of time, in another thread, while the export goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait

import pyarrow as pa

from exporter.certify.spans import Span
from exporter.store.manifest import Part
from exporter.store.parts import PartWriter
from exporter.store.spool import Spool

IN_MEMORY = 4
"""Segments whose rows may wait in memory; those of further ones are read back from the spool."""


class PartFeeder:
    """Feeds a part writer from a spool. `executor` does one thing at a time, in the order of submission."""

    def __init__(self, spool: Spool, *, start: int, new_writer: Callable[[], PartWriter], executor: Executor) -> None:
        self._spool = spool
        self._start = start
        self._new_writer = new_writer
        self._executor = executor
        self._begin()

    def _begin(self) -> None:
        self._next = self._start
        self._waiting: deque[Future[None]] = deque()
        self._failure: Exception | None = None
        self._writer = self._new_writer()

    def advance(self, span: Span | None = None, rows: pa.Table | None = None) -> None:
        """Submit what is committed without a gap from the start; raise what went wrong with earlier segments.

        `rows` are those of `span`, the segment that was committed last.
        """
        self._check()
        while following := self._spool.starting_at(self._next):
            self._submit(following, rows if following == span else None)

    def restart_for(self, span: Span) -> None:
        """Begin anew if the rows of a span that was submitted have been replaced."""
        if span.start < self._next:
            self.stop()
            self._begin()

    def finish(self) -> list[Part]:
        """Submit all that is left, whatever gaps there are, and return the parts."""
        for span in self._spool.spans:
            if span.start >= self._next:
                self._submit(span)
        wait(self._waiting)
        self._check()
        return self._writer.finish()

    def stop(self) -> None:
        """Give up what is being written; wait for the segment under way."""
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)
        self._writer.abandon()

    def _submit(self, span: Span, rows: pa.Table | None = None) -> None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        held = rows if len(self._waiting) < IN_MEMORY else None
        self._waiting.append(self._executor.submit(self._write, span, held))
        self._next = span.stop

    def _write(self, span: Span, rows: pa.Table | None) -> None:
        if self._failure is None:
            try:
                self._writer.add(self._spool.read(span) if rows is None else rows)
            except Exception as error:  # noqa: BLE001 - it is raised where the next segment is committed
                self._failure = error

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
