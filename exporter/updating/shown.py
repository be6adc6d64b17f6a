"""Compare the orders of a page with those held: where it shows all of a status, no further count is needed. Pure.

It finds what counts can't: an order that came late and one that vanished, of the same status.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.certify.spans import Span
from exporter.updating.search import Held

Identities = Counter[tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What pages that show all orders of their status come to."""

    counts: Mapping[int, Mapping[Span, int]]
    """The server's orders by status and segment."""
    differing: frozenset[Span]
    """The segments in which other orders are held."""


def compared(pages: Mapping[int, pa.Table], held: Sequence[Held], read: Callable[[Span], pa.Table]) -> Shown:
    """Compare the orders of whole statuses with those held; `read` gives a segment's rows.

    A segment is read only where it holds an order of such a status.
    """
    theirs = {code: _by_segment(table, held) for code, table in pages.items()}
    differing = set[Span]()
    for one in held:
        codes = [code for code in pages if one.by_status.get(code, 0)]
        rows = read(one.span) if codes else None
        for code in pages:
            ours = _identities(rows, code) if rows is not None and code in codes else Counter()
            if ours != theirs[code].get(one.span, Counter()):
                differing.add(one.span)
    counts = {code: {span: found.total() for span, found in each.items()} for code, each in theirs.items()}
    return Shown(counts=counts, differing=frozenset(differing))


def _by_segment(table: pa.Table, held: Sequence[Held]) -> dict[Span, Identities]:
    found: defaultdict[Span, Identities] = defaultdict(Counter)
    starts = [one.span.start for one in held]
    for second, identity in zip(columns.seconds(table).to_pylist(), columns.identity_keys(table), strict=True):
        found[held[max(0, bisect_right(starts, second) - 1)].span][identity] += 1
    return found


def _identities(rows: pa.Table, code: int) -> Identities:
    mask = pc.equal(rows["status_code"], columns.integers([code]).cast(pa.int8())[0])
    return Counter(columns.identity_keys(rows.filter(mask)))
