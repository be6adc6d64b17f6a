"""Make Arrow arrays from bytes. Arrow's own conversion of Python values imports pandas where it is installed.

That would be 0.2 s and 40 MB for nothing. Scalars are taken from arrays for the same reason.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from exporter.vendor.orders import SEPARATOR


def split(joined: bytes) -> pa.StringArray:
    """Return the texts, in UTF-8, that SEPARATOR separates."""
    ends = pa.py_buffer(array("i", [0, len(joined)]))
    whole = pa.Array.from_buffers(pa.string(), 1, [None, ends, pa.py_buffer(joined)])
    return pc.split_pattern(whole, SEPARATOR).values


def strings(values: Iterable[str]) -> pa.StringArray:
    """Return texts, at least one, without SEPARATOR in any."""
    return split(SEPARATOR.join(values).encode())


def integers(values: Iterable[int]) -> pa.Int64Array:
    """Return integers; an array of signed 64 bits is not copied."""
    numbers = values if isinstance(values, array) else array("q", values)
    return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def empty(schema: pa.Schema) -> pa.Table:
    """Return a table without rows, in one chunk."""
    return pa.Table.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one chunk; one that has a single chunk is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


NULL = pa.nulls(1, pa.string())[0]
EMPTY = strings([""])[0]
"""Texts for kernels, as scalars."""
