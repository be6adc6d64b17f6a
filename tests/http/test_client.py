"""One paced, retried request after another, in virtual time and without a network."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from exporter.errors import ApiError, ExportError, RejectedError, UnauthorizedError
from exporter.events import Answered, Event, Noticed, Refused, Retried
from exporter.http.client import LONG_BODY, Client
from exporter.http.permits import Permit
from exporter.vendor.envelope import HttpResponse, MayPass
from exporter.vendor.orders import PageRequest, PageResponse, PlainRecords
from tests.http.fake_transport import FakeTransport, envelope, page, settings
from tests.virtual_time import VirtualTimeLoop, run

TOO_FREQUENT = envelope(160004, "Request too frequent, please try again later.")


def request(number: int = 1) -> PageRequest:
    return PageRequest(first=0, last=1, page=number)


def pages(transport: FakeTransport) -> list[int]:
    return [asked["page"] for asked in transport.asked]


def gaps(transport: FakeTransport) -> list[float]:
    return [later - earlier for earlier, later in zip(transport.departures, transport.departures[1:], strict=False)]


def with_client(
    transport: FakeTransport,
    story: Callable[[Client], Awaitable[Any]],
    *,
    seen: list[Event] | None = None,
    **changes: Any,
) -> Any:
    """Run a story with a client in virtual time; the dice always fall in the middle."""

    async def main() -> Any:
        events: list[Event] = [] if seen is None else seen
        client = Client(
            settings(**changes),
            transport=transport,
            on_event=events.append,
            random=lambda: 0.5,
            wall=lambda: 1_445_412_480.0,
        )
        async with client:
            return await story(client)

    return run(main())


def ask(transport: FakeTransport, *, seen: list[Event] | None = None, **changes: Any) -> PageResponse:
    """Ask one question."""
    response = with_client(transport, lambda client: client.ask(request()), seen=seen, **changes)
    assert isinstance(response, PageResponse)
    return response


def ask_many(
    transport: FakeTransport, number: int, *, seen: list[Event] | None = None, **changes: Any
) -> list[PageResponse]:
    """Ask for so many pages at once."""

    async def story(client: Client) -> list[PageResponse]:
        return await asyncio.gather(*(client.ask(request(number)) for number in range(1, number + 1)))

    responses: list[PageResponse] = with_client(transport, story, seen=seen, **changes)
    return responses


def test_an_answer_says_what_came_and_when() -> None:
    seen: list[Event] = []
    reply = page({"order_id": "7"}, total=9, Date="Wed, 21 Oct 2015 07:28:00 GMT")
    response = ask(FakeTransport(script=[reply]), seen=seen)
    assert response == PageResponse(
        request=request(),
        records=[{"order_id": "7"}],
        total=9,
        page=1,
        page_size=500,
        number=1,
        date=1_445_412_480,
        received=1_445_412_480.0,
        latency=pytest.approx(0.05),  # type: ignore[arg-type]
    )
    assert seen == [Answered(requests=1, in_flight=0, latency=pytest.approx(0.05))]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [b"a\\u001fb", b"a\\u001Fb", b"a\x1fb", b"a\\nb"])
def test_records_are_plain_unless_a_text_may_contain_the_separator(text: bytes) -> None:
    body = b'{"code": 200, "data": {"list": [{"order_id": "' + text + b'"}]}}'
    assert type(ask(FakeTransport(script=[HttpResponse(200, {}, body)])).records) is list
    assert type(ask(FakeTransport(script=[page({"order_id": "7"})])).records) is PlainRecords


@pytest.mark.parametrize(("total", "count"), [("1200", 1200), ("0", 0), (7, 7)])
def test_a_total_is_read_as_text_too_if_it_is_digits(total: Any, count: int) -> None:
    body = json.dumps({"code": 200, "data": {"list": None, "total": total}}).encode()
    assert ask(FakeTransport(script=[HttpResponse(200, {}, body)])).total == count


@pytest.mark.parametrize("total", ["9.0", "+9", " 9", "", "9" * 16, "九", "²", 9.0, True, -1, None, [9]])
def test_a_total_that_is_no_count_is_none(total: Any) -> None:
    body = json.dumps({"code": 200, "data": {"list": None, "total": total}}).encode()
    response = ask(FakeTransport(script=[HttpResponse(200, {}, body)]))
    assert (list(response.records), response.total, response.page, response.date) == ([], None, None, None)


def test_requests_leave_a_gap_and_a_guard_apart_however_long_answers_take() -> None:
    transport = FakeTransport(latency=3.5)
    ask_many(transport, 20)
    assert all(1.0 < gap <= 1.0151 for gap in gaps(transport))
    assert transport.peak == 4


def test_connection_set_up_does_not_eat_into_the_gap_nor_hold_the_next_slot() -> None:
    transport = FakeTransport(connecting=0.6, latency=0.2)
    ask_many(transport, 40, rate=20.0)
    assert all(gap >= 0.05 for gap in gaps(transport))
    assert all(gap <= 0.0508 for gap in gaps(transport)[20:])


def test_a_busy_loop_moves_the_slots_after_it() -> None:
    transport = FakeTransport()

    def busy(asked: dict[str, Any]) -> HttpResponse:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        if asked["page"] == 3:
            loop.jump(0.99)
        return page()

    transport.answering = busy
    ask_many(transport, 6)
    assert all(gap >= 1.0149 for gap in gaps(transport))


def test_slots_go_in_the_order_of_asking_and_urgent_ones_first() -> None:
    transport = FakeTransport()

    async def story(client: Client) -> None:
        plain = [asyncio.create_task(client.ask(request(number))) for number in range(1, 6)]
        await asyncio.sleep(1.5)
        await client.ask(request(99), urgent=True)
        await asyncio.gather(*plain)

    with_client(transport, story)
    assert pages(transport) == [1, 2, 99, 3, 4, 5]


def test_a_refused_request_goes_to_the_very_front_and_is_no_failure() -> None:
    transport = FakeTransport(script=[page(), TOO_FREQUENT], latency=1.2)
    seen: list[Event] = []

    async def story(client: Client) -> None:
        urgent = [asyncio.create_task(client.ask(request(number), urgent=True)) for number in range(1, 7)]
        await asyncio.gather(*urgent)
        statistics = client.statistics
        assert (statistics.requests, statistics.responses, statistics.rate_limited, statistics.retries) == (7, 6, 1, 0)

    with_client(transport, story, seen=seen, max_attempts=1)
    assert pages(transport) == [1, 2, 3, 2, 4, 5, 6]
    assert [event.count for event in seen if isinstance(event, Refused)] == [1]


@pytest.mark.parametrize(
    ("refusal", "pause"),
    [
        (envelope(160004, Retry_After="9"), 9.0),
        (HttpResponse(429, {"Retry-After": "9"}, b"slow down"), 9.0),
        (
            HttpResponse(
                429, {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:20 GMT"}, b"{}"
            ),
            10.0,
        ),
        (HttpResponse(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, b""), 30.0),
        (HttpResponse(429, {"Retry-After": "Wed, 21 Oct 2015 07:20:00 GMT"}, b""), 1.0),
        (HttpResponse(429, {"Retry-After": "soon"}, b""), 1.0),
        (envelope(429), 1.0),
        (envelope("160004", status=400), 1.0),
        (HttpResponse(429, {"Retry-After": "1445412520"}, b""), 40.0),
        (HttpResponse(429, {"Retry-After": "1735689600"}, b""), 600.0),
        (HttpResponse(429, {"Retry-After": "999999999"}, b""), 600.0),
    ],
)
def test_a_refusal_pauses_everyone_for_as_long_as_it_says(refusal: HttpResponse, pause: float) -> None:
    transport = FakeTransport(script=[refusal])
    ask_many(transport, 3, max_attempts=1)
    assert pages(transport) == [1, 1, 2, 3]
    assert pause < gaps(transport)[0] < pause + 0.1
    assert all(1 < gap < 1.03 for gap in gaps(transport)[1:])


def test_refusals_that_no_pace_can_cure_are_told_once() -> None:
    transport = FakeTransport(script=[TOO_FREQUENT] * 20)
    seen: list[Event] = []
    ask(transport, seen=seen, max_attempts=1, patience=3600.0)
    notices = [event.message for event in seen if isinstance(event, Noticed) and "key allows less" in event.message]
    assert len(notices) == 1
    assert "another client" in notices[0]
    refusals = [event for event in seen if isinstance(event, Refused)]
    assert [event.persistent for event in refusals] == [False] * 5 + [True] * 15


@pytest.mark.parametrize("status", [429, 503])
def test_a_long_pause_is_reported_once_and_is_no_longer_than_ten_minutes(status: int) -> None:
    transport = FakeTransport(script=[HttpResponse(status, {"Retry-After": "999999999"}, b"")] * 2)
    seen: list[Event] = []
    ask_many(transport, 4, seen=seen, patience=3600.0)
    assert [round(gap, -1) for gap in gaps(transport)[:2]] == [600, 600] if status == 429 else [600, 0]
    notices = [event.message for event in seen if isinstance(event, Noticed)]
    assert notices == ["no request leaves for 600 s: the server, or another export with this key, asked for a pause"]


def test_pauses_of_seconds_are_not_worth_a_notice() -> None:
    seen: list[Event] = []
    ask_many(FakeTransport(script=[envelope(160004, Retry_After="4")]), 20, seen=seen, rate=0.2)
    assert not [event for event in seen if isinstance(event, Noticed)]


@pytest.mark.parametrize(
    "failure",
    [
        TOO_FREQUENT,
        HttpResponse(429, {"Retry-After": "999999999"}, b""),
        HttpResponse(503, {"Retry-After": "999999999"}, b""),
    ],
)
def test_patience_bounds_every_wait(failure: HttpResponse) -> None:
    transport = FakeTransport(answering=lambda _: failure)
    with pytest.raises(ApiError, match=r"nothing has come through for 10\d s; the last "):
        ask_many(transport, 3, patience=100.0)
    assert transport.departures[-1] - transport.departures[0] == pytest.approx(100, abs=3)


PASSING = [
    HttpResponse(500, {}, b"<html>Internal Server Error</html>"),
    HttpResponse(503, {"Content-Type": "text/html"}, b""),
    HttpResponse(408, {}, b""),
    HttpResponse(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Just a moment...</html>"),
    HttpResponse(200, {}, b""),
    HttpResponse(200, {}, b'{"code":200,"data":{"list":[{"order'),
    HttpResponse(200, {}, b'{"code":200,"data":null,"message":"Success"}'),
    HttpResponse(200, {}, b'{"code":200,"data":{"total":3}}'),
    HttpResponse(200, {}, b'{"code":200,"data":{"list":{}}}'),
    HttpResponse(200, {}, b'{"code":200,"data":{"list":[1]}}'),
    HttpResponse(200, {}, b'{"code":200,"data":[]}'),
    HttpResponse(200, {}, b"[" * 100_000),
    HttpResponse(200, {}, b"\xff\xfe\xfa"),
    HttpResponse(200, {}, b"null"),
    HttpResponse(204, {}, b""),
    envelope(500, "Internal error"),
    envelope(503, "Busy", status=400),
    MayPass("connection reset"),
]


@pytest.mark.parametrize("failure", PASSING)
def test_what_may_pass_is_asked_again_after_a_backoff_and_takes_a_slot(failure: Any) -> None:
    transport = FakeTransport(script=[failure, failure, page()])
    seen: list[Event] = []
    assert ask(transport, seen=seen, rate=10.0).number == 1
    retried = [event for event in seen if isinstance(event, Retried)]
    assert [(event.attempt, event.pause) for event in retried] == [(1, 0.25), (2, 0.5)]
    assert gaps(transport) == pytest.approx([0.3, 0.55])


def test_a_server_that_names_its_absence_is_left_alone_for_so_long() -> None:
    transport = FakeTransport(script=[HttpResponse(503, {"Retry-After": "20"}, b"")])
    ask_many(transport, 2)
    assert gaps(transport)[0] >= 20


def test_a_page_that_only_the_standard_library_reads_is_not_lost() -> None:
    body = b'{"code":200,"data":{"list":[{"order_id":"\\ud800","description":"a\tb\x01","n":18446744073709551616}]}}'
    response = ask(FakeTransport(script=[HttpResponse(200, {}, body)]))
    assert response.records == [{"order_id": "\ud800", "description": "a\tb\x01", "n": 2.0**64}]
    assert type(response.records[0]["n"]) is float


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" * 400])
def test_a_number_beyond_a_double_is_an_error_that_names_it(number: str) -> None:
    body = b'{"code":200,"data":{"list":[{"expired_seconds":%b}]}}' % number.encode()
    transport = FakeTransport(answering=lambda _: HttpResponse(200, {}, body))
    with pytest.raises(ApiError, match=rf"page 1 of \[1970.*holds {number[:100]}"):
        ask(transport)
    assert len(transport.asked) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (envelope(401, "Unauthorized"), UnauthorizedError, "code 401, Unauthorized"),
        (HttpResponse(401, {}, b""), UnauthorizedError, "code 401"),
        (envelope(160001, "bad created_at_start"), RejectedError, "code 160001, bad created_at_start"),
        (envelope(0, "no"), RejectedError, "code 0, no"),
        (
            HttpResponse(404, {"Content-Type": "text/plain"}, b"not here"),
            RejectedError,
            "code 404, .*text/plain.*not here",
        ),
        (envelope(200, "?", status=422), RejectedError, "code 422"),
        (
            HttpResponse(307, {"Location": "https://elsewhere.example/the-secret-key"}, b""),
            ApiError,
            "elsewhere.example/[*]{3}",
        ),
        (HttpResponse(407, {}, b""), ApiError, "proxy"),
    ],
)
def test_what_cannot_pass_is_an_error_at_once(reply: HttpResponse, kind: type[ApiError], words: str) -> None:
    transport = FakeTransport(answering=lambda _: reply)
    with pytest.raises(kind, match=words) as caught:
        ask(transport)
    assert len(transport.asked) == 1
    assert type(caught.value) is kind
    if isinstance(caught.value, RejectedError):
        assert str(caught.value.code) in words


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_of_the_way_has_a_hint(status: int) -> None:
    with pytest.raises(RejectedError, match=f"code {status}, no page but 6 bytes of text/html") as caught:
        ask(FakeTransport(answering=lambda _: HttpResponse(status, {"Content-Type": "text/html"}, b"<html>")))
    assert caught.value.hint is not None
    assert "--site" in caught.value.hint


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (MayPass("connection refused"), "check the address"),
        (HttpResponse(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"), "login page"),
        (HttpResponse(511, {"Content-Type": "text/html"}, b"<html>Please log in</html>"), "login page"),
        (HttpResponse(200, {}, b""), "check the address"),
    ],
)
def test_a_server_that_never_answered_is_given_up_within_a_minute(failure: MayPass | HttpResponse, hint: str) -> None:
    def answering(_: dict[str, Any]) -> HttpResponse:
        if not isinstance(failure, HttpResponse):
            raise failure
        return failure

    transport = FakeTransport(answering=answering)
    with pytest.raises(ApiError, match="the server has never answered as the API does; the last failure: ") as caught:
        ask_many(transport, 4)
    assert 20 < transport.departures[-1] - transport.departures[0] < 60
    assert hint in str(caught.value.hint)
    assert "--base-url" in str(caught.value.hint)


@pytest.mark.parametrize("failure", [envelope(503, "busy"), HttpResponse(502, {}, b"<html>Bad gateway</html>")])
def test_trouble_of_the_api_s_own_is_met_with_patience_from_the_start(failure: HttpResponse) -> None:
    def answering(_: dict[str, Any]) -> HttpResponse:
        return failure if asyncio.get_running_loop().time() < 1_300 else page()

    assert ask(FakeTransport(answering=answering)).number == 1


def test_a_login_page_in_the_middle_of_a_run_is_met_with_patience() -> None:
    def answering(_: dict[str, Any]) -> HttpResponse:
        away = 1_001 < asyncio.get_running_loop().time() < 1_300
        return HttpResponse(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>") if away else page()

    assert len(ask_many(FakeTransport(answering=answering), 5)) == 5


def test_a_response_to_a_request_that_never_waited_for_its_slot_ends_the_export_at_once() -> None:
    class Hasty(FakeTransport):
        async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
            self.asked.append({})
            return page()

    transport = Hasty()
    with pytest.raises(ExportError, match="left without waiting for its slot") as caught:
        ask_many(transport, 5, rate=100.0)
    assert type(caught.value) is ExportError
    assert len(transport.asked) == 1


def test_an_answer_before_the_request_left_is_no_answer() -> None:
    class Eager(FakeTransport):
        async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
            if len(self.asked) != 1:
                return await super().post(body, permit, new_connection=new_connection)
            self.asked.append({})
            waiting = asyncio.ensure_future(permit.come())
            await asyncio.sleep(0)
            waiting.cancel()
            return HttpResponse(408, {}, b"")

    seen: list[Event] = []
    assert with_client(Eager(), _two_in_a_row, seen=seen, rate=10.0) == [1, 2]
    assert [event.reason for event in seen if isinstance(event, Retried)] == [
        "the server answered before the request left"
    ]


async def _two_in_a_row(client: Client) -> list[int]:
    first = await client.ask(request())
    return [first.number, (await client.ask(request(2))).number]


def test_the_key_is_in_no_error_event_or_repr() -> None:
    mean = HttpResponse(500, {"Content-Type": "text/html"}, b"who sent the-secret-key?")
    seen: list[Event] = []
    with pytest.raises(ApiError) as caught:
        ask(FakeTransport(answering=lambda _: mean), seen=seen, patience=0.0)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(seen)
    assert "who sent ***?" in shown
    assert "the-secret-key" not in shown
    assert "the-secret-key" not in repr(settings())


def test_one_request_that_always_fails_ends_after_its_attempts_while_others_come_through() -> None:
    transport = FakeTransport(answering=lambda asked: envelope(500) if asked["page"] == 5 else page())
    with pytest.raises(ApiError, match=r"page 5 of .*3 attempts failed while .*; the last failure: code 500"):
        ask_many(transport, 200, max_attempts=3)
    assert pages(transport).count(5) == 3


def test_a_server_that_answers_nobody_is_tried_for_as_long_as_patience_lasts() -> None:
    transport = FakeTransport(script=[page(), *[MayPass("connection refused")] * 1000])
    with pytest.raises(ApiError, match="nothing has come through for 900 s; the last failure: connection refused"):
        ask_many(transport, 5)
    assert transport.departures[-1] - transport.departures[0] == pytest.approx(900, abs=10)


def test_a_server_that_comes_back_within_the_patience_is_asked_for_everything() -> None:
    def answering(_: dict[str, Any]) -> HttpResponse:
        if 1_002 < asyncio.get_running_loop().time() < 1_600:
            raise MayPass("connection refused")
        return page()

    transport = FakeTransport(answering=answering)
    assert len(ask_many(transport, 20)) == 20


def test_answers_are_numbered_as_they_arrive() -> None:
    async def slow_first(asked: dict[str, Any]) -> HttpResponse:
        await asyncio.sleep(10 if asked["page"] == 1 else 0)
        return page()

    numbers = [response.number for response in ask_many(FakeTransport(answering=slow_first), 4)]
    assert numbers == [4, 1, 2, 3]


def test_of_long_pages_that_came_together_one_is_decoded_in_a_turn_of_the_loop() -> None:
    decoded: list[int] = []
    permit = 0

    def next_turn() -> None:
        nonlocal permit
        permit += 1
        if len(decoded) < 6:
            asyncio.get_running_loop().call_soon(next_turn)

    def on_event(event: Event) -> None:
        if isinstance(event, Answered):
            if not decoded:
                next_turn()
            decoded.append(permit)

    async def main() -> None:
        transport = FakeTransport(lambda _: page({"description": "x" * LONG_BODY}))
        async with Client(settings(rate=1e6), transport=transport, on_event=on_event) as client:
            await asyncio.gather(*(client.ask(request(number)) for number in range(1, 7)))
        assert transport.peak == 6

    run(main())
    assert len(set(decoded)) == 6


@pytest.mark.parametrize("rate", [20.0, 1e6])
def test_no_more_are_in_flight_than_told(rate: float) -> None:
    transport = FakeTransport(latency=2.0)
    ask_many(transport, 30, rate=rate, concurrency=3)
    assert transport.peak == 3


def test_without_a_limit_a_distant_server_is_saturated() -> None:
    transport = FakeTransport(latency=0.2)
    ask_many(transport, 2000, rate=1e6)
    assert transport.peak == 128
    assert transport.departures[-1] - transport.departures[0] < 5


@pytest.mark.parametrize("after", [0.0, 0.01, 0.5, 1.01, 1.03, 2.0])
def test_a_cancelled_request_leaves_its_place_to_the_next(after: float) -> None:
    transport = FakeTransport(latency=0.02, connecting=0.01)

    async def story(client: Client) -> None:
        tasks = [asyncio.create_task(client.ask(request(number))) for number in range(1, 6)]
        await asyncio.sleep(after)
        tasks[1].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(response, PageResponse) for response in done] in ([True, False, *[True] * 3], [True] * 5)
        assert client.statistics.in_flight == 0

    with_client(transport, story)
    assert all(gap > 1 for gap in gaps(transport))
    assert transport.departures[-1] - 1_000 < 4.2


def test_all_cancelled_nothing_is_left_behind() -> None:
    async def story(client: Client) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.gather(*(client.ask(request()) for _ in range(100)))
        assert client.statistics.in_flight == 0
        await client.ask(request())

    transport = FakeTransport(latency=5.0)
    with_client(transport, story)
    assert len(transport.departures) == 11
