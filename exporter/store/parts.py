"""Write ordered rows as Parquet parts whose bytes depend on nothing but the rows, the schema and the query."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.store.disk import Disk, File
from exporter.store.manifest import FORMAT, Part
from exporter.vendor.orders import API_ZONE

PART_ROWS = 1_048_576
GROUP_ROWS = 131_072
ZSTD_LEVEL = 1
"""With the encodings below, level 3 takes a quarter longer and gives larger files (`benchmarks/store.py`)."""

WRITE_BYTES = 1 << 20
"""Parquet writes a page at a time, some 14 kB: each write would stop the event loop for a moment."""

QUERY_KEY = b"exporter.query"
FORMAT_KEY = b"exporter.manifest_format"
DIGEST_KEY = b"exporter.digest"
"""Keys of a part's file metadata: the query, the manifest's version, the digest of all bytes before the footer."""

_DICTIONARIES = (
    "type", "type_code", "status", "status_code", "product", "description", "total", "currency", "expired_seconds",
)  # fmt: skip
"""Columns of few values. Of 1M rows `description` saves 8% where it repeats, costs 1% where it never does; of `total`
it is 6% and 10%, and prices repeat."""

_DELTAS = ("created_at", "expired_at")
_ORDER = ("created_at", "order_id")


class PartWriter:
    """Cut a stream of tables into parts in a folder, or into one part named `single`.

    The parts are called `*.partial` until `finish`, so that no pattern for Parquet files finds them.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        *,
        schema: pa.Schema,
        query: Mapping[str, Any],
        compression: str,
        single: str | None,
        number: int = 0,
    ) -> None:
        """Take the `number` of the first part: those before it are there already."""
        self._folder = folder
        self._number = number
        self._disk = disk
        self._compression = compression
        self._single = single
        self._schema = schema.with_metadata(file_metadata(schema, query))
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._open: _OpenPart | None = None
        self._parts: list[Part] = []
        disk.make_folder(folder)

    def add(self, table: pa.Table) -> None:
        """Take the next rows; write full row groups."""
        self._waiting.append(table)
        self._waiting_rows += len(table)
        if self._waiting_rows >= GROUP_ROWS:
            rows = pa.concat_tables(self._waiting)
            full = len(rows) - len(rows) % GROUP_ROWS
            for start in range(0, full, GROUP_ROWS):
                self._write_group(rows.slice(start, GROUP_ROWS))
            self._waiting = [rows.slice(full)]
            self._waiting_rows = len(rows) - full

    def finish(self) -> list[Part]:
        """Write the rest, give the parts their names, return them; a result without rows has one part."""
        if self._waiting_rows:
            self._write_group(pa.concat_tables(self._waiting))
        elif not (self._parts or self._open):
            self._open_part()
        self._close_part()
        for part in self._parts:
            self._disk.rename(_partial(self._folder / part.name), self._folder / part.name)
        return self._parts

    def abandon(self) -> None:
        """Close the open file; what was written is worth nothing."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def _write_group(self, rows: pa.Table) -> None:
        part = self._open or self._open_part()
        part.write(rows.replace_schema_metadata(self._schema.metadata).combine_chunks())
        if part.rows >= PART_ROWS and self._single is None:
            self._close_part()

    def _open_part(self) -> _OpenPart:
        path = self._folder / (self._single or name_of(self._number + len(self._parts)))
        self._open = _OpenPart(path, self._disk, schema=self._schema, compression=self._compression)
        return self._open

    def _close_part(self) -> None:
        if self._open is not None:
            part, self._open = self._open.close(), None
            self._parts.append(part)


class _OpenPart:
    """A part being written."""

    def __init__(self, path: Path, disk: Disk, *, schema: pa.Schema, compression: str) -> None:
        self.rows = 0
        self._name = path.name
        self._file = _HashedFile(disk.create(_partial(path)))
        self._first: pa.Scalar | None = None
        self._last: pa.Scalar | None = None
        self._buffer = pa.BufferedOutputStream(pa.PythonFile(self._file, mode="w"), WRITE_BYTES)
        self._writer = pq.ParquetWriter(
            self._buffer,
            schema,
            compression=compression,
            compression_level=ZSTD_LEVEL if compression == "zstd" else None,
            use_dictionary=[name for name in _DICTIONARIES if name in schema.names],
            column_encoding={name: "DELTA_BINARY_PACKED" for name in _DELTAS if name in schema.names},
            sorting_columns=pq.SortingColumn.from_ordering(schema, [(name, "ascending") for name in _ORDER]),
            write_page_index=True,
        )

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group)
        self.rows += len(group)
        self._first = self._first or group["created_at"][0]
        self._last = group["created_at"][-1]

    def close(self) -> Part:
        self._buffer.flush()
        digest = self._file.sha256.hexdigest()
        self._writer.add_key_value_metadata({DIGEST_KEY.decode(): digest})
        self._writer.close()
        self._buffer.flush()
        self._file.sync()
        self._buffer.close()
        return Part(
            name=self._name,
            rows=self.rows,
            bytes=self._file.tell(),
            sha256=self._file.sha256.hexdigest(),
            digest=digest,
            min_created_at=iso_time(self._first),
            max_created_at=iso_time(self._last),
        )

    def abandon(self) -> None:
        self._file.discarding = True
        self._writer.close()
        self._buffer.close()


class _HashedFile:
    """A file for pyarrow to write to, with a checksum of what was written; when `discarding`, it drops what comes."""

    def __init__(self, file: File) -> None:
        self.sha256 = hashlib.sha256()
        self.discarding = False
        self.closed = False
        self.tell = file.tell
        self.flush = file.flush
        self.sync = file.sync
        self._file = file

    def write(self, content: bytes) -> int:
        if not self.discarding:
            self._file.write(content)
            self.sha256.update(content)
        return len(content)

    def close(self) -> None:
        self.closed = True
        self._file.close()


def name_of(number: int) -> str:
    """Return the name of a part of a folder."""
    return f"part-{number:05d}.parquet"


def file_metadata(schema: pa.Schema, query: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return a part's metadata but its digest: the schema's own, the query, the manifest's version."""
    text = orjson.dumps(query, option=orjson.OPT_SORT_KEYS)
    return {**(schema.metadata or {}), QUERY_KEY: text, FORMAT_KEY: str(FORMAT).encode()}


def iso_time(value: pa.Scalar | None) -> str | None:
    """Return a timestamp in microseconds as ISO 8601, with the API's own offset."""
    if value is None:
        return None
    second, fraction = divmod(value.value, 1_000_000)
    return datetime.fromtimestamp(second, API_ZONE).replace(microsecond=fraction).isoformat()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")
