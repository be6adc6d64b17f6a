from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import get_args

import pytest

from exporter.simulator import SimulatorOptions
from exporter.simulator.options import Shape
from exporter.simulator.world import World
from exporter.vendor.orders import API_ZONE, FIELDS, PRODUCT_LABELS, STATUS_LABELS, TYPE_LABELS, Record, second_of

SHAPES: tuple[Shape, ...] = get_args(Shape)


def records(**options: object) -> list[Record]:
    return World.of(SimulatorOptions(**options)).oracle()  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_orders_and_another_one_others() -> None:
    assert records(rows=200, seed=7) == records(rows=200, seed=7)
    assert records(rows=200, seed=7) != records(rows=200, seed=8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ties", [0, 1, 40])
def test_every_shape_holds_all_orders_inside_its_range_in_order(shape: Shape, ties: int) -> None:
    options = SimulatorOptions(rows=3000, shape=shape, ties=ties, start="2025-11-01", end="2025-12-01")
    first, last = options.span()
    seconds = [second_of(record) for record in World.of(options).oracle()]
    assert len(seconds) == 3000
    assert seconds == sorted(seconds)
    assert first <= seconds[0] <= seconds[-1] <= last
    if ties:
        assert max(Counter(seconds).values()) <= ties


def test_ties_really_are_ties() -> None:
    counts = Counter(second_of(record) for record in records(rows=5000, ties=40))
    assert max(counts.values()) > 30
    assert len(counts) < 500


def test_late_orders_leave_the_start_empty() -> None:
    options = SimulatorOptions(rows=500, shape="late")
    first, last = options.span()
    assert second_of(World.of(options).oracle()[0]) >= last - (last - first) / 10


def test_days_puts_orders_next_to_midnight() -> None:
    times = [dt.datetime.fromtimestamp(second_of(record), API_ZONE) for record in records(rows=500, shape="days")]
    seconds = {(time.hour * 3600 + time.minute * 60 + time.second + 2) % 86_400 for time in times}
    assert seconds == {0, 1, 2, 3, 4}


def test_bursts_are_denser_than_chance() -> None:
    def busiest_minute(shape: Shape) -> int:
        return max(Counter(second_of(record) // 60 for record in records(rows=2000, shape=shape)).values())

    assert busiest_minute("bursty") > 10 * busiest_minute("flat")


def test_more_orders_than_seconds_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="don't fit"):
        records(rows=100, ties=1, start="2025-01-01T00:00:00", end="2025-01-01T00:01:00")


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="after their end"):
        SimulatorOptions(start="2026-01-02", end="2026-01-01")


@pytest.mark.parametrize("name", ["rows", "ties", "rate", "retry_after", "jitter", "latency"])
def test_a_number_below_zero_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SimulatorOptions(**{name: -1})  # type: ignore[arg-type]


def test_a_crowded_second_after_another_is_spread_to_the_last_one() -> None:
    seconds = [
        second_of(record) for record in records(rows=61, ties=1, start="2025-01-01T00:00:00", end="2025-01-01T00:01:00")
    ]
    assert seconds == list(range(seconds[0], seconds[0] + 61))


def test_records_look_as_documented() -> None:
    for record in records(rows=500):
        assert tuple(record) == FIELDS
        assert record["type"] in TYPE_LABELS["en"].values()
        assert record["status"] in STATUS_LABELS["en"].values()
        assert record["product"].title() in {label.title() for label in PRODUCT_LABELS["en"].values()}
        waiting = record["status"] == "Unpaid"
        assert (record["expired_at"] != "") == waiting == (record["expired_seconds"] > 0)


def test_money_comes_with_every_sign_currency_and_thousands() -> None:
    totals = {record["total"] for record in records(rows=5000)}
    for form in ("-$", "$", "-¥", "¥", "-￥", "-€"):
        assert any(total.startswith(form) for total in totals), form
    assert any("," in total for total in totals)


def test_refunds_carry_the_number_of_the_order_that_they_refund_and_no_other_number_repeats() -> None:
    seen: set[str] = set()
    refunds = 0
    for record in records(rows=5000):
        if record["type"] == "Refund":
            refunds += 1
            assert record["order_id"] in seen
        else:
            assert record["order_id"] not in seen
        seen.add(record["order_id"])
    assert refunds > 100
