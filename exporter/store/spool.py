"""Keep committed segments on disk until they are in the result: one append-only file of checksummed frames.

A frame is a header (magic, length of the JSON, length of the rows, CRC-32 of all that), a JSON object, and the rows as
an Arrow IPC stream without its end mark. What the JSON holds:

    heading   the first frame: the version, what was asked, the schema; of an update, which result it `updates`
    whole     the range to be covered
    segment   a committed segment, which replaces an earlier one of the same span; the only frame with rows
    ready     the checksum of the manifest of the result that is about to be published

Another one is of a newer version, and the spool is left alone. What a crash tore at the end is cut off: it never
counted.
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
from exporter.store.disk import PRIVATE, Disk, File
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
        self.ready: str | None = None
        """SHA-256 of the manifest of the result that was made of these segments, once it is about to be published."""
        self.expected: int | None = None
        """The number of orders in the range, if the latest run learned it."""
        end = 0
        while frame := _frame_at(file, end):
            self._take(frame.value, end)
            end = frame.stop
        self.torn = file.tell() - end
        """Bytes at the end that are not a whole frame."""
        if not end:
            raise CertificateError(f"{file.path} is not a spool that can be read", hint="drop it with --fresh")

    def _take(self, value: Any, begin: int) -> None:
        """Take one frame of a file; raise OutputError if it is not one that this version writes."""
        try:
            match value:
                case {"heading": {"format": int(version), "asked": dict(), "schema": str()}} if not begin:
                    self.heading: dict[str, Any] = value["heading"]
                    if version > FORMAT:
                        raise _newer(self._file.path, f"is of version {version}; this program knows {FORMAT}")
                case {"heading": {"format": int(version)}} if not begin:
                    raise _newer(self._file.path, f"is of version {version}, with a heading that is not known")
                case {"whole": whole} if begin:
                    self.whole = span_from_json(whole)
                case {"segment": segment} if begin:
                    self._keep(CommittedSegment.from_json(segment), begin)
                case {"ready": str(digest)} if begin:
                    self.ready = digest
                case {"expected": int(orders)} if begin:
                    self.expected = orders
                case _:
                    raise _newer(self._file.path, f"has a record that is not known: {', '.join(value)}")
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise _newer(self._file.path, f"has a record that can't be read ({error})") from error

    @staticmethod
    def create(path: Path, disk: Disk, heading: Mapping[str, Any]) -> None:
        """Write a spool without segments."""
        disk.write_whole(path, b"".join(_packed({"heading": {"format": FORMAT, **heading}})), mode=PRIVATE)

    @property
    def updates(self) -> str | None:
        """SHA-256 of the manifest of the result that is being updated; None: a whole export is under way."""
        digest = self.heading.get("updates")
        return digest if isinstance(digest, str) else None

    @property
    def spans(self) -> list[Span]:
        """The spans of the segments, in order of time."""
        return list(self._spans)

    @property
    def segments(self) -> list[CommittedSegment]:
        """The segments, in order of time."""
        return [self._segments[span][0] for span in self._spans]

    def rows_of(self, span: Span) -> int:
        """Return how many rows a segment has."""
        return self._segments[span][0].rows

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

    def mark_ready(self, digest: str) -> None:
        """Record, durably, that a result whose manifest has this SHA-256 is made of the segments."""
        self._append({"ready": digest})
        self.sync()
        self.ready = digest

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


def _newer(path: Path, found: str) -> OutputError:
    return OutputError(
        f"{path} {found}; it is left alone",
        hint="use a newer version of the exporter, or drop what is unfinished with --fresh",
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
