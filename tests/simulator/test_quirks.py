from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from exporter.simulator.quirks import Quirks
from exporter.simulator.world import World
from exporter.vendor.orders import Record, second_of, wire_time
from tests.simulator.asking import NOON, ask, every_page, refusal

SECONDS = [NOON - second for second in (90, 80, 70, 70, 70, 60, 50, 50, 40, 30)]


def odd(seconds: Sequence[float] = SECONDS, **quirks: Any) -> World:
    return World.at([int(second * 1000) for second in seconds], now=NOON, quirks=Quirks(**quirks))


def numbers(records: list[Record]) -> list[str]:
    return [record["order_id"] for record in records]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_shuffled_ties_change_places_from_request_to_request_and_nothing_else_does(order: str) -> None:
    world = odd(shuffled_ties=True)
    orders = [numbers(ask(world, order=order)["list"]) for _ in range(20)]
    seconds = [[second_of(record) for record in ask(world, order=order, pagesize=4, page=2)["list"]] for _ in range(20)]
    assert len({tuple(order) for order in orders}) > 3
    assert len({frozenset(order) for order in orders}) == 1
    expected = sorted(SECONDS, reverse=order == "desc")
    assert all(found == expected[4:8] for found in seconds)


def test_shuffled_ties_let_pages_miss_and_repeat_orders() -> None:
    world = odd(shuffled_ties=True)
    exports = [numbers(every_page(world, pagesize=4)) for _ in range(20)]
    assert any(len(set(export)) < len(export) for export in exports)


def test_filters_and_shuffled_ties_go_together() -> None:
    world = odd([NOON - 9] * 50, shuffled_ties=True)
    finished = numbers(world.oracle({"status": [5]}))
    assert 10 < len(finished) < 50
    shuffled = numbers(ask(world, status=[5])["list"])
    assert shuffled != finished
    assert sorted(shuffled) == sorted(finished)


def test_sorting_may_be_ignored() -> None:
    plain = odd().oracle()
    assert ask(odd(sort="descending"))["list"] == plain[::-1]
    assert ask(odd(sort="total"))["list"] == ask(odd(), sort_by="total")["list"] != plain


def test_the_page_echo_may_be_wrong_or_missing() -> None:
    assert ask(odd(page_echo="wrong"), page=1)["page"] == 2
    assert "page" not in ask(odd(page_echo="missing"))


def test_a_long_page_is_clamped_or_refused() -> None:
    clamped = ask(odd(max_page_size=3))
    assert (len(clamped["list"]), clamped["pagesize"], clamped["total_page"]) == (3, 3, 4)
    assert ask(odd(max_page_size=3, page_size_echo="asked"))["pagesize"] == 500
    assert "pagesize" not in ask(odd(page_size_echo="missing"))
    assert "pagesize" in refusal(odd(max_page_size=3, oversize="refuse"))


def test_pages_may_be_longer_than_asked() -> None:
    assert len(ask(odd(page_size=7), pagesize=2)["list"]) == 7


@pytest.mark.parametrize(("totals", "shown"), [("text", "10"), ("short", 9), ("long", 17), ("missing", None)])
def test_totals_may_lie(totals: str, shown: object) -> None:
    assert ask(odd(totals=totals)).get("total") == shown


def test_totals_may_be_capped_while_the_pages_go_on() -> None:
    data = ask(odd(total_cap=6), pagesize=2, page=5)
    assert (data["total"], data["total_page"], len(data["list"])) == (6, 3, 2)


def test_the_depth_may_be_capped() -> None:
    assert len(ask(odd(depth_cap=6), pagesize=3, page=2)["list"]) == 3
    assert "first 6" in refusal(odd(depth_cap=6), pagesize=3, page=3)
    assert ask(odd(depth_cap=6, beyond_depth="empty"), pagesize=3, page=3)["list"] == []


