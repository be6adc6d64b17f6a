"""Count the rows of one second that are the same order told twice."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns


def repeated(table: pa.Table) -> int:
    """Return how many rows have the identity of another row before them.

    The rows are in the result's order, so that those of an identity share time and order_id with a neighbour: only such
    rows are looked at closer.
    """
    if len(table) < 2:
        return 0
    keys = [table[name].combine_chunks() for name in ("created_at", "order_id")]
    same = pc.and_(*(pc.equal(key.slice(1), key.slice(0, len(key) - 1)) for key in keys))
    if not pc.any(same).as_py():
        return 0
    edge = pa.array([False])
    tied = table.filter(pc.or_(pa.concat_arrays([edge, same]), pa.concat_arrays([same, edge])))
    distinct: int = pc.count_distinct(columns.identities(tied)).as_py()
    return len(tied) - distinct
