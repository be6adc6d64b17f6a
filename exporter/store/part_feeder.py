"""Write committed segments as parts, in order of time, in a thread of its own, while the export goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa

from exporter.certify.spans import Span
from exporter.store.manifest import Part
from exporter.store.parts import PartWriter
from exporter.store.spool import Spool

IN_MEMORY = 4
"""Segments whose rows may wait in line; those of further ones are read back from the spool."""


NICENESS = 5
"""Where both cores are busy, segments that the line waits for are judged before parts are written."""


def _step_back() -> None:
    """Let the other threads go first, where this is said of one thread and not of the process."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(NICENESS)


class Feed:
    """The way of committed segments to the parts."""

    def __init__(self, spool: Spool, begin: int, new_writer: Callable[[], PartWriter]) -> None:
        self._spool = spool
        self._begin = begin
        self._new_writer = new_writer
        self._start()

    def _start(self) -> None:
        self._next = self._begin
        self._sent = self._written = 0
        self._failure: Exception | None = None
        self._writer = self._new_writer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parts", initializer=_step_back)

    def advance(self, span: Span | None = None, rows: pa.Table | None = None) -> None:
        """Send on what is committed without a gap from the begin; raise what went wrong with earlier ones.

        `rows` are those of `span`, the segment that was committed last.
        """
        self._check()
        while following := self._spool.starting_at(self._next):
            self._send(following, rows if following == span else None)

    def restart_for(self, span: Span) -> None:
        """Begin again from the start if the rows of a span that was sent have been replaced."""
        if span.start < self._next:
            self.stop()
            self._start()

    def finish(self) -> list[Part]:
        """Send all that is left, whatever gaps there are, and return the parts."""
        for span in self._spool.spans:
            if span.start >= self._next:
                self._send(span)
        self._thread.shutdown()
        self._check()
        return self._writer.finish()

    def stop(self) -> None:
        """Give up what is being written; wait for the thread to end."""
        self._thread.shutdown(cancel_futures=True)
        self._writer.abandon()

    def _send(self, span: Span, rows: pa.Table | None = None) -> None:
        waiting = self._sent - self._written
        self._thread.submit(self._write, span, rows if waiting < IN_MEMORY else None)
        self._sent += 1
        self._next = span.stop

    def _write(self, span: Span, rows: pa.Table | None) -> None:
        if self._failure is None:
            try:
                self._writer.add(self._spool.read(span) if rows is None else rows)
            except Exception as error:  # noqa: BLE001 - it is raised where the next segment is committed
                self._failure = error
        self._written += 1

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
