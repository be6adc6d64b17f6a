"""Keep committed segments on disk until they are in the result: one append-only file of checksummed frames.

A frame is a header (magic, length of the JSON, length of the rows, CRC-32 of all that), a JSON object, and the rows as
an Arrow IPC stream without its end mark. The first frame's JSON is the `heading`: what was asked. A `whole` fixes the
range; any other frame is a `segment`, which replaces an earlier one of the same span. What a crash tore at the end is
cut off: it never counted.
"""

from __future__ import annotations

import struct
import time
import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from exporter.certify.spans import Span
from exporter.errors import CertificateError, DiskError, OutputError
from exporter.store.disk import Disk, File
from exporter.store.manifest import FORMAT, CommittedSegment, span_from_json, span_to_json

SYNC_ROWS = 65_536
SYNC_SECONDS = 1.0
"""After this number of rows, or of seconds since the last time, what was committed is made durable."""

_MAGIC = b"\xf4ORDERS\n"
_LENGTHS = struct.Struct("<8sIQ")
_HEADER_BYTES = _LENGTHS.size + 4  # and the checksum


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame's JSON, its rows, and where the next one begins."""

    value: dict[str, Any]
    rows: bytes
    stop: int


class Spool:
    """The committed segments of one export. `clock` counts seconds, for the grouping of syncs."""

    def __init__(self, file: File, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._segments: dict[Span, tuple[CommittedSegment, int]] = {}
        self._spans: list[Span] = []
        self._unsynced_rows = 0
        self._synced_at = clock()
        self._failure: DiskError | None = None
        self.whole: Span | None = None
        self.expected: int | None = None
        """How many orders the range has, as far as the latest run was told."""
        end = 0
        while frame := _frame_at(file, end):
            if "heading" in frame.value:
                self.heading: dict[str, Any] = frame.value["heading"]
            elif "whole" in frame.value:
                self.whole = span_from_json(frame.value["whole"])
            elif "expected" in frame.value:
                self.expected = frame.value["expected"]
            else:
                self._keep(CommittedSegment.from_json(frame.value["segment"]), end)
            end = frame.stop
        self.torn = file.tell() - end
        """Bytes at the end that are not a whole frame."""
        if not end:
            file.close()
            raise CertificateError(f"{file.path} is not a spool that can be read", hint="drop it with --fresh")

    @staticmethod
    def create(path: Path, disk: Disk, heading: Mapping[str, Any]) -> None:
        """Write a spool without segments."""
        disk.write_whole(path, b"".join(_packed({"heading": {"format": FORMAT, **heading}})))

    @property
    def spans(self) -> list[Span]:
        """The spans of the segments, in order of time."""
        return list(self._spans)

    @property
    def segments(self) -> list[CommittedSegment]:
        """The segments, in order of time."""
        return [self._segments[span][0] for span in self._spans]

    def starting_at(self, second: int) -> Span | None:
        """Return the span that starts there, if there is one."""
        at = bisect_left(self._spans, Span(second, second))
        return self._spans[at] if at < len(self._spans) and self._spans[at].start == second else None

    def __contains__(self, span: Span) -> bool:
        return span in self._segments

    def freeze(self, whole: Span) -> None:
        """Fix the range to be covered."""
        self._append({"whole": span_to_json(whole)})
        self.sync()
        self.whole = whole

    def expect(self, orders: int) -> None:
        """Record how many orders the range has; it is durable with the next segment."""
        if orders != self.expected:
            self._append({"expected": orders})
            self.expected = orders

    def add(self, segment: CommittedSegment, table: pa.Table) -> None:
        """Append a segment; sync if it is time to."""
        self._check(segment.span)
        rows = [table.schema.serialize(), *(batch.serialize() for batch in table.to_batches())]
        self._keep(segment, self._append({"segment": segment.to_json()}, rows))
        self._unsynced_rows += segment.rows
        if self._unsynced_rows >= SYNC_ROWS or self._clock() - self._synced_at >= SYNC_SECONDS:
            self.sync()

    def read(self, span: Span) -> pa.Table:
        """Return the rows of a segment."""
        frame = _frame_at(self._file, self._segments[span][1])
        if frame is None:
            raise DiskError(
                f"{self._file.path}: the rows of {span} were damaged after they were written",
                hint="check the disk, then run the same command again: what is damaged is exported again",
            )
        return pa.ipc.open_stream(frame.rows).read_all()

    def cut(self) -> None:
        """Cut off what is torn."""
        self._file.truncate(self._file.tell() - self.torn)
        self.torn = 0

    def sync(self) -> None:
        """Make what was added durable."""
        self._attempt(self._file.sync)
        self._unsynced_rows = 0
        self._synced_at = self._clock()

    def close(self) -> None:
        """Close the file; what was added is durable, unless the disk failed before. A second time does nothing."""
        try:
            if self._failure is None and not self._file.closed:
                self.sync()
        finally:
            self._file.close()

    def _append(self, value: Mapping[str, Any], rows: Sequence[pa.Buffer] = ()) -> int:
        """Append a frame; return its offset."""
        begin = self._file.tell()
        for piece in _packed(value, rows):
            self._attempt(self._file.write, piece)
        return begin

    def _attempt(self, action: Callable[..., object], *arguments: Any) -> None:
        """Do it unless the disk failed before: nothing good can follow a torn frame, or a sync that lost bytes."""
        if self._failure is not None:
            raise self._failure
        try:
            action(*arguments)
        except DiskError as error:
            self._failure = error
            raise

    def _keep(self, segment: CommittedSegment, begin: int) -> None:
        if segment.span not in self._segments:
            insort(self._spans, segment.span)
        self._segments[segment.span] = segment, begin

    def _check(self, span: Span) -> None:
        if span in self._segments:
            return
        at = bisect_left(self._spans, span)
        around = self._spans[max(at - 1, 0) : at + 1]
        if any(other.start < span.stop and span.start < other.stop for other in around):
            raise ValueError(f"{span} overlaps with what is committed: {', '.join(map(str, around))}")


def check_version(heading: Mapping[str, Any], path: Path) -> None:
    """Raise OutputError if a newer program wrote the spool."""
    if heading["format"] > FORMAT:
        raise OutputError(
            f"{path} is of version {heading['format']}; this program knows {FORMAT} and leaves it alone",
            hint="use a newer version of the exporter",
        )


def _packed(value: Mapping[str, Any], rows: Sequence[pa.Buffer] = ()) -> list[Any]:
    text = orjson.dumps(value)
    lengths = _LENGTHS.pack(_MAGIC, len(text), sum(map(len, rows)))
    return [lengths + _checksum(lengths, text, *rows) + text, *rows]


def _frame_at(file: File, begin: int) -> _Frame | None:
    """Return the frame that begins there, or None if it is not whole."""
    header = file.read_at(begin, _HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        return None
    lengths, checksum = header[: _LENGTHS.size], header[_LENGTHS.size :]
    magic, text_bytes, row_bytes = _LENGTHS.unpack(lengths)
    middle = begin + _HEADER_BYTES + text_bytes
    if magic != _MAGIC or middle + row_bytes > file.tell():
        return None
    text, rows = file.read_at(begin + _HEADER_BYTES, text_bytes), file.read_at(middle, row_bytes)
    return _Frame(orjson.loads(text), rows, middle + row_bytes) if checksum == _checksum(lengths, text, rows) else None


def _checksum(*pieces: Any) -> bytes:
    value = 0
    for piece in pieces:
        value = zlib.crc32(piece, value)
    return value.to_bytes(4, "little")
