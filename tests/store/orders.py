"""Orders, segments and whole exports to store: made from a seed, small enough to be made by the hundred."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.certify.spans import Span
from exporter.crawl.threads import InOrder, threads
from exporter.store import RunFacts, Store
from exporter.store.disk import Disk
from exporter.store.manifest import Manifest
from exporter.vendor.orders import Record, wire_time

BEGIN = 1_700_000_000
TIMEZONE = "Asia/Shanghai"
SCHEMA = columns.schema(timezone=TIMEZONE, language="en")
QUERY: dict[str, Any] = {"base_url": "http://127.0.0.1", "start": "2023-11-15", "end": "2023-11-16", "status": (1, 2)}
FACTS = RunFacts(totals="exact", final_check=True)
_LIFETIME = ExitStack()
THREADS = _LIFETIME.enter_context(threads())
"""Threads that all tests of the store share; they end with the process."""


class UnsyncedDisk(Disk):
    """A disk that is quick, for tests that do not cut the power."""

    def perform(self, name: str, path: Path, action: Any, *arguments: Any) -> Any:
        return None if name in {"sync", "sync_folder"} else super().perform(name, path, action, *arguments)


def record(second: int, number: int, *, total: str = "-$21.91") -> Record:
    return {
        "type": ("Renewal", "Purchase", "Refund")[number % 3],
        "order_id": f"NO{number:08d}",
        "product": "Cloud phone",
        "description": f"{number % 7} days",
        "status": "Finished",
        "total": total,
        "created_at": wire_time(second),
        "expired_at": "",
        "expired_seconds": 0,
    }


def records(count: int, *, seconds: int, seed: int = 1) -> list[Record]:
    """Return so many records in so many seconds from BEGIN on, in order of time and number."""
    moments = sorted(random.Random(seed).choices(range(BEGIN, BEGIN + seconds), k=count))
    return [record(second, number) for number, second in enumerate(moments)]


def table(rows: Sequence[Record]) -> pa.Table:
    if not rows:
        return SCHEMA.empty_table()
    return columns.ordered(columns.typed([columns.gather(rows)], timezone=TIMEZONE, language="en"))


def segments(rows: pa.Table, cuts: Sequence[int]) -> Iterator[tuple[Certificate, pa.Table]]:
    """Cut rows into segments at the given seconds, the first and the last included."""
    seconds = columns.seconds(rows).to_pylist()
    for start, stop in pairwise(cuts):
        inside = [place for place, second in enumerate(seconds) if start <= second < stop]
        cut = rows.slice(inside[0], len(inside)) if inside else rows.slice(0, 0)
        yield certificate(Span(start, stop), len(cut)), cut


def certificate(span: Span, rows: int) -> Certificate:
    return Certificate(span=span, rows=rows, totals=(rows, rows), requests=2, fetched_from=1.5, fetched_to=2.5)


def cuts(count: int, *, seconds: int) -> list[int]:
    return [BEGIN + seconds * at // count for at in range(count + 1)]


def whole(seconds: int) -> Span:
    return Span(BEGIN, BEGIN + seconds)


def open_out(out: Path, span: Span | None, **options: Any) -> Store | Manifest:
    settings: dict[str, Any] = {
        "schema": SCHEMA,
        "whole": span,
        "compression": "zstd",
        "disk": UnsyncedDisk(),
        "parts_executor": InOrder(THREADS.parts),
    }
    query = options.pop("query", QUERY)
    opened = Store.open(out, query, **{**settings, **options})
    if isinstance(opened, Store) and span is not None and opened.whole is None:
        try:
            opened.freeze(span)
        except BaseException:
            opened.close()
            raise
    return opened


def open_store(out: Path, span: Span | None, **options: Any) -> Store:
    opened = open_out(out, span, **options)
    assert isinstance(opened, Store)
    return opened


def export(out: Path, pieces: Sequence[tuple[Certificate, pa.Table]], **options: Any) -> Manifest:
    """Export segments as the conductor would: those that are not committed yet."""
    span = Span(pieces[0][0].span.start, pieces[-1][0].span.stop)
    store = open_out(out, span, **options)
    if isinstance(store, Manifest):
        return store
    try:
        done = {certificate.span for certificate in store.certificates}
        for certificate_, rows in pieces:
            if certificate_.span not in done:
                store.commit(certificate_, rows)
        return store.finish(FACTS)
    finally:
        store.close()
