"""Totals of no use: what is complete without them, and how soon an export ends that they make impossible."""

from __future__ import annotations

from random import Random

import pytest

from exporter.errors import CertificateError
from tests.crawl.hostile_server import HostileQuirks, HostileServer
from tests.crawl.model_run import Run, drive, identities
from tests.crawl.test_engine_cases import made_at
from tests.virtual_time import run as run_virtual

REQUESTS_AT_MOST = 60
PAST_END = ["empty", "refuse", "repeat"]


class OverCounting(HostileServer):
    """Tells of more orders than there are."""

    surplus = 5000

    def _total(self, total: int) -> int:
        return total + self.surplus


@pytest.mark.parametrize("past_end", PAST_END)
@pytest.mark.parametrize(("page_size", "segment_pages"), [(500, 20), (10, 20), (3, 3), (4, 1)])
@pytest.mark.parametrize("seconds", [range(10), [5] * 10, [1] * 5 + [2] * 5, [3]], ids=str)
@pytest.mark.parametrize("surplus", [1, 7, 5000])
def test_a_total_that_promises_more_than_comes_ends_the_export_soon(
    seconds: range | list[int], page_size: int, segment_pages: int, past_end: str, surplus: int
) -> None:
    quirks = HostileQuirks(past_end=past_end)  # type: ignore[arg-type]
    server = OverCounting(orders=made_at(*seconds), quirks=quirks, random=Random(0), seconds=100)
    server.surplus = surplus
    with pytest.raises(CertificateError, match="total"):
        run_virtual(Run(server, page_size=page_size, segment_pages=segment_pages).export())
    assert server.requests <= REQUESTS_AT_MOST


@pytest.mark.parametrize("past_end", PAST_END)
@pytest.mark.parametrize("rows", [0, 1, 90, 100])
@pytest.mark.parametrize("surplus", [1, 500, 5000])
def test_no_page_is_asked_for_because_a_short_one_promises_more(rows: int, surplus: int, past_end: str) -> None:
    """The last page of few orders would make thousands of pages of the surplus."""
    quirks = HostileQuirks(past_end=past_end)  # type: ignore[arg-type]
    server = OverCounting(orders=made_at(*range(rows)), quirks=quirks, random=Random(0), seconds=300)
    server.surplus = surplus
    assert not drive(Run(server, page_size=100, segment_pages=20))
    assert server.requests <= REQUESTS_AT_MOST


@pytest.mark.parametrize("past_end", PAST_END)
@pytest.mark.parametrize("totals", ["missing", "text"])
@pytest.mark.parametrize("seconds", [[3], [3, 3], [1, 2], list(range(10)), [0, 0, 1, 1, 1, 5, 5, 9]], ids=str)
def test_without_totals_a_page_past_the_end_may_be_refused_or_come_again(
    seconds: list[int], totals: str, past_end: str
) -> None:
    quirks = HostileQuirks(totals=totals, past_end=past_end)  # type: ignore[arg-type]
    server = HostileServer(orders=made_at(*seconds), quirks=quirks, random=Random(0), seconds=20)
    run = Run(server, page_size=4, segment_pages=3)
    assert drive(run)
    assert identities(run.records()) == server.survivors()


@pytest.mark.parametrize("beyond_depth", ["refuse", "repeat"])
def test_without_totals_a_full_page_is_not_the_last_one_for_want_of_another(beyond_depth: str) -> None:
    """The server goes no deeper than one page, and one second holds more."""
    quirks = HostileQuirks(totals="missing", depth_cap=4, beyond_depth=beyond_depth)  # type: ignore[arg-type]
    server = HostileServer(orders=made_at(1, *[5] * 6, 9), quirks=quirks, random=Random(0), seconds=20)
    assert not drive(Run(server, page_size=4, segment_pages=3))


def test_a_crowded_second_without_totals_is_given_up_soon() -> None:
    server = HostileServer(
        orders=made_at(1, *[5] * 30, 9), quirks=HostileQuirks(totals="missing"), random=Random(0), seconds=20
    )
    assert not drive(Run(server, page_size=4, segment_pages=3))
    assert server.requests <= REQUESTS_AT_MOST / 2
