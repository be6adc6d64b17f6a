"""Send one request over HTTP; the only module that knows aiohttp.

Foreign errors become ours here. They are raised outside the `except` block on purpose: aiohttp's exceptions carry the
request's headers, so none of them may be reachable from an error of ours.

The pace depends on one method that aiohttp calls to write a body (`_Departure.write_with_length`): if a version of it
calls another, the permit of a request never leaves, and `Client` ends the export.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import math
import os
import re
import ssl
import urllib.request
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from exporter.config.options import Settings
from exporter.errors import ApiError, ConfigError
from exporter.http.permits import Permit
from exporter.vendor.envelope import NO_API_HINT, PROXY_HINT, HttpResponse, MayPass
from exporter.vendor.foreign_text import shown
from exporter.vendor.orders import ENDPOINT, KEY_HEADER
from exporter.vendor.secret import Secret

LARGEST_BODY = 64 * 1024 * 1024
READ_BUFFER = 256 * 1024
"""A page is about 127 kB: it is read without pausing the connection."""
KEEP_ALIVE = 30.0
CONNECT = 15.0
"""Seconds that a connection may take to be set up, if --timeout is not shorter."""
FIRST_ANSWER = 45.0
"""Seconds after the first departure in which a server must have answered once, so that a wrong host shows within a
minute; not where --timeout is above LONG_TIMEOUT."""
LONG_TIMEOUT = 60.0
SHORTEST_FIRST = 5.0
"""Seconds that the last attempt within FIRST_ANSWER has at least."""

TLS_HINT = "check the clock, the proxy, and SSL_CERT_FILE if a company's own certificates are in use"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
OPENSSL_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""These OpenSSL reads itself; the others are read in addition."""


class Transport(Protocol):
    """What carries a request. It awaits `permit.come()` with its connection ready, sends, and calls `permit.left()`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
        """Return the server's response; raise `MayPass` or an `ApiError`.

        `new_connection`: one that no other request uses, before or after.
        """


class HttpTransport:
    """One aiohttp session to one endpoint, its connections kept alive.

    Several may share a `connector`, which then is closed by whoever made it.
    """

    def __init__(self, settings: Settings, *, connector: aiohttp.BaseConnector | None = None) -> None:
        self._url = URL(settings.base_url.rstrip("/") + ENDPOINT)
        self._timeout = settings.timeout
        self._secret = settings.api_key
        self._connector = connector
        self._deadlines = Deadlines(settings.timeout)
        self._headers = {
            "Content-Type": "application/json",
            "Lang": settings.language,
            "Accept": "application/json",
            "Accept-Encoding": "identity" if is_loopback(self._url) else "gzip",
            "User-Agent": "duoplus-exporter",
        }
        self._proxy, self._proxy_headers = proxy_from_environment(self._url)
        if self._proxy is not None and self._url.scheme == "http":
            self._headers |= self._proxy_headers or {}

    async def __aenter__(self) -> Self:
        if self._connector is None:
            self._session = self._open_session(connector(self._url))
        else:
            self._session = self._open_session(self._connector, owner=False)
        return self

    def _open_session(self, used: aiohttp.BaseConnector, *, owner: bool = True) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=used,
            connector_owner=owner,
            headers=self._headers | {KEY_HEADER: self._secret.reveal()},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=min(self._timeout, CONNECT)),
            read_bufsize=READ_BUFFER,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, body: bytes, permit: Permit, *, new_connection: bool = False) -> HttpResponse:
        """Return the server's response; raise `MayPass`, or an `ApiError` for what can't pass.

        The timeout runs from the departure: waiting for a slot is no fault of the server's.
        """
        if not new_connection:
            return await self._post(self._session, body, permit)
        async with self._open_session(connector(self._url)) as session:
            return await self._post(session, body, permit)

    async def _post(self, session: aiohttp.ClientSession, body: bytes, permit: Permit) -> HttpResponse:
        deadlines = self._deadlines
        try:
            async with (
                asyncio.timeout(None) as deadline,
                session.post(
                    self._url,
                    data=_Departure(body, permit, deadline, deadlines),
                    allow_redirects=False,
                    proxy=self._proxy,
                    proxy_headers=self._proxy_headers,
                ) as response,
            ):
                deadlines.answered = True
                return HttpResponse(response.status, response.headers, await _read(response))
        except (aiohttp.ClientError, OSError) as error:
            ours = _ours(error, self._url, self._secret, seconds=deadlines.last)
        raise ours


class Deadlines:
    """How long a response may take: `--timeout`, and less as long as the server has never answered."""

    def __init__(self, timeout: float) -> None:
        self.answered = False
        self.last = timeout
        """Seconds of the last deadline that was set."""
        self._timeout = timeout
        self._first = math.inf
        """When the first request left."""

    def after(self, departure: float) -> float:
        """Return the moment by which the response to a request that left at `departure` must be there."""
        self._first = min(self._first, departure)
        self.last = self._timeout
        if not self.answered and self._timeout <= LONG_TIMEOUT:
            self.last = min(self._timeout, max(SHORTEST_FIRST, self._first + FIRST_ANSWER - departure))
        return departure + self.last


class _Departure(aiohttp.BytesPayload):
    """A body that leaves in its slot: headers and body go out in one write, made when the slot has come."""

    def __init__(self, body: bytes, permit: Permit, deadline: asyncio.Timeout, deadlines: Deadlines) -> None:
        super().__init__(body, content_type="application/json")
        self._permit = permit
        self._deadline = deadline
        self._deadlines = deadlines

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        await self._permit.come()
        await super().write_with_length(writer, content_length)
        self._permit.left()
        self._deadline.reschedule(self._deadlines.after(asyncio.get_running_loop().time()))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the decompressed body, or stop as soon as it is larger than any page."""
    blocks = []
    size = 0
    while block := await response.content.readany():
        size += len(block)
        if size > LARGEST_BODY:
            raise _TooLarge
        blocks.append(block)
    return b"".join(blocks)


