"""Single cases that once ended in a wrong result, a crash or a halt, each told to the engine step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from exporter import streaming
from exporter.certify.profile import ServerProfile
from exporter.certify.spans import Span
from exporter.crawl.asker import Asker
from exporter.errors import CertificateError
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.server import serving
from exporter.simulator.world import World
from exporter.vendor.orders import Filters, PageRequest, PageResponse, wire_time
from tests.crawl.hostile_server import START, HostileQuirks, HostileServer, Order
from tests.crawl.model_run import Run, drive, identities
from tests.exporting import settings_for
from tests.virtual_time import run as run_virtual

PAGE = 3


def made_at(*seconds: int) -> list[Order]:
    return [Order(moment=1000 * second, name=f"o{number}") for number, second in enumerate(seconds)]


class Scripted(HostileServer):
    """Does something before it answers the first request that a condition holds for."""

    def prepare(self, condition: Callable[[PageRequest], bool], act: Callable[[], None]) -> None:
        self._condition, self._act = condition, act

    def response(self, request: PageRequest) -> PageResponse:
        if self._condition(request):
            self._condition = lambda _: False
            self._act()
        return super().response(request)


def scripted(orders: list[Order], quirks: HostileQuirks, *, seconds: int) -> Scripted:
    server = Scripted(orders=orders, quirks=quirks, random=Random(0), seconds=seconds)
    server.prepare(lambda _: False, lambda: None)
    return server


def run_on(server: HostileServer, *, segment_pages: int = 3, final_check: bool = True) -> Run:
    return Run(server, page_size=PAGE, segment_pages=segment_pages, final_check=final_check)


def test_pages_of_one_second_each_show_by_their_sequence_that_there_is_no_order() -> None:
    moments = [1000 * second + 100 * tenth for second, count in ((1, 4), (2, 6)) for tenth in range(1, count + 1)]
    orders = [Order(moment=moment, name=f"o{moment}") for moment in moments]
    server = scripted(orders, HostileQuirks(sort="descending", hidden_fractions=True), seconds=3)
    drive(run_on(server, segment_pages=1, final_check=False))


def test_an_order_that_changes_its_status_between_two_facets_is_not_doubled() -> None:
    orders = made_at(*[5] * 6)
    for order in orders[3:]:
        order.status = "Finished"
    moving, going = orders[0], orders[5]
    server = scripted(orders, HostileQuirks(depth_cap=PAGE), seconds=10)

    def change() -> None:
        moving.status = "Finished"
        server.orders.remove(going)

    server.prepare(lambda request: request.filters.status == (5,), change)
    assert drive(run_on(server, segment_pages=1, final_check=False))


class IgnoresFilters(HostileServer):
    """Keeps to none of some filters."""

    ignored: tuple[str, ...] = ()

    def _matches(self, order: Order, request: PageRequest) -> bool:
        filters = replace(request.filters, **dict.fromkeys(self.ignored, ()))  # type: ignore[arg-type]
        return super()._matches(order, replace(request, filters=filters))


@pytest.mark.parametrize("ignored", [(), ("type",), ("product_type",), ("type", "product_type"), ("status",)])
def test_facets_do_without_a_filter_that_the_server_ignores(ignored: tuple[str, ...]) -> None:
    orders = made_at(1, *[5] * 3 * PAGE, 9)
    for place, status in enumerate(["Finished", "Paid", "Refunded"]):
        for order in orders[1 + place : -1 : 3]:
            order.status = status
    server = IgnoresFilters(orders=orders, quirks=HostileQuirks(depth_cap=PAGE), random=Random(0), seconds=10)
    server.ignored = ignored
    run = run_on(server, segment_pages=1, final_check=False)
    with suppress(CertificateError):
        run_virtual(run.export())
    assert run.engine
    assert len(run.records()) == (2 if "status" in ignored else len(orders))
    assert all("filter divides" in reason for reason in run.engine.session.missing.values())


@pytest.mark.parametrize("crowd", [PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE + 1, 20 * PAGE])
@pytest.mark.parametrize("segment_pages", [1, 3, 20])
def test_orders_after_a_crowded_second_are_found(crowd: int, segment_pages: int) -> None:
    server = scripted(made_at(1, 2, 3, *[5] * crowd, 6, 6, 6, 6, *range(7, 20)), HostileQuirks(), seconds=20)
    assert drive(run_on(server, segment_pages=segment_pages))
    assert server.requests <= 3 * crowd / PAGE + 30  # the second itself twice, until both rounds agree


@pytest.mark.parametrize("quirks", [HostileQuirks(), HostileQuirks(total_cap=4 * PAGE)], ids=repr)
def test_an_export_resumes_right_after_a_crowded_second(quirks: HostileQuirks) -> None:
    server = scripted(made_at(*[-1] * 3 * PAGE, 0, 0, *range(1, 20)), quirks, seconds=20)
    run = run_on(server, segment_pages=1, final_check=False)
    run_virtual(run.export())
    assert len(run.records()) == 21


def test_a_first_page_out_of_order_is_enough_to_trust_no_order() -> None:
    server = scripted(made_at(0, 1, 2, 3, 4, 5), HostileQuirks(totals="missing"), seconds=8)
    quirks = HostileQuirks(totals="missing", sort="descending")

    def sort() -> None:
        server.quirks = HostileQuirks(totals="missing")

    server.quirks = quirks
    server.prepare(lambda _: server.requests == 1, sort)
    run = run_on(server)
    assert drive(run)
    assert run.engine
    assert not run.engine.profile.ascending


def test_a_full_page_of_one_second_hides_no_order_before_it_that_exclusive_bounds_leave_uncounted() -> None:
    quirks = HostileQuirks(sort="descending", open_start=True, open_end=True, totals="short")
    server = scripted(made_at(0, *[1] * PAGE), quirks, seconds=2)
    assert drive(run_on(server, segment_pages=1, final_check=False))


def test_a_full_page_of_the_second_after_a_span_hides_no_order_of_it_when_resumed() -> None:
    quirks = HostileQuirks(sort="descending", open_start=True)
    server = scripted(made_at(*[1] * (PAGE + 1), *[2] * 2 * PAGE), quirks, seconds=3)
    run = run_on(server, final_check=False)
    run.stop_after = 5
    drive(run)


def test_an_order_that_goes_does_not_hide_that_another_is_left_out_by_an_exclusive_start() -> None:
    orders = made_at(1, 2, 3, 6, 11, 11)
    server = scripted(orders, HostileQuirks(open_start=True, totals="text"), seconds=12)
    server.prepare(lambda _: server.requests == 1, lambda: server.delete(orders[2]))
    assert drive(run_on(server))


class Elsewhere(HostileServer):
    """Answers for the whole range where the second page of one second is asked for."""

    def response(self, request: PageRequest) -> PageResponse:
        if request.page == 2 and request.first == request.last:
            request = replace(request, first=START, last=START + self.seconds)
        return super().response(request)


def test_a_page_of_another_range_that_looks_like_the_last_one_again_does_not_end_a_second() -> None:
    orders = made_at(*range(PAGE), *[10] * (PAGE + 1))
    server = Elsewhere(orders=orders, quirks=HostileQuirks(totals="short"), random=Random(0), seconds=12)
    assert not drive(run_on(server, segment_pages=1, final_check=False))


class ByName(HostileServer):
    """Sorts by name, whatever was asked: an order that came late with an early time lies on a late page."""

    def _select(self, low: int, high: int, request: PageRequest) -> list[Order]:
        return sorted(super()._select(low, high, request), key=lambda order: order.name)


def test_without_totals_an_order_out_of_place_is_found_by_the_last_page_of_its_span() -> None:
    orders = [*made_at(10, 20, 30, 40, 50, 60, 70), Order(moment=5000, name="z")]
    server = ByName(orders=orders, quirks=HostileQuirks(totals="missing"), random=Random(0), seconds=80)
    assert drive(run_on(server))


@pytest.mark.parametrize("stop_after", range(1, 13))
def test_what_is_committed_before_a_stop_lacks_no_order_that_a_later_page_would_have_told(stop_after: int) -> None:
    orders = [*made_at(10, 20, 30, 40, 50, 60, 70), Order(moment=5000, name="z")]
    server = ByName(orders=orders, quirks=HostileQuirks(), random=Random(0), seconds=80)
    run = run_on(server, segment_pages=1, final_check=False)
    run.stop_after = stop_after
    assert drive(run)


def test_totals_that_prove_useless_after_a_page_leave_that_page_to_be_counted() -> None:
    orders = [Order(moment=1000 * second, name=name) for name, second in zip("abcde", (1, 2, 10, 9, 0), strict=True)]
    server = ByName(orders=orders, quirks=HostileQuirks(totals="short"), random=Random(0), seconds=12)
    assert drive(run_on(server, final_check=False))


@pytest.mark.parametrize("past_end", ["empty", "refuse"])
def test_a_full_page_is_no_snapshot_if_an_order_goes_before_the_next_page_is_asked(past_end: str) -> None:
    quirks = HostileQuirks(totals="short", past_end=past_end)  # type: ignore[arg-type]
    server = scripted(made_at(*[5] * 4), quirks, seconds=8)
    server.prepare(lambda request: request.page == 2, lambda: server.orders.remove(server.orders[0]))
    drive(run_on(server, final_check=False))


@pytest.mark.parametrize("cap", [2 * PAGE, 2 * PAGE + 1])
@pytest.mark.parametrize("before", [2, 3])
def test_a_total_at_its_cap_does_not_hide_an_order_that_goes_between_two_pages(cap: int, before: int) -> None:
    server = scripted(made_at(*range(8)), HostileQuirks(total_cap=cap), seconds=10)
    server.prepare(lambda _: server.requests == before - 1, lambda: server.orders.remove(server.orders[0]))
    assert drive(run_on(server, final_check=False))


def test_a_range_of_one_segment_is_asked_for_no_more_often_to_see_that_totals_resume() -> None:
    server = scripted(made_at(*range(3 * PAGE - 1)), HostileQuirks(), seconds=20)
    assert drive(run_on(server))
    assert server.requests == 3 + len(["tail", "final check", "final check on another connection"])


def test_a_short_page_does_not_make_a_capped_total_right() -> None:
    server = scripted(made_at(*[5] * 12), HostileQuirks(total_cap=2 * PAGE + 1), seconds=8)

    def cut() -> None:
        server.quirks = replace(server.quirks, short_pages=1.0)

    server.prepare(lambda request: request.page == 3, cut)
    drive(run_on(server, segment_pages=1, final_check=False))


def test_a_try_that_shows_too_few_does_not_make_up_for_one_that_shows_too_many() -> None:
    orders = made_at(*[5] * 8)
    orders[6].name = orders[5].name
    server = scripted(orders, HostileQuirks(total_cap=7), seconds=8)

    def cut_once() -> None:
        calm, server.quirks = server.quirks, replace(server.quirks, short_pages=1.0)
        server.prepare(lambda _: True, lambda: setattr(server, "quirks", calm))

    server.prepare(lambda request: request.page == 2 and server.requests > 4, cut_once)
    drive(run_on(server, segment_pages=1, final_check=False))


def test_what_a_lying_total_vouched_for_is_asked_again() -> None:
    quirks = HostileQuirks(sort="descending", totals="short", total_cap=PAGE + 1)
    server = scripted(made_at(*range(10), 11, 11, 11), quirks, seconds=12)
    drive(run_on(server, final_check=False))


def test_orders_that_the_first_page_showed_are_missed_if_the_next_answer_is_for_another_range() -> None:
    orders = [Order(moment=100 * tenth, name=f"o{tenth}") for tenth in range(1, 5)]
    others = [Order(moment=1000, name=f"x{number}") for number in range(4)]
    server = scripted(orders, HostileQuirks(sort="descending", hidden_fractions=True), seconds=1)

    def stray_once() -> None:
        server.orders = others
        server.prepare(lambda _: True, lambda: setattr(server, "orders", orders))

    server.prepare(lambda _: server.requests == 1, stray_once)
    drive(run_on(server, segment_pages=1, final_check=False))


def test_a_single_second_whose_orders_go_before_the_final_check_ends_in_the_servers_total() -> None:
    server = scripted(made_at(0, 0), HostileQuirks(), seconds=1)
    server.prepare(lambda request: request.page_size == 1, lambda: server.orders.remove(server.orders[0]))
    run = run_on(server)
    assert drive(run)
    assert len(run.records()) == 1


def test_a_late_order_balanced_by_a_deletion_between_two_pages_is_what_no_count_shows() -> None:
    server = scripted(made_at(*range(20)), HostileQuirks(), seconds=21)

    def swap() -> None:
        server.delete(server.orders[0])
        server.insert(Order(moment=5000, name="late"))

    server.prepare(lambda request: request.page == 2, swap)
    run = run_on(server)
    assert drive(run)
    assert server.survivors() - identities(run.records()) == {("o3", 3): 1}


def test_a_late_order_that_an_exclusive_bound_balances_is_mended_by_asking_its_whole_segment_again() -> None:
    server = scripted(made_at(0, 1, 2), HostileQuirks(open_end=True), seconds=20)
    late = Order(moment=0, name="late")
    server.prepare(lambda request: request.page_size == 1, lambda: server.insert(late))
    run = run_on(server, segment_pages=1)
    assert drive(run)
    assert len(run.records()) == 4


def test_a_late_order_does_not_make_good_what_an_exclusive_bound_leaves_out_of_a_total() -> None:
    server = scripted(made_at(*range(20)), HostileQuirks(open_end=True), seconds=20)
    late = Order(moment=2000, name="late")
    server.prepare(lambda _: server.requests == len(["opening", "boundary page"]), lambda: server.insert(late))
    assert drive(run_on(server, final_check=False))


def test_that_a_ranges_end_is_in_it_is_asked_once_and_only_where_no_total_follows() -> None:
    sent = []
    for final_check in (False, True):
        server = scripted(made_at(*range(40)), HostileQuirks(), seconds=40)
        assert drive(run_on(server, final_check=final_check))
        sent.append(server.requests)
    assert sent[0] == sent[1] - len(["the last total, on another connection"])


def test_a_late_order_right_before_the_range_does_not_make_good_the_total_of_one_that_went() -> None:
    server = scripted(made_at(*range(20)), HostileQuirks(), seconds=20)

    def swap() -> None:
        server.delete(server.orders[5])
        server.insert(Order(moment=-1000, name="late"))

    server.prepare(lambda request: request.page_size == 1, swap)
    run = run_on(server)
    assert drive(run)
    assert len(run.records()) == 19


def test_an_order_outside_the_range_that_goes_meanwhile_does_not_hide_one_that_went_within() -> None:
    server = scripted(made_at(*range(-1, 20)), HostileQuirks(), seconds=20)

    def delete() -> None:
        server.delete(server.orders[5])
        server.prepare(lambda request: request.page_size > 1, lambda: server.delete(server.orders[0]))

    server.prepare(lambda request: request.page_size == 1, delete)
    run = run_on(server)
    assert drive(run)
    assert len(run.records()) == 19


@pytest.mark.parametrize("stop_after", range(1, 16))
def test_orders_outside_the_range_are_left_out_of_the_count_when_resumed(stop_after: int) -> None:
    server = scripted(made_at(-1, *range(20), 20), HostileQuirks(), seconds=20)
    run = run_on(server)
    run.stop_after = stop_after
    run_virtual(run.export())
    assert run.checked
    assert len(run.records()) == 20


def counted(quirks: HostileQuirks, orders: Sequence[Order], last: int) -> int | None:
    server = HostileServer(orders=list(orders), quirks=quirks, random=Random(0), seconds=last + 1)
    profile = ServerProfile(asked_page_size=PAGE, segment_pages=3)
    asker = Asker(server.ask, filters=Filters(), page_size=PAGE, profile=profile)
    return run_virtual(asker.count(START, START + last))


@pytest.mark.parametrize(
    "quirks",
    [
        HostileQuirks(max_range_seconds=7),
        HostileQuirks(max_range_seconds=7, open_start=True),
        HostileQuirks(max_range_seconds=7, open_end=True),
        HostileQuirks(max_range_seconds=7, open_start=True, open_end=True),
        HostileQuirks(max_range_seconds=1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("last", [1, 6, 7, 8, 14, 15, 40])
def test_a_count_in_parts_counts_each_order_once_however_bounds_are_read(quirks: HostileQuirks, last: int) -> None:
    assert counted(quirks, made_at(*range(1, last)), last) == last - 1


def test_a_count_in_parts_counts_hidden_fractions() -> None:
    orders = [Order(moment=100 * tenth, name=f"o{tenth}") for tenth in range(400)]
    assert counted(HostileQuirks(max_range_seconds=7, hidden_fractions=True), orders, 40) == 400


def test_an_empty_range_counts_nothing() -> None:
    assert counted(HostileQuirks(), made_at(0, 1), -1) == 0


async def test_a_stream_starts_the_parts_of_a_heavy_window_before_later_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "AHEAD", 100)
    async with serving(SimulatorOptions(rows=3_000)) as simulator:
        records = simulator.world.oracle()
        first, last = simulator.options.span()
        quarter = (last - first) // 4
        for number, record in enumerate(records):
            place = 1 if number % 10 < 7 else number % 4
            record["created_at"] = wire_time(first + place * quarter + number * 7919 % quarter)
        records.sort(key=lambda record: str(record["created_at"]))
        simulator.world = World.holding(records, now=simulator.options.now())
        chosen = settings_for(simulator, page_size=50, segment_pages=5, windows=4)
        async with asyncio.timeout(20):
            rows = [batch.num_rows async for batch in streaming.stream(chosen)]
    assert sum(rows) == 3_000


def test_what_an_earlier_run_certified_by_its_order_is_asked_again_once_order_proved_to_be_none() -> None:
    server = scripted(made_at(0, 1, 2, 10, 11, 12), HostileQuirks(), seconds=20)
    run = run_on(server, final_check=False)
    assert drive(run)
    assert run.engine
    for span, (certificate, table) in run.held.items():
        run.held[span] = replace(certificate, way="pages" if span == min(run.held) else "halves"), table
    lost = min(run.held)
    certificate, table = run.held[lost]
    run.held[lost] = replace(certificate, rows=certificate.rows - 1), table.slice(1)
    run.engine = run.make_engine()
    run_virtual(run.check(Span(START, START + 20)))
    assert len(run.records()) == 6
