"""A look before the export, on servers that say little."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.options import Settings
from exporter.crawl import preview
from exporter.errors import CertificateError, RejectedError
from exporter.vendor.orders import Filters, PageRequest, PageResponse, Record, wire_time
from exporter.vendor.secret import Secret

START = 1_704_067_200
SETTINGS = Settings(
    api_key=Secret("key"), start=START, end=START + 9_999, start_asked="", end_asked=None, rate=2.0, page_size=500
)

LATER = START + 20_000.0
"""A clock on which all of the settings' range has settled."""


def record(second: int) -> Record:
    return {
        "type": "Renewal",
        "order_id": f"R{second}",
        "product": "Cloud phone",
        "description": "",
        "status": "Paid",
        "total": "-$1.50",
        "created_at": wire_time(second),
        "expired_at": "",
        "expired_seconds": 0,
    }


class Server:
    """An order each second, in pages of `size`; it gives `total` and goes `depth` pages deep."""

    def __init__(
        self, *, orders: int, total: int | None = None, size: int = 500, depth: int = 1000, date: int | None = None
    ) -> None:
        self.orders, self.total, self.size, self.depth, self.date = orders, total, size, depth, date
        self.asked: list[PageRequest] = []

    async def ask(self, request: PageRequest) -> PageResponse:
        self.asked.append(request)
        if request.page > self.depth:
            raise RejectedError("too deep", code=400, text="too deep")
        size = min(self.size, request.page_size)
        first = (request.page - 1) * size
        seconds = range(START, START + self.orders)[first : first + size]
        return PageResponse(
            request=request, records=[record(second) for second in seconds], total=self.total, date=self.date
        )


async def test_one_request_is_enough_for_one_page() -> None:
    server = Server(orders=500, total=500)
    seen = await preview.preview(server.ask, SETTINGS, now=LATER)
    assert (seen.orders, seen.pages, seen.first, seen.last) == (500, 1, START, START + 499)
    assert seen.seconds == seen.requests / 2.0 if seen.requests else None
    assert len(server.asked) == 1


async def test_pages_are_counted_by_their_real_size() -> None:
    server = Server(orders=1000, total=1000, size=100)
    seen = await preview.preview(server.ask, SETTINGS, now=LATER)
    assert (seen.pages, seen.last) == (10, START + 999)
    assert [request.page for request in server.asked] == [1, 10]


async def test_a_server_that_does_not_page_that_deep_hides_the_last_order_only() -> None:
    seen = await preview.preview(Server(orders=1000, total=10_000, depth=1).ask, SETTINGS, now=LATER)
    assert (seen.orders, seen.maybe_capped, seen.first, seen.last) == (10_000, True, START, None)


async def test_without_a_total_nothing_is_guessed() -> None:
    seen = await preview.preview(Server(orders=1000).ask, SETTINGS, now=LATER)
    assert (seen.orders, seen.pages, seen.requests, seen.seconds, seen.bytes) == (None,) * 5
    assert (seen.first, seen.last) == (START, None)


async def test_a_range_without_an_end_goes_up_to_what_has_settled() -> None:
    server = Server(orders=0, total=0)
    seen = await preview.preview(server.ask, replace(SETTINGS, end=None), now=START + 400.5)
    assert (seen.end, server.asked[0].last) == (START + 100, START + 100)
    assert (seen.orders, seen.first, seen.last) == (0, None, None)


@pytest.mark.parametrize("end", [None, START + 9_999])
@pytest.mark.parametrize("local", [START + 200.0, START + 9_000.0])
async def test_a_preview_goes_by_the_servers_clock_not_by_the_local_one(end: int | None, local: float) -> None:
    server = Server(orders=0, total=0, date=START + 5_000)
    seen = await preview.preview(server.ask, replace(SETTINGS, end=end), now=local)
    assert (seen.end, server.asked[-1].last) == (START + 4_700, START + 4_700)
    assert len(server.asked) == 2


async def test_an_order_that_does_not_match_the_filter_is_named_before_the_export() -> None:
    asked = replace(SETTINGS, filters=Filters(type=(1,)))
    with pytest.raises(CertificateError, match=f"R{START}.*Renewal"):
        await preview.preview(Server(orders=1, total=1).ask, asked, now=LATER)


@given(
    first=st.integers(0, 2_000_000_000),
    length=st.integers(0, 100_000_000),
    timezone=st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]),
)
def test_months_tile_the_range_and_begin_on_the_first(first: int, length: int, timezone: str) -> None:
    spans = preview.months(first, first + length, timezone)
    assert (spans[0][0], spans[-1][1]) == (first, first + length)
    assert all(one[1] + 1 == other[0] for one, other in pairwise(spans))
    for start, _ in spans[1:]:
        assert dt.datetime.fromtimestamp(start, ZoneInfo(timezone)).strftime("%d %H:%M:%S") == "01 00:00:00"


@pytest.mark.parametrize(
    ("date", "received", "offset", "right"),
    [(START, START + 0.5, 0.0, True), (START, START + 90.5, 90.0, False), (None, START + 0.0, None, None)],
)
async def test_the_clock_is_compared_with_the_servers(
    date: int | None, received: float, offset: float | None, right: bool | None
) -> None:
    async def ask(request: PageRequest) -> PageResponse:
        return PageResponse(request=request, records=[], total=0, date=date, received=received, latency=0.1)

    health = await preview.check(ask, SETTINGS, now=START)
    assert (health.clock_offset, health.clock_right) == (offset, right)
