"""The edge to the network, against real servers on loopback: what comes through and what is an error at once."""

from __future__ import annotations

import asyncio
import gzip
import re
import ssl
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx
from yarl import URL

from exporter.errors import ApiError, ConfigError, ExportError
from exporter.events import Event, Noticed, Retried
from exporter.http.client import Client
from exporter.http.permits import Permit, State
from exporter.http.transport import (
    LARGEST_BODY,
    Deadlines,
    HttpTransport,
    connector,
    is_loopback,
    proxy_from_environment,
    tls_from_environment,
)
from exporter.simulator.child_process import serving_apart
from exporter.simulator.faults import KINDS, Faults
from exporter.simulator.options import SimulatorOptions
from exporter.vendor.orders import ENDPOINT, PageRequest
from tests.http.fake_transport import settings

PAGE = orjson.dumps({"code": 200, "data": {"list": [{"order_id": "7"}], "total": 1}, "message": "Success"})
QUESTION = PageRequest(first=0, last=1)
UNPACED = 1e6

CERTIFICATE = Path(__file__).parent / "loopback.pem"
"""A certificate for 127.0.0.1 and its key, good for these tests and nothing else."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """Serve the endpoint on loopback; yield the base URL."""
    app = web.Application()
    app.router.add_post(ENDPOINT, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, **options)
    await site.start()
    try:
        yield f"{site.name.partition(':')[0]}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(*answers: bytes) -> AsyncIterator[str]:
    """Serve bytes as they are, one answer to a connection, the last one again and again; yield the base URL."""
    left = list(answers)

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await reader.readexactly(length)
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(line, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def client(base_url: str, *, seen: list[Event] | None = None, **changes: Any) -> AbstractAsyncContextManager[Client]:
    """Return a client whose backoff takes no time."""
    events: list[Event] = [] if seen is None else seen
    given = settings(**({"base_url": base_url, "rate": UNPACED} | changes))
    return Client(given, on_event=events.append, random=lambda: 0.0)


async def plain(_: web.Request) -> web.Response:
    return web.Response(body=PAGE, content_type="application/json")


async def test_the_request_says_everything_that_the_api_wants() -> None:
    came: list[web.Request] = []
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        came.append(request)
        bodies.append(await request.read())
        return await plain(request)

    async with serving(handler) as url, client(url + "/", language="zh") as asking:
        answer = await asking.ask(QUESTION)
    assert answer.records == [{"order_id": "7"}]
    assert answer.date is not None
    assert came[0].headers["DuoPlus-API-Key"] == "the-secret-key"
    assert came[0].headers["Lang"] == "zh"
    assert came[0].headers["Content-Type"] == "application/json"
    assert came[0].headers["Accept-Encoding"] == "identity"
    assert orjson.loads(bodies[0]) == QUESTION.body()


async def test_connections_are_kept_alive() -> None:
    ports: set[Any] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return await plain(request)

    async with serving(handler) as url, client(url, concurrency=2) as asking:
        await asyncio.gather(*(asking.ask(QUESTION) for _ in range(50)))
    assert len(ports) == 2


async def test_nothing_blocks_the_loop() -> None:
    async with serving(plain) as url:
        with blockbuster_ctx("exporter"):
            async with client(url, rate=500.0) as asking:
                await asyncio.gather(*(asking.ask(QUESTION) for _ in range(40)))


@pytest.mark.parametrize("location", ["https://elsewhere.example/x", "/elsewhere", None])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_and_the_key_stays_here(status: int, location: str | None) -> None:
    asked = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=status, headers={"Location": location} if location else {})

    async with serving(handler) as url, client(url) as asking:
        with pytest.raises(ApiError, match=f"redirects to {location or 'nowhere'} "):
            await asking.ask(QUESTION)
    assert asked == 1


@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_that_is_larger_than_any_page_is_an_error_at_once(*, compressed: bool) -> None:
    sent = asked = 0
    chunk = b" " * 2**20

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked, sent
        asked += 1
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"} if compressed else {})
        await response.prepare(request)
        squeeze = zlib.compressobj(wbits=31)
        try:
            for _ in range(100):
                await response.write(
                    squeeze.compress(chunk) + squeeze.flush(zlib.Z_SYNC_FLUSH) if compressed else chunk
                )
                sent += 1
        except ConnectionError:
            pass
        return response

    async with serving(handler) as url, client(url) as asking:
        with pytest.raises(ApiError, match="more than 64 MiB"):
            await asking.ask(QUESTION)
    assert asked == 1
    assert LARGEST_BODY == 64 * 2**20


async def test_a_page_may_come_compressed_and_in_pieces() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        squeezed = gzip.compress(PAGE)
        for at in range(0, len(squeezed), 10):
            await response.write(squeezed[at : at + 10])
        return response

    async with serving(handler) as url, client(url) as asking:
        assert (await asking.ask(QUESTION)).records == [{"order_id": "7"}]


GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(PAGE), PAGE)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed the connection without an answer|no valid HTTP"),
        (GOOD[:-20], "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nno gz", "broke off|decompressed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", r"no valid HTTP \([\w ]+\)$"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "no page but 6 bytes"),
    ],
)
async def test_an_answer_that_breaks_on_the_way_is_asked_for_again(broken: bytes, reason: str) -> None:
    seen: list[Event] = []
    async with raw(broken, GOOD) as url, client(url, seen=seen) as asking:
        assert (await asking.ask(QUESTION)).records == [{"order_id": "7"}]
    (retried,) = (event for event in seen if isinstance(event, Retried))
    assert re.search(reason, retried.reason)


async def test_a_stalled_answer_times_out_from_its_departure_and_is_asked_for_again() -> None:
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        if asked == 2:  # the head comes, the body does not
            response = web.StreamResponse(headers={"Content-Length": "10"})
            await response.prepare(request)
            await asyncio.Event().wait()
        return await plain(request)

    seen: list[Event] = []
    async with serving(handler) as url, client(url, seen=seen, timeout=0.05, rate=10.0) as asking:
        answers = await asyncio.gather(*(asking.ask(QUESTION) for _ in range(3)))
    assert len(answers) == 3
    reasons = [event.reason for event in seen if isinstance(event, Retried)]
    assert reasons == ["no answer from 127.0.0.1 within 0.05 s"] * 2


async def test_a_host_that_is_not_there_is_tried_until_patience_ends_and_shows_no_key() -> None:
    async with serving(plain) as url:
        pass
    async with client(url, patience=0.0) as asking:
        with pytest.raises(ApiError, match=r"no connection to 127\.0\.0\.1 \(Connection refused\)") as caught:
            await asking.ask(QUESTION)
    error: BaseException | None = caught.value
    shown = "".join(traceback.format_exception(caught.value))
    while error is not None:
        shown += repr(error)
        error = error.__cause__ or error.__context__
    assert "the-secret-key" not in shown


@pytest.mark.parametrize(
    "echo",
    [
        b"HTTP/1.1 500 the-secret-key\x1b[2J\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nthe-secret-key\x1b[2J\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Key: the-secret-key\x01\x1b[2J\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: the-secret-key\x1b\r\n\r\n",
        b"the-secret-key\x1b]0;title\x07 \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: the-secret-key/\xc2\x9b31m\r\n\r\nyour key: the-secret-key\x1b\xe2\x80\xae",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nyour key: the-secret-k",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: the-secret-key\r\n\r\n{}",
    ],
)
async def test_an_echo_shows_neither_the_key_nor_controls(echo: bytes) -> None:
    seen: list[Event] = []
    async with raw(echo, echo, GOOD) as url, client(url, seen=seen) as asking:
        assert (await asking.ask(QUESTION)).records == [{"order_id": "7"}]
    reasons = [event.reason for event in seen if isinstance(event, Retried)]
    assert len(reasons) == 2
    for reason in reasons:
        assert reason.isprintable()
        assert "secret" not in reason


async def test_not_a_byte_leaves_before_its_slot() -> None:
    """What the pace hangs on: aiohttp connects, and writes nothing until `write_with_length` returns."""
    connected = asyncio.Event()
    came: list[bytes] = []

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        came.append(await reader.read(1 << 20))
        came.append(await reader.read(1 << 20) if b"\r\n\r\n{" not in came[0] else b"")
        writer.write(GOOD)
        await writer.drain()
        writer.close()

    class Held:
        state = State.ADMITTED
        slot = asyncio.Event()
        departures = 0

        async def come(self) -> None:
            await self.slot.wait()

        def left(self) -> None:
            self.departures += 1

    held = Held()
    server = await asyncio.start_server(line, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with HttpTransport(settings(base_url=url)) as transport:
            asking = asyncio.create_task(transport.post(orjson.dumps(QUESTION.body()), cast("Permit", held)))
            await connected.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert came == []
            assert held.departures == 0
            held.slot.set()
            assert (await asking).status == 200
    assert held.departures == 1
    assert came[0].startswith(b"POST ")
    assert came[1] == b"", "headers and body leave in one write"


async def test_a_library_that_writes_bodies_another_way_ends_the_export_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return await plain(request)

    monkeypatch.delattr("exporter.http.transport._Departure.write_with_length")
    async with serving(handler) as url, client(url, rate=5.0) as asking:
        with pytest.raises(ExportError, match="left without waiting for its slot") as caught:
            await asyncio.gather(*(asking.ask(QUESTION) for _ in range(20)))
    assert "requirements.lock" in str(caught.value.hint)
    assert asked == 1


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://api.example", True),
        ("http://10.0.0.7", True),
        ("https://api.example", False),
        ("http://localhost", False),
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
    ],
)
async def test_a_key_that_would_be_sent_in_the_clear_is_a_warning(url: str, *, warned: bool) -> None:
    seen: list[Event] = []
    async with client(url, seen=seen):
        pass
    assert [type(event) for event in seen] == [Noticed] * warned
    assert all("without encryption" in repr(event) for event in seen)


@pytest.mark.parametrize(("timeout", "first"), [(60.0, 45.0), (10.0, 10.0), (61.0, 61.0)])
def test_a_server_must_answer_once_within_a_minute(timeout: float, first: float) -> None:
    deadlines = Deadlines(timeout)
    assert deadlines.after(1_000.0) == 1_000.0 + first
    assert deadlines.after(1_042.0) - 1_042.0 == {60.0: 5.0, 10.0: 5.0, 61.0: 61.0}[timeout]
    deadlines.answered = True
    assert deadlines.after(1_042.0) == 1_042.0 + timeout


async def test_transports_may_share_a_connector() -> None:
    ports: set[Any] = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add((request.transport.get_extra_info("peername"), request.headers["DuoPlus-API-Key"]))
        return await plain(request)

    async with serving(handler) as url, connector(URL(url)) as connections:
        for key in ("one", "two"):
            given = settings(base_url=url, rate=UNPACED, api_key=key)
            transport = HttpTransport(given, connector=connections)
            async with Client(given, transport=transport) as asking:
                await asking.ask(QUESTION)
        assert not connections.closed
    assert len({port for port, _ in ports}) == 1
    assert {key for _, key in ports} == {"one", "two"}


async def test_a_certificate_that_nobody_vouches_for_is_an_error_at_once() -> None:
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(CERTIFICATE)
    async with serving(plain, ssl_context=server_side) as url, client(url) as asking:
        with pytest.raises(ApiError, match=r"no secure connection to 127\.0\.0\.1: .*CERTIFICATE_VERIFY_FAILED"):
            await asking.ask(QUESTION)


async def test_a_bundle_from_the_environment_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(CERTIFICATE)
    async with serving(plain, ssl_context=server_side) as url, client(url) as asking:
        assert (await asking.ask(QUESTION)).records == [{"order_id": "7"}]
    assert tls_from_environment() is tls_from_environment(), "it is read once a process"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(ConfigError, match=r"REQUESTS_CA_BUNDLE names /nowhere/bundle\.pem"):
        tls_from_environment()


async def test_a_proxy_carries_the_request_and_gets_its_own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[bytes] = []

    async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(GOOD)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(line, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with client("http://api.example") as asking:
            assert (await asking.ask(QUESTION)).records == [{"order_id": "7"}]
    head = came[0].decode()
    assert head.startswith(f"POST http://api.example{ENDPOINT} HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in head
    assert "Accept-Encoding: gzip\r\n" in head


def test_the_environment_says_which_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    api = URL("https://openapi.duoplus.net")
    assert proxy_from_environment(api) == (None, None)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_from_environment(api) == (URL("http://proxy.example:3128"), None)
    assert proxy_from_environment(URL("https://127.0.0.1:8080")) == (None, None)
    monkeypatch.setenv("NO_PROXY", ".duoplus.net")
    assert proxy_from_environment(api) == (None, None)
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example")
    with pytest.raises(ConfigError, match="socks5"):
        proxy_from_environment(api)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:80", True),
        ("http://10.0.0.1", False),
        ("https://openapi.duoplus.net", False),
    ],
)
def test_loopback_is_told_from_the_rest(url: str, *, loopback: bool) -> None:
    assert is_loopback(URL(url)) is loopback


async def test_every_fault_of_the_simulator_is_overcome() -> None:
    faults = Faults(
        script=tuple(kind for kind in KINDS for _ in range(2)), stall_seconds=5.0, slow_seconds=0.1, burst=2
    )
    seen: list[Event] = []
    with serving_apart(SimulatorOptions(rows=100, faults=faults)) as url:
        second = 1_767_196_800  # the last second of the simulator's orders
        request = PageRequest(first=second - 800 * 86_400, last=second, page_size=10)
        async with client(url, seen=seen, api_key="simulator", timeout=0.5, concurrency=4) as asking:
            answers = await asyncio.gather(*(asking.ask(request) for _ in range(30)))
    assert [len(answer.records) for answer in answers] == [10] * 30
    assert asking.statistics.rate_limited >= 2
    assert asking.statistics.retries >= 2 * len(
        {"server_error", "html", "reset", "cut", "malformed", "empty", "null_data"}
    )


async def test_a_request_on_a_new_connection_uses_none_that_was_there_and_leaves_none() -> None:
    ports: list[int] = []

    async def remember(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response(body=PAGE)

    async with serving(remember) as url, Client(settings(base_url=url, rate=UNPACED)) as client:
        for new in (False, False, True, True, False):
            await client.ask(QUESTION, new_connection=new)
    pooled, one, other = ports[0], ports[2], ports[3]
    assert ports == [pooled, pooled, one, other, pooled]
    assert len({pooled, one, other}) == 3
