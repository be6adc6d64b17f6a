"""Read a finished result that an update starts from: its rows by place, its segments with their orders by status."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from threading import Lock

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from exporter import columns
from exporter.certify.spans import Span
from exporter.columns.arrays import whole
from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.result import Result
from exporter.store.finished import check_parts
from exporter.store.layout import Layout, check_name, published, unusable
from exporter.store.manifest import CommittedSegment, Manifest, loads

ByStatus = Counter[int | None]
"""Rows by status code; None: a label that no table knows."""


class OldResult:
    """A finished result. Any thread may read it, one at a time."""

    def __init__(self, layout: Layout, text: bytes) -> None:
        manifest, wrong = loads(text, path=layout.manifest)
        if wrong:
            raise CertificateError(f"{layout.manifest} was changed by hand or damaged: {'; '.join(wrong)}")
        self.layout = layout
        self.manifest: Manifest = manifest
        self.result = Result(
            out=layout.out,
            paths=tuple(layout.part(part.name) for part in manifest.parts),
            manifest=orjson.loads(text),
        )
        """The same, as all that reads results takes it."""
        self.sha256 = hashlib.sha256(text).hexdigest()
        """The checksum of its manifest, which stands for all of it."""
        self.schema = columns.schema(timezone=manifest.timezone, language=manifest.language)
        self._segments = {segment.span: segment for segment in manifest.segments}
        rows = [segment.rows for segment in manifest.segments]
        self._begins = dict(zip(self._segments, accumulate(rows, initial=0), strict=False))
        self._part_begins = list(accumulate((part.rows for part in manifest.parts), initial=0))
        self._group: tuple[int, int, pa.Table] | None = None
        self._lock = Lock()

    @classmethod
    def load(cls, out: Path) -> OldResult:
        """Return the complete result in OUT.

        Raise ConfigError if OUT holds no result, OutputError if it is unfinished, not complete or of a newer program,
        CertificateError if its manifest is damaged.
        """
        check_name(out)
        layout = Layout.of(out)
        with unusable(out):
            text = layout.manifest.read_bytes() if layout.manifest.is_file() and layout.out.exists() else None
            is_unfinished = layout.spool.exists()
        if text is None:
            if is_unfinished:
                raise OutputError(
                    f"{out} holds no finished export yet: it is unfinished", hint=f"`exporter run {out}` resumes it"
                )
            if os.path.lexists(layout.out):
                published(layout)  # says what it holds instead
            raise ConfigError(f"{out} holds no result", hint=f"`exporter run {out}` makes one")
        old = cls(layout, text)
        if not layout.is_file:
            published(layout)  # raises where other files are in it, or where it can't be replaced
        if not old.manifest.complete:
            raise OutputError(
                f"{out} holds an export that is not complete: what is missing in it can't be brought up to date",
                hint="export it again: `exporter run` with --overwrite replaces it",
            )
        return old

    def check_parts(self) -> None:
        """Raise CertificateError that names each part that is missing or not as it was written."""
        check_parts([(None, self.result)])

    @property
    def whole(self) -> Span:
        """The range that it covers."""
        return self.manifest.whole

    @property
    def rows(self) -> int:
        """The number of its orders."""
        return self.manifest.rows

    @property
    def segments(self) -> dict[Span, CommittedSegment]:
        """Its segments by span, in order of time."""
        return self._segments

    def begin_of(self, span: Span) -> int:
        """Return the place of the first row of a segment."""
        return self._begins[span]

    def read(self, span: Span) -> pa.Table:
        """Return the rows of a segment."""
        begin = self._begins[span]
        return self.slice(begin, begin + self._segments[span].rows)

    def slice(self, begin: int, end: int) -> pa.Table:
        """Return the rows from one place to another, the latter exclusive."""
        tables, at = [self.schema.empty_table()], begin
        with self._lock:
            while at < end:
                first, last, table = self._group_at(at)
                tables.append(table.slice(at - first, min(end, last) - at))
                at = min(end, last)
        return pa.concat_tables(tables).combine_chunks()

    def _group_at(self, place: int) -> tuple[int, int, pa.Table]:
        """Return the row group that holds a row: the places where it begins and ends, and its rows."""
        if self._group is None or not self._group[0] <= place < self._group[1]:
            number = bisect_right(self._part_begins, place) - 1
            with self._opened(number) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                begins = list(accumulate(sizes, initial=self._part_begins[number]))
                group = bisect_right(begins, place) - 1
                rows = file.read_row_group(group, columns=self.schema.names, use_threads=False)
                self._group = begins[group], begins[group + 1], rows.replace_schema_metadata(self.schema.metadata)
        return self._group

    def _opened(self, number: int) -> pq.ParquetFile:
        path = self.layout.part(self.manifest.parts[number].name)
        try:
            return pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise CertificateError(f"{path} can't be read: {error}") from error

    def by_status(self) -> dict[Span, ByStatus]:
        """Return the rows of each segment by status code, in one pass over one column."""
        found: dict[Span, ByStatus] = {}
        batches = self._codes()
        codes = next(batches, _NO_CODES)
        for span, segment in self._segments.items():
            counts: ByStatus = Counter()
            left = segment.rows
            while left:
                taken = codes.slice(0, left)
                counts.update(counts_by_status(taken))
                codes, left = codes.slice(len(taken)), left - len(taken)
                if not len(codes):
                    codes = next(batches, _NO_CODES)
                    if left and not len(codes):
                        raise CertificateError(f"{self.layout.out} has fewer rows than its certificates")
            found[span] = counts
        return found

    def _codes(self) -> Iterator[pa.Int8Array]:
        for number in range(len(self.manifest.parts)):
            with self._opened(number) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=["status_code"], use_threads=False)
                    if len(rows):
                        yield whole(rows["status_code"])


def counts_by_status(codes: pa.Array | pa.ChunkedArray) -> ByStatus:
    """Return the number of rows of each status code."""
    return Counter({entry["values"].as_py(): entry["counts"].as_py() for entry in codes.value_counts()})


_NO_CODES = pa.nulls(0, pa.int8())
