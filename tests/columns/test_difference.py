"""What differs between two tables: exact for orders that are alike, whatever came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from exporter import columns
from exporter.vendor.orders import IDENTITY_FIELDS, Record

BASE: Record = {
    "type": "Renewal",
    "order_id": "DP1",
    "product": "Cloud phone",
    "description": "30 days",
    "status": "Unpaid",
    "total": "-$21.91",
    "created_at": "2026-02-12T11:34:55+08:00",
    "expired_at": "",
    "expired_seconds": 0,
}
FEW: dict[str, list[Any]] = {
    "order_id": ["DP1", "DP2", ""],
    "created_at": ["2026-02-12T11:34:55+08:00", "2026-02-12T11:34:56+08:00", "2026-02-12T03:34:55Z"],
    "total": ["-$21.91", "$1,234.50", "free", None],
    "type": ["Renewal", "续费", "renewal"],
    "product": ["Cloud phone", None],
    "status": ["Unpaid", "Paid", "Refunded", "待支付", None, 7],
    "expired_at": ["", "2026-02-12T12:04:55+08:00", "2026-02-12 12:04:55+08:00", "never", None],
    "expired_seconds": [0, 1795, None, "soon"],
    "unknown": [1, {"a": [None]}],
}
"""Few values of each field, so that many orders are alike."""


@st.composite
def few_records(draw: st.DrawFn) -> Record:
    record = dict(BASE)
    for name in draw(st.sets(st.sampled_from(list(FEW)), max_size=4)):
        record[name] = draw(st.sampled_from(FEW[name]))
    for name in draw(st.sets(st.sampled_from(["status", "total", "expired_at", "product"]), max_size=1)):
        del record[name]
    return record


RECORDS = st.lists(few_records(), max_size=12)


def table(records: Sequence[Record], *, timezone: str = "Asia/Shanghai") -> pa.Table:
    if not records:
        return columns.schema(timezone=timezone, language="en").empty_table()
    return columns.ordered(columns.typed([columns.gather(records)], timezone=timezone, language="en"))


def part(record: Record, fields: Sequence[str]) -> str:
    return repr([(name, record.get(name, "missing"), name in record) for name in fields])


def identity(record: Record) -> str:
    return part(record, IDENTITY_FIELDS)


def state(record: Record) -> str:
    return part(record, ["status", "expired_at"])


def by_identity(records: Sequence[Record]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for record in records:
        found.setdefault(identity(record), Counter())[state(record)] += 1
    return found


def expected(old: Sequence[Record], new: Sequence[Record]) -> Counter[str]:
    """Count what differs, identity by identity, with nothing but counters of what the API gave."""
    before, after, counts = by_identity(old), by_identity(new), Counter[str]()
    for name in before.keys() | after.keys():
        one, other = before.get(name, Counter()), after.get(name, Counter())
        same = (one & other).total()
        gone, come = one.total() - same, other.total() - same
        changed = min(gone, come)
        counts.update(same=same, changed=changed, vanished=gone - changed, added=come - changed)
    return +counts


def counted(found: columns.Difference) -> Counter[str]:
    assert len(found.before) == len(found.after)
    sizes = {"vanished": len(found.vanished), "changed": len(found.before), "added": len(found.added)}
    return +Counter({"same": found.same, **sizes})


def records_of(rows: pa.Table) -> list[Record]:
    return list(columns.records(rows))


def multiset(records: Sequence[Record]) -> Counter[Any]:
    return Counter((identity(record), state(record)) for record in records)


@given(old=RECORDS, new=RECORDS, kept=RECORDS)
def test_what_differs_is_what_counters_of_the_records_say(
    old: list[Record], new: list[Record], kept: list[Record]
) -> None:
    old, new = [*old, *kept], [*kept, *new]
    found = columns.difference(table(old), table(new, timezone="UTC"))
    assert counted(found) == expected(old, new)
    for before, after in zip(records_of(found.before), records_of(found.after), strict=True):
        assert identity(before) == identity(after)
        assert state(before) != state(after)
    gone = multiset([*records_of(found.vanished), *records_of(found.before)])
    come = multiset([*records_of(found.added), *records_of(found.after)])
    assert gone <= multiset(old)
    assert multiset(old) - gone + come == multiset(new)


def test_a_countdown_and_a_field_that_no_column_has_change_nothing() -> None:
    old = [BASE | {"expired_seconds": 1795, "unknown": 1}]
    new = [BASE | {"expired_seconds": "gone"}]
    assert counted(columns.difference(table(old), table(new))) == {"same": 1}


def test_of_orders_that_are_alike_the_surplus_is_what_differs() -> None:
    old = [BASE, BASE, BASE | {"status": "Paid"}]
    new = [BASE, BASE | {"status": "Paid"}, BASE | {"status": "Paid"}, BASE | {"status": "Refunded"}]
    found = columns.difference(table(old), table(new))
    assert counted(found) == {"same": 2, "changed": 1, "added": 1}
    assert found.before["status"].to_pylist() == ["Unpaid"]


def test_another_price_or_time_is_another_order() -> None:
    for name, value in {"total": "-$21.92", "created_at": "2026-02-12T11:34:55.5+08:00", "product": ""}.items():
        found = columns.difference(table([BASE]), table([BASE | {name: value}]))
        assert counted(found) == {"vanished": 1, "added": 1}, name
