from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import SimulatorOptions
from exporter.simulator.world import World
from exporter.vendor.orders import PRODUCT_LABELS, STATUS_LABELS, TYPE_LABELS, PageRequest, second_of, wire_time
from tests.simulator.asking import NOON, ask, every_page, refusal

DAY = 86_400


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(SimulatorOptions(rows=2345, ties=5, start="2025-12-01"))


def test_the_pages_of_a_question_hold_every_order_once_in_order(world: World) -> None:
    assert every_page(world, pagesize=500) == world.oracle()
    assert every_page(world, pagesize=499, order="desc") == world.oracle()[::-1]


@given(
    offsets=st.lists(st.integers(0, 20), max_size=40).map(sorted),
    first=st.integers(0, 20),
    width=st.integers(0, 20),
    size=st.integers(1, 12),
    page=st.integers(1, 12),
)
def test_any_page_of_any_span_is_what_slicing_all_orders_gives(
    offsets: list[int], first: int, width: int, size: int, page: int
) -> None:
    world = World.at([(NOON + offset) * 1000 for offset in offsets], now=NOON)
    first, last = NOON + first, NOON + first + width
    found = [record for record in world.oracle() if first <= second_of(record) <= last]
    body: dict[str, Any] = {
        "created_at_start": wire_time(first),
        "created_at_end": wire_time(last),
        "pagesize": size,
        "page": page,
    }
    part = slice((page - 1) * size, page * size)
    data = ask(world, **body)
    assert data["list"] == found[part]
    assert ask(world, **body, order="desc")["list"] == found[::-1][part]
    assert (data["total"], data["total_page"]) == (len(found), -(-len(found) // size))


def test_an_answer_tells_its_page_its_size_and_how_much_there_is(world: World) -> None:
    data = ask(world, page=3, pagesize=100)
    assert {name: data[name] for name in data if name != "list"} == {
        "page": 3,
        "pagesize": 100,
        "total": 2345,
        "total_page": 24,
    }


def test_the_engines_question_is_understood(world: World) -> None:
    response = world.response(PageRequest(first=0, last=4_000_000_000, page=2).body())
    assert response["data"]["list"] == world.oracle()[500:1000]


def test_a_page_past_the_end_is_empty(world: World) -> None:
    assert ask(world, page=6)["list"] == []
    assert ask(world, page=10**12)["list"] == []


def test_a_page_has_ten_orders_by_default_and_500_at_most(world: World) -> None:
    response = world.response({"created_at_start": "2015-01-01T00:00:00Z", "created_at_end": "2030-01-01T00:00:00Z"})
    assert (len(response["data"]["list"]), response["data"]["pagesize"]) == (10, 10)
    assert (len(ask(world, pagesize=501)["list"]), ask(world, pagesize=501)["pagesize"]) == (500, 500)


def test_both_bounds_are_inclusive() -> None:
    world = World.at([second * 1000 for second in (10, 11, 12, 13, 14)], now=NOON)
    data = ask(world, created_at_start=wire_time(11), created_at_end=wire_time(13))
    assert [second_of(record) for record in data["list"]] == [11, 12, 13]
    assert ask(world, created_at_start=wire_time(12), created_at_end=wire_time(12))["total"] == 1


def test_missing_bounds_mean_the_last_seven_days() -> None:
    midnight = NOON - DAY // 2
    edges = [midnight - 6 * DAY - 1, midnight - 6 * DAY, midnight + DAY - 1, midnight + DAY]
    world = World.at([second * 1000 for second in edges], now=NOON)
    found = world.response({"order": "asc"})["data"]["list"]
    assert [second_of(record) for record in found] == edges[1:3]


@pytest.mark.parametrize("form", [str, int])
def test_filters_take_codes_as_strings_or_numbers(world: World, form: type) -> None:
    whole = world.oracle()
    paid = [record for record in whole if record["status"] in {"Paid", "Failed"}]
    gifts = [record for record in whole if record["type"] == "Gift"]
    phones = [record for record in whole if record["product"] == "Cloud phone" and record["type"] == "Renewal"]
    assert every_page(world, status=[form(3), form(4)]) == paid
    assert every_page(world, type=[form(6)]) == gifts
    assert every_page(world, product_type=[form(2)], type=[form(2)], pagesize=50) == phones
    assert all((paid, gifts, phones))


def test_orders_are_found_by_number_and_by_image(world: World) -> None:
    refund = next(record for record in world.oracle() if record["type"] == "Refund")
    found = every_page(world, order_id=refund["order_id"])
    assert refund in found
    assert len(found) > 1, "a refund carries the number of another order"
    image = refund["description"].split()[2].removesuffix(",")
    assert refund in every_page(world, image_ids=[image, "image-none"])
    assert all(image in record["description"] for record in every_page(world, image_ids=[image]))
    assert every_page(world, order_id="nobody's") == every_page(world, image_ids=["nobody's"]) == []


def test_the_oracle_of_a_question_is_what_its_pages_hold(world: World) -> None:
    body: dict[str, Any] = {
        "status": ["5"],
        "created_at_start": "2025-12-10T00:00:00Z",
        "created_at_end": "2025-12-20T00:00:00Z",
    }
    assert 0 < len(world.oracle(body)) < 1000
    assert world.oracle(body) == every_page(world, **body)


def test_orders_can_be_sorted_by_amount() -> None:
    listed = [
        {"order_id": text, "total": text, "created_at": wire_time(NOON + second)}
        for second, text in enumerate(["$5.00", "-$1,234.50", "¥0.5", "free", "-$3"])
    ]
    world = World.holding(listed, now=NOON)
    ascending = [record["total"] for record in ask(world, sort_by="total")["list"]]
    assert ascending == ["-$1,234.50", "-$3", "free", "¥0.5", "$5.00"]
    assert [record["total"] for record in ask(world, sort_by="total", order="desc")["list"]] == ascending[::-1]


@pytest.mark.parametrize("language", ["zh", "zh-TW", "ru"])
def test_another_language_changes_labels_and_nothing_else(world: World, language: str) -> None:
    labels = itemgetter("type", "status", "product")
    english, other = world.oracle(), every_page(world, language=language)
    assert all(labels(one) != labels(two) for one, two in zip(english, other, strict=True))
    for record in [*english, *other]:
        assert record.pop("type")
        assert record.pop("status")
        assert record.pop("product")
    assert other == english == [dict(record) for record in other]


def test_chinese_labels_are_those_of_the_documents_with_both_words_for_a_purchase(world: World) -> None:
    listed = every_page(world, language="zh")
    assert {record["type"] for record in listed} == {*TYPE_LABELS["zh"].values(), "购买"}
    assert {record["status"] for record in listed} == set(STATUS_LABELS["zh"].values())
    assert {record["product"] for record in listed} == set(PRODUCT_LABELS["zh"].values())


@pytest.mark.parametrize("language", ["zh-TW", "ru"])
def test_no_table_knows_the_labels_of_undocumented_languages(world: World, language: str) -> None:
    listed = every_page(world, language=language)
    known = {label for tables in (TYPE_LABELS, STATUS_LABELS) for table in tables.values() for label in table.values()}
    assert not known & {record[field] for record in listed for field in ("type", "status")}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"page": 0}, "page"),
        ({"page": "1"}, "page"),
        ({"page": True}, "page"),
        ({"pagesize": -5}, "pagesize"),
        ({"sort_by": "status"}, "sort_by"),
        ({"order": "up"}, "order"),
        ({"order": []}, "order"),
        ({"status": ["8"]}, "status"),
        ({"status": "1"}, "status"),
        ({"type": ["Gift"]}, "type"),
        ({"product_type": [True]}, "product_type"),
        ({"image_ids": "image-0001"}, "image_ids"),
        ({"order_id": 5}, "order_id"),
        ({"created_at_start": "2026-13-01T00:00:00+08:00"}, "created_at_start"),
        ({"created_at_end": "2026-01-01T00:00:00"}, "created_at_end"),
        ({"created_at_end": 5}, "created_at_end"),
        ({"created_at_end": "2014-01-01T00:00:00+08:00"}, "created_at_start"),
    ],
)
def test_a_parameter_without_sense_is_refused_by_name(world: World, body: dict[str, Any], named: str) -> None:
    assert named in refusal(world, **body)


