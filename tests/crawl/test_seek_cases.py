"""Single cases of the seek: what first pages prove, what one window finds out while another one asks."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pyarrow as pa
import pytest

from exporter.certify.judge import Certificate
from exporter.vendor.orders import PageRequest, PageResponse
from tests.crawl.hostile_server import START, Change, HostileQuirks, HostileServer, Order
from tests.crawl.model_run import Run, drive, identities
from tests.crawl.stepped_export import SteppedExport
from tests.crawl.test_engine_cases import PAGE, ByName, made_at, run_on, scripted


class Interrupted(ByName):
    """Does something before it answers the first request that a condition holds for."""

    condition: Callable[[PageRequest], bool] = staticmethod(lambda _: False)
    act: Callable[[], None] = staticmethod(lambda: None)

    def response(self, request: PageRequest) -> PageResponse:
        if self.condition(request):
            self.condition = lambda _: False
            self.act()  # which may set another condition
        return super().response(request)


def interrupted(orders: list[Order], *, seconds: int) -> Interrupted:
    return Interrupted(orders=orders, quirks=HostileQuirks(), random=Random(0), seconds=seconds)


def named(*orders: tuple[str, int]) -> list[Order]:
    return [Order(moment=1000 * second, name=name) for name, second in orders]


def test_an_order_that_two_pages_show_is_expected_once_at_the_tail() -> None:
    """Nothing is missing there, so no bound is to blame, and no span is padded for good."""
    seconds = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 17, 17, 18, 18, 18]
    calm, shuffled = HostileQuirks(), HostileQuirks(shuffled_ties=True)
    server = HostileServer(orders=made_at(*seconds), quirks=calm, random=Random(0), seconds=20)
    export = SteppedExport(
        server, page_size=4, segment_pages=3, final_check=False, others={"concurrency": 1, "rate": 2_000.0}
    )
    for seed in (0, 0, 1, 2, 3, 4, 0, 0, 0):
        if export.under_way:
            server.random, server.quirks = Random(seed), shuffled if seed else calm
            export.response(export.line.at(0))
    server.quirks = calm
    export.finish()
    export.close()
    assert not export.failed
    assert export.engine
    assert not export.engine.profile.padded


def test_a_count_that_fits_is_not_believed_where_it_comes_with_another_order() -> None:
    """Sorted by name, page 1 hides c; a goes before its span is counted, and c makes up for it."""
    server = interrupted(named(("a", 10), ("b", 90), ("c", 50)), seconds=100)
    server.condition = lambda request: request.last == START + 89
    server.act = lambda: server.delete(server.orders[0])
    run = Run(server, page_size=2, segment_pages=1)
    assert drive(run)
    assert identities(run.records()) == {("b", 90): 1, ("c", 50): 1}


def test_a_last_total_that_fits_is_not_believed_where_it_comes_with_another_order() -> None:
    """Sorted by name, page 2 hides k; d goes before its segment is counted, and k makes up for it."""
    server = interrupted(named(("b", 7), ("c", 58), ("d", 75), ("g", 95), ("k", 91)), seconds=100)
    server.condition = lambda request: request.first == START + 95
    server.act = lambda: server.delete(server.orders[2])
    run = Run(server, page_size=2, segment_pages=2)
    assert drive(run)
    assert identities(run.records()) == server.survivors()


@pytest.mark.parametrize("after", range(1, 25))
@pytest.mark.parametrize("segment_pages", [1, 3])
def test_what_was_gathered_by_order_is_never_committed_as_if_it_needed_none(after: int, segment_pages: int) -> None:
    """Another window proves, after some requests, that there is no order."""
    server = scripted(made_at(*range(24)), HostileQuirks(), seconds=24)
    run = Run(server, page_size=PAGE, segment_pages=segment_pages, checks=False)

    def find_out() -> None:
        assert run.engine
        run.engine.profile.learn(ascending=False)

    server.prepare(lambda _: server.requests == after, find_out)
    assert drive(run)
    for certificate, _ in run.held.values():
        if certificate.way == "halves":
            assert certificate.fetched_from > after
        else:
            assert certificate.fetched_to <= after


def test_what_a_count_disproves_while_it_is_asked_for_is_not_committed() -> None:
    """Without totals a group is counted once its pages came: by then, another window proves that there is no order."""
    server = scripted(made_at(*range(9)), HostileQuirks(totals="missing"), seconds=20)
    run = run_on(server, segment_pages=1)
    run.checks = False

    def find_out() -> None:
        assert run.engine
        run.engine.profile.learn(ascending=False)

    server.prepare(lambda request: request.last < START + 19, find_out)
    assert drive(run)
    assert {certificate.way for certificate, _ in run.held.values()} == {"halves"}


@pytest.mark.parametrize("number", range(1, 5))
@pytest.mark.parametrize("last_page", [1, 2, 3])
def test_a_tail_that_was_found_by_order_is_not_committed_after_order_proved_to_be_none(
    number: int, last_page: int
) -> None:
    server = scripted(made_at(*range(2 * 3 * PAGE + last_page)), HostileQuirks(), seconds=40)
    run = run_on(server)
    run.checks = False
    ways = list[str]()

    async def commit(certificate: Certificate, table: pa.Table) -> None:
        ways.append(certificate.way)
        await Run._commit(run, certificate, table)
        if len(ways) == number:
            assert run.engine
            run.engine.profile.learn(ascending=False)

    run._commit = commit  # type: ignore[method-assign]
    assert drive(run)
    assert set(ways[number:]) <= {"halves"}


def test_a_first_suspicion_takes_back_nothing_that_another_window_proved() -> None:
    """The seek's first suspicion (a is shown, c is hidden behind b) falls on what is known already."""
    server = interrupted(named(("a", 10), ("b", 90), ("c", 50), ("d", 95)), seconds=100)
    run = Run(server, page_size=2, segment_pages=1, checks=False)
    asked_by_order: list[PageRequest] = []

    def is_asked_by_order(request: PageRequest) -> bool:
        if request.first == START + 90 and request.page_size > 1:
            asked_by_order.append(request)
        return False

    def find_out() -> None:
        assert run.engine
        run.engine.profile.learn(ascending=False)
        server.condition = is_asked_by_order

    server.condition = lambda request: request.last == START + 89
    server.act = find_out
    assert drive(run)
    assert run.engine
    assert not run.engine.profile.ascending
    assert not asked_by_order
    assert {certificate.way for certificate, _ in run.held.values()} == {"halves"}


