"""What an OUT is taken for, how work goes on, and what the result says."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from exporter.errors import ConfigError, OutputError
from exporter.plan import Span, gaps
from exporter.store import status
from exporter.store.place import Place
from tests.store.orders import FACTS, QUERY, cuts, export, open_store, records, segments, table, whole

ROWS = table(records(200, seconds=60))
PIECES = list(segments(ROWS, cuts(6, seconds=60)))
WHOLE = whole(60)


@pytest.fixture(params=["orders", "orders.parquet"])
def out(request, tmp_path) -> Path:
    return tmp_path / request.param


def test_a_finished_export_leaves_the_result_and_nothing_else(out):
    manifest = export(out, PIECES)
    left = {path.name for path in out.parent.iterdir()}
    assert left == ({"orders"} if out.name == "orders" else {"orders.parquet", "orders.parquet.manifest.json"})
    assert manifest.counts["rows"] == len(ROWS)
    assert manifest.complete
    assert status(out).finished == manifest


def test_work_goes_on_where_it_was(out):
    store = open_store(out, WHOLE)
    for certificate, rows in PIECES[2:4]:
        store.commit(certificate, rows)
    store.close()
    again = open_store(out, WHOLE)
    assert again.certificates == [certificate for certificate, _ in PIECES[2:4]]
    assert again.read(PIECES[2][0].span).equals(PIECES[2][1], check_metadata=True)
    assert gaps(WHOLE, [certificate.span for certificate in again.certificates]) == [
        Span(WHOLE.start, PIECES[2][0].span.start),
        Span(PIECES[3][0].span.stop, WHOLE.stop),
    ]
    again.close()
    assert export(out, PIECES).counts["rows"] == len(ROWS)