def test_a_body_that_is_no_object_is_refused(world: World) -> None:
    assert world.response([])["code"] == 400


def test_an_unpaid_order_counts_down_and_expires_as_the_clock_runs() -> None:
    made = World.of(SimulatorOptions(rows=300, start="2025-12-31T23:50:00", end="2026-01-01T00:00:00"))
    clock = [made.now()]
    world = World(made.columns, clock=lambda: clock[0])

    def waiting() -> list[dict[str, Any]]:
        return every_page(world, status=[1])

    before = waiting()
    assert before
    assert {record["status"] for record in before} == {"Unpaid"}
    clock[0] += 7
    assert [record["expired_seconds"] + 7 for record in waiting()] == [record["expired_seconds"] for record in before]
    clock[0] += 1800
    expired = {record["order_id"]: record for record in every_page(world, status=[6])}
    short = [record for record in before if record["expired_seconds"] <= 1807]
    assert short
    for record in short:
        now = expired[record["order_id"]]
        assert now == {**record, "status": "Expired", "expired_at": "", "expired_seconds": 0}
    assert len(waiting()) == len(before) - len(short)


def test_a_frozen_clock_answers_the_same_for_ever(world: World) -> None:
    assert ask(world, page=5) == ask(world, page=5)


def test_late_deleted_and_changed_orders_are_told_apart_from_those_that_stood_still() -> None:
    world = World.of(SimulatorOptions(rows=20))
    before = world.oracle()
    late = world.insert(world.columns.moments[10])
    gone = world.delete(3)
    world.change(5)
    after = world.oracle()
    assert world.drifted == [late, gone]
    assert gone == before[3]
    assert late in after
    assert gone not in after
    numbers = Counter(record["order_id"] for record in after)
    assert numbers == Counter(record["order_id"] for record in before) + Counter([late["order_id"]]) - Counter(
        [gone["order_id"]]
    )
    assert sum(record not in before for record in after) == 2, "the late one and the changed one"


def test_an_empty_world_answers_with_an_empty_list() -> None:
    assert ask(World.of(SimulatorOptions(rows=0))) == {
        "list": [],
        "page": 1,
        "pagesize": 500,
        "total": 0,
        "total_page": 0,
    }
