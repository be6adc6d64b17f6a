"""Where a page shows all orders of a status, they are compared with those held, one by one."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from exporter.certify.spans import Span
from exporter.updating.search import Held
from exporter.updating.shown import compared
from exporter.vendor.orders import Record
from tests.store.orders import BEGIN, record, table

PAID, FINISHED = 3, 5
SPANS = [Span(BEGIN, BEGIN + 10), Span(BEGIN + 10, BEGIN + 20), Span(BEGIN + 20, BEGIN + 30)]


def paid(second: int, number: int) -> Record:
    return record(BEGIN + second, number) | {"status": "Paid"}


ROWS = {
    SPANS[0]: [record(BEGIN + 1, 1), paid(2, 2), paid(9, 3)],
    SPANS[1]: [record(BEGIN + 10, 4)],
    SPANS[2]: [paid(20, 5), paid(20, 6)],
}
HELD = [
    Held(
        span=span,
        rows=len(rows),
        by_status=Counter({"Paid": PAID, "Finished": FINISHED}[str(one["status"])] for one in rows),
        kept=True,
    )
    for span, rows in ROWS.items()
]
SHOWN = [one for rows in ROWS.values() for one in rows if one["status"] == "Paid"]


@pytest.mark.parametrize(
    ("shown", "differing"),
    [
        (SHOWN, []),
        (SHOWN[1:], [0]),
        ([*SHOWN[:2], paid(15, 9), *SHOWN[2:]], [1]),
        ([*SHOWN[:3], paid(20, 7)], [2]),
        ([SHOWN[0], paid(9, 8), paid(10, 3), SHOWN[3]], [0, 1, 2]),
        ([], [0, 2]),
    ],
)
def test_the_segments_that_hold_other_orders_are_named(shown: list[Record], differing: list[int]) -> None:
    read: list[Span] = []

    def rows(span: Span) -> pa.Table:
        read.append(span)
        return table(ROWS[span])

    found = compared({PAID: table(shown)}, HELD, rows)
    assert found.differing == {SPANS[number] for number in differing}
    assert read == [SPANS[0], SPANS[2]], "no segment without such an order is read"
    assert sum(found.counts[PAID].values()) == len(shown)


def test_without_pages_nothing_is_compared() -> None:
    found = compared({}, HELD, lambda _: pytest.fail("no segment is read"))
    assert (found.counts, found.differing) == ({}, frozenset())