class _TooLarge(aiohttp.ClientError):
    pass


def _ours(error: Exception, url: URL, secret: Secret, *, seconds: float) -> MayPass | ApiError:
    """Map a foreign error to one of ours; `seconds` is what a response was waited for."""
    host = url.host
    ours: MayPass | ApiError
    match error:
        case _TooLarge():
            ours = ApiError(f"{host} sent a body of more than {LARGEST_BODY >> 20} MiB, which is no page of orders")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            ours = ApiError(
                f"no secure connection to {host}: {shown(str(error.__cause__ or error), secret)}", hint=TLS_HINT
            )
        case aiohttp.ClientHttpProxyError(status=status) if status < 500:
            ours = ApiError(f"the proxy refused to connect to {host} (HTTP {status})", hint=PROXY_HINT)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            ours = ApiError(f"{url} can't be asked", hint="check --base-url")
        case aiohttp.ConnectionTimeoutError():
            ours = MayPass(f"no connection to {host} in time")
        case TimeoutError():
            ours = MayPass(f"no answer from {host} within {seconds:g} s")
        case aiohttp.ClientPayloadError():
            ours = MayPass(f"the body from {host} broke off or could not be decompressed")
        case aiohttp.ClientResponseError(message=message):
            reason = message.partition("\n")[0].rstrip(":")  # what follows quotes the bytes, as Python writes them
            ours = MayPass(f"{host} sent no valid HTTP ({shown(reason, secret)})", hint=NO_API_HINT)
        case aiohttp.ServerDisconnectedError():
            ours = MayPass(f"{host} closed the connection without an answer")
        case _:
            ours = MayPass(f"no connection to {host} ({shown(_reason(error), secret)})")
    return ours


def _reason(error: Exception) -> str:
    """Return why there is no connection: the system's word for it, where asyncio shows addresses as Python writes them.

    Several addresses of one host may have failed in several ways: the first is shown.
    """
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if numbers := re.findall(r"\[Errno (\d+)\]", str(found)):
        return os.strerror(int(numbers[0]))
    return getattr(found, "strerror", None) or str(error) or type(error).__name__


def connector(url: URL) -> aiohttp.TCPConnector:
    """Return what holds the connections to a host, any number of them."""
    tls = tls_from_environment() if url.scheme == "https" else True
    return aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=tls)


def is_in_the_clear(base_url: str) -> bool:
    """Return whether the key would go to another machine without encryption."""
    url = URL(base_url)
    return url.scheme == "http" and not is_loopback(url)


def is_loopback(url: URL) -> bool:
    """Return whether a URL points to this machine."""
    host = url.host or ""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def proxy_from_environment(url: URL) -> tuple[URL | None, dict[str, str] | None]:
    """Return the proxy for a URL and the headers that it wants, as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say.

    Looked up once: aiohttp's own way takes a thread, twice for each request. This machine needs no proxy.
    """
    host = url.host or ""
    if is_loopback(url) or urllib.request.proxy_bypass(host):
        return None, None
    proxies = urllib.request.getproxies()
    text = proxies.get(url.scheme) or proxies.get("all")
    if not text:
        return None, None
    proxy = URL(text if "://" in text else f"http://{text}")
    if proxy.scheme not in {"http", "https"}:
        raise ConfigError(f"a {proxy.scheme} proxy can't be used", hint="give an http proxy in HTTPS_PROXY")
    if proxy.user is None:
        return proxy, None
    credentials = base64.b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return proxy.with_user(None), {"Proxy-Authorization": f"Basic {credentials}"}


def tls_from_environment() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those that the environment names."""
    return _trusting(*((name, os.environ.get(name)) for name in (*CA_VARIABLES, *OPENSSL_VARIABLES)))


@lru_cache(maxsize=4)
def _trusting(*named: tuple[str, str | None]) -> ssl.SSLContext:
    """Return a context for these variables; reading the system's authorities takes longer than a handshake."""
    context = ssl.create_default_context()
    for name, path in named:
        if path and name in CA_VARIABLES:
            try:
                context.load_verify_locations(**{"capath" if os.path.isdir(path) else "cafile": path})  # noqa: PTH112
            except OSError as error:
                raise ConfigError(f"{name} names {path}, which can't be read as certificates: {error}") from None
    return context