@pytest.mark.parametrize("page", [2, 3])
@pytest.mark.parametrize("shuffled_ties", [False, True])
def test_a_swap_between_two_pages_of_a_crowded_second_loses_no_order(page: int, shuffled_ties: bool) -> None:
    orders = made_at(*[5] * 8)
    server = scripted(orders, HostileQuirks(shuffled_ties=shuffled_ties), seconds=10)

    def swap() -> None:
        server.delete(server.orders[0])
        server.insert(Order(moment=5000, name="late"))

    server.prepare(lambda request: request.page == page and request.first == request.last, swap)
    assert drive(run_on(server, segment_pages=1)) or shuffled_ties


def test_pages_of_two_states_with_equal_totals_don_t_make_up_for_a_twin() -> None:
    """One try shows d, which goes, the next one e, which comes; with both, the total of five hides a twin of a."""
    a, b, d, twin, c = named(("a", 5), ("bb", 5), ("dd", 5), ("a", 5), ("cc", 5))
    server = scripted([a, b, d, twin, c], HostileQuirks(), seconds=10)

    def swap() -> None:
        server.delete(d)
        server.orders.insert(2, Order(moment=5000, name="ee"))
        server.came.append(Change(server.requests, 5))

    seen: list[PageRequest] = []

    def is_second_try(request: PageRequest) -> bool:
        if request.first == request.last == START + 5:
            seen.append(request)
        return len(seen) == 3

    server.prepare(is_second_try, swap)
    run = run_on(server, segment_pages=1)
    assert drive(run)
    assert identities(run.records())["a", 5] == 2


@pytest.mark.parametrize("shuffled_ties", [False, True])
@pytest.mark.parametrize("page_size", [3, 4, 5, 8])
@pytest.mark.parametrize("open_start", [False, True])
def test_a_crowded_second_in_hidden_fractions_hides_nothing_that_follows(
    page_size: int, shuffled_ties: bool, open_start: bool
) -> None:
    """Asked for alone, the second before shows nothing: its orders lie between two whole seconds.

    Where the start is exclusive, asking without the second before would leave out an order of fraction zero.
    """
    crowd = [Order(moment=7100 + 31 * number, name=f"c{number}") for number in range(page_size + 2)]
    others = [Order(moment=700 * number + 3, name=f"o{number}") for number in range(25)]
    others.append(Order(moment=8000, name="zero"))
    quirks = HostileQuirks(hidden_fractions=True, shuffled_ties=shuffled_ties, open_start=open_start)
    server = HostileServer(orders=[*others, *crowd], quirks=quirks, random=Random(0), seconds=20)
    run = Run(server, page_size=page_size, segment_pages=3)
    assert drive(run)
    assert identities(run.records()) == server.survivors()