def test_a_page_past_the_end_may_be_refused_or_repeat_the_last_one() -> None:
    assert "out of range" in refusal(odd(past_end="refuse"), pagesize=4, page=4)
    repeated = ask(odd(past_end="repeat"), pagesize=4, page=9)
    assert repeated["list"] == ask(odd(), pagesize=4, page=3)["list"]
    assert repeated["page"] == 9
    assert ask(odd([], past_end="refuse"))["list"] == ask(odd([], past_end="repeat"))["list"] == []


def test_a_list_without_orders_may_be_null() -> None:
    assert ask(odd([], nothing="null"))["list"] is None


def test_each_bound_may_be_exclusive() -> None:
    bounds = {"created_at_start": wire_time(NOON - 80), "created_at_end": wire_time(NOON - 50)}
    assert ask(odd(), **bounds)["total"] == 7
    assert ask(odd(open_start=True), **bounds)["total"] == 6
    assert ask(odd(open_end=True), **bounds)["total"] == 5
    one = dict.fromkeys(bounds, wire_time(NOON - 80))
    assert ask(odd(open_start=True, open_end=True), **one)["total"] == 0


def test_bounds_and_sorting_see_fractions_that_are_not_shown() -> None:
    world = odd([NOON - 80, NOON - 79.5, NOON - 79], hidden_fractions=True)
    assert [second_of(record) - NOON for record in world.oracle()] == [-80, -80, -79]
    bounds = {"created_at_start": wire_time(NOON - 80), "created_at_end": wire_time(NOON - 80)}
    assert ask(world, **bounds)["total"] == 1
    assert len(world.oracle(bounds)) == 2


def test_a_long_range_may_be_refused() -> None:
    world = odd(max_range_days=1)
    assert "1 days" in refusal(world)
    assert ask(world, created_at_start=wire_time(NOON - 86_399), created_at_end=wire_time(NOON))["total"] == 10


def test_the_range_may_be_ignored() -> None:
    old, new = NOON - 100 * 86_400, NOON - 10
    found = ask(odd([old, new], ignored_range=1), created_at_end=wire_time(old))["list"]
    assert [second_of(record) for record in found] == [new]


def test_orders_come_vanish_and_change_at_given_requests() -> None:
    world = odd(inserts=(2,), deletions=(4, 5), changes=(6,))
    assert [ask(world)["total"] for _ in range(5)] == [10, 11, 11, 10, 9]
    before = world.oracle()
    after = ask(world)["list"]
    assert sum(one != two for one, two in zip(before, after, strict=True)) == 1
    assert len(world.drifted) == 3


def test_long_ranges_may_be_cut_without_a_word() -> None:
    days = [NOON - day * 86_400 for day in (9, 7, 5, 3, 1)]
    assert ask(odd(days, last_days=4), created_at_end=wire_time(NOON))["total"] == 2
    assert ask(odd(days, first_days=4), created_at_start=wire_time(NOON - 10 * 86_400))["total"] == 2
    short = {"created_at_start": wire_time(NOON - 8 * 86_400), "created_at_end": wire_time(NOON - 4 * 86_400)}
    assert ask(odd(days, last_days=4, first_days=4), **short)["total"] == 2


@pytest.mark.parametrize("lagging", ["random", "content"])
def test_a_replica_that_lags_does_not_show_the_youngest_orders(lagging: str) -> None:
    world = odd(lag=60, lagging=lagging)
    totals = [ask(world, pagesize=size)["total"] for size in range(1, 100)]
    assert set(totals) == {6, 10}
    assert 30 < totals.count(6) < 70
    same = {ask(world)["total"] for _ in range(20)}
    assert len(same) == {"random": 2, "content": 1}[lagging]


def test_filters_may_change_nothing() -> None:
    world = odd(ignored_filters=("status", "order_id"))
    assert ask(world, status=[5], order_id="none")["total"] == 10
    assert ask(world, status=[5], type=[2])["total"] == ask(odd(), type=[2])["total"] < 10
