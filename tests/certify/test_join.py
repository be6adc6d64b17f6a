"""The page after a boundary: what is known of it need not be made anew, and is not taken for more than it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter import columns
from exporter.certify.join import Boundary, Piece, join
from exporter.certify.pages import Page, Zone, times_of
from exporter.certify.spans import Span
from exporter.vendor.orders import Filters, PageRequest, PageResponse, Record, second_of
from tests.columns.hostile_records import PLAIN

ZONE = Zone(timezone="Asia/Shanghai", language="en")
SECOND = second_of(PLAIN)
OTHER = PLAIN | {"order_id": "DP2"}


def page(*records: Record) -> Page:
    asked = PageRequest(first=SECOND - 1, last=SECOND + 9, page=1, page_size=500, filters=Filters())
    response = PageResponse(
        request=asked,
        records=list(records),
        total=len(records),
        page=1,
        page_size=500,
        total_page=1,
        number=1,
        date=None,
        received=0.0,
        latency=0.0,
    )
    return Page(
        request=asked,
        cells=columns.gather(records),
        rows=len(records),
        total=len(records),
        number=1,
        received=0.0,
        times=times_of(response),
    )


@pytest.mark.parametrize("shown", [(PLAIN,), (PLAIN, OTHER), (OTHER,), ()])
def test_the_rows_that_are_known_are_taken_only_for_a_page_that_shows_just_them(shown: tuple[Record, ...]) -> None:
    first, then = page(PLAIN), page(*shown)
    known = Boundary(records=(first.cells,), rows=ZONE.table([first.cells]))
    piece = Piece(span=Span(SECOND, SECOND + 9), page=then)
    chains = [join(ZONE, [piece], boundary) for boundary in (known, replace(known, rows=None))]
    for chain in chains:
        assert chain.table.equals(ZONE.table([then.cells]))
        assert [one.missing for one in chain.vanished] == ([] if PLAIN in shown else [1])
    assert (known.table_of(then, ZONE) is known.rows) == (shown == (PLAIN,))


def test_rows_of_a_second_that_more_than_one_page_showed_are_not_those_of_one() -> None:
    first = page(PLAIN)
    known = Boundary(records=(first.cells,), rows=ZONE.table([page(PLAIN, OTHER).cells]))
    assert known.table_of(first, ZONE).equals(ZONE.table([first.cells]))
