"""Read what the server sent: a page, a refusal, a failure that may pass, or a no. Pure.

The cases, in the order in which they are distinguished:
- a page: HTTP 200, code 200, `data` with a list of objects; one far larger than any page is an error at once.
- HTTP 3xx: an error at once; the key must not follow.
- HTTP 429, or code 160004 or 429 in the envelope: a refusal for pace (`TooFrequent`).
- HTTP or envelope 401: the key is refused.
- HTTP 408, 425 and 5xx, codes 500 to 599: may pass (`MayPass`).
- any other HTTP 4xx, any other code but 200: the request is refused for good.
- a body that is no page: cut, empty, HTML, `data: null`: may pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import orjson

from exporter.errors import ApiError, RejectedError, UnauthorizedError
from exporter.vendor.foreign_text import quoted, shown
from exporter.vendor.http_times import retry_after
from exporter.vendor.orders import (
    ENDPOINT,
    MAX_PAGE_SIZE,
    SEPARATOR,
    SUCCESS,
    TOO_FREQUENT,
    UNAUTHORIZED,
    UNKNOWN_PATH,
    PageRequest,
    PlainRecords,
)
from exporter.vendor.secret import Secret

LARGEST_PAGE = 4 * MAX_PAGE_SIZE
"""Records of a page at most. A server may ignore the size that was asked for, but not its own largest one."""

KEY_HINT = "check DUOPLUS_API_KEY (or --api-key-file) and --site: each site has keys of its own"
PROXY_HINT = "check HTTPS_PROXY and NO_PROXY"
ADDRESS_HINT = "check the address (--base-url, or --site), the network, HTTPS_PROXY and NO_PROXY"
NO_API_HINT = (
    "this is not the API, but perhaps the login page of a network or a proxy: open the address in a browser, check "
    "--base-url or --site, HTTPS_PROXY and NO_PROXY"
)
HINTS: Mapping[int, str] = MappingProxyType(
    {
        403: "something refuses this machine, or the key may not read orders: check --site, the addresses that the "
        "vendor or a firewall allows, HTTPS_PROXY, and the key's rights",
        404: f"there is no API at this address: check --base-url or --site; {ENDPOINT} is added to it",
        UNKNOWN_PATH: f"the server does not know this path: check --base-url or --site; {ENDPOINT} is added to it",
    }
)
"""What to do about an HTTP status or a code that refuses a request."""

PASSING_STATUSES = (408, 425)
LOGIN_STATUS = 511
"""A network wants a login before it lets anything through."""


class TooFrequent(Exception):  # noqa: N818 - no error: the request keeps its place
    """The server refused a request for pace; `retry_after` is in seconds."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("too frequent")
        self.retry_after = retry_after


class MayPass(Exception):  # noqa: N818 - no error yet: it names a condition
    """A request failed in a way that may pass; `retry_after` is in seconds.

    `reached` is true if this came from a server that may be the API, with trouble of its own; `hint` is what to do if
    nothing better ever comes.
    """

    def __init__(
        self, reason: str, *, retry_after: float | None = None, reached: bool = False, hint: str = ADDRESS_HINT
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.reached = reached
        self.hint = hint


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP response, decompressed. `headers` are looked up by their canonical names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read(reply: HttpResponse, request: PageRequest, *, now: float, secret: Secret) -> dict[str, Any]:
    """Return the `data` of a page, with `list` a list of objects; raise what the module's docstring names.

    `now` is the local clock in Unix seconds; `secret` is removed from every text that is passed on.
    """
    envelope: Any = None
    try:
        envelope = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        if reply.status == 200:
            envelope = _read_leniently(reply, request, secret)
    data = _page(envelope) if reply.status == 200 else None
    if data is None:
        _explain(reply, envelope, request, now=now, secret=secret)
    if len(data["list"]) > LARGEST_PAGE:
        raise ApiError(
            f"the response to {request} holds {len(data['list']):,} records where {request.page_size} were asked for: "
            f"more than {LARGEST_PAGE:,} are no page",
            hint="check --base-url; if this is the API, tell the vendor",
        )
    if b"\\" not in reply.body and SEPARATOR.encode() not in reply.body:  # neither escaped nor raw
        data["list"] = PlainRecords(data["list"])
    return data


def _page(envelope: Any) -> dict[str, Any] | None:
    """Return the page in an envelope, a null list made an empty one; None if it holds none."""
    if type(envelope) is not dict or _code(envelope) != SUCCESS or type(data := envelope.get("data")) is not dict:
        return None
    records = data.get("list", ...)
    if records is None:
        data["list"] = []
    elif type(records) is not list or not set(map(type, records)) <= {dict}:
        return None
    return data


def _read_leniently(reply: HttpResponse, request: PageRequest, secret: Secret) -> Any:
    """Read what orjson refuses and the standard library takes: lone surrogates, raw control characters."""
    try:
        return json.loads(
            reply.body, strict=False, parse_constant=_refuse_number, parse_float=_double, parse_int=_integer
        )
    except _NumberError as error:
        number = shown(str(error), secret)
    except (ValueError, RecursionError):
        raise MayPass(_describe(reply, secret), hint=_hint_of(reply)) from None
    raise ApiError(f"the response to {request} holds {number}, which is no number that a double can carry")


class _NumberError(Exception):
    pass


def _refuse_number(text: str) -> NoReturn:
    raise _NumberError(text)


def _double(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise _NumberError(text)
    return number


def _integer(text: str) -> int | float:
    """Return an integer as orjson does: beyond 64 bits it is a double."""
    if len(text) > 20 or not -(2**63) <= (number := int(text)) < 2**64:
        return _double(text)
    return number


def _explain(reply: HttpResponse, envelope: Any, request: PageRequest, *, now: float, secret: Secret) -> NoReturn:
    """Raise what a response that is no page means: the cases are listed above."""
    status = reply.status
    code = _code(envelope)
    text = _message(envelope, secret)
    wait = retry_after(reply.headers, now=now)
    if 300 <= status < 400:
        target = shown(reply.headers.get("Location", "nowhere"), secret)
        raise ApiError(
            f"the server redirects to {target} (HTTP {status}); the key is not sent there",
            hint="check --base-url or --site",
        )
    if status == 429 or code in {TOO_FREQUENT, 429}:
        raise TooFrequent(wait)
    if UNAUTHORIZED in {status, code}:
        raise UnauthorizedError(
            f"the API refused the key: code {code or status}, {text or 'no message'}", hint=KEY_HINT
        )
    if status == 407:
        raise ApiError("the proxy asks for credentials (HTTP 407)", hint=PROXY_HINT)
    if status in PASSING_STATUSES or status >= 500:
        reached = code is not None or status != LOGIN_STATUS
        raise MayPass(_describe(reply, secret), retry_after=wait, reached=reached, hint=_hint_of(reply))
    if code is not None and 500 <= code < 600:
        raise MayPass(f"code {code}: {text}", retry_after=wait, reached=True)
    if status >= 400 or (code is not None and code != SUCCESS):
        number = status if code is None or code == SUCCESS else code
        meaning = text or _describe(reply, secret)
        raise RejectedError(
            f"the API refused {request}: code {number}, {meaning}",
            code=number,
            text=text,
            hint=HINTS.get(number, NO_API_HINT if code is None else None),
        )
    raise MayPass(_describe(reply, secret), retry_after=wait, reached=code is not None, hint=_hint_of(reply))


def _message(envelope: Any, secret: Secret) -> str:
    message = envelope.get("message", "") if isinstance(envelope, dict) else ""
    return shown(message, secret) if isinstance(message, str) else quoted(message, secret)


def _hint_of(reply: HttpResponse) -> str:
    """Return what to do about a server that sends nothing but this."""
    return NO_API_HINT if reply.body else ADDRESS_HINT


def _code(envelope: Any) -> int | None:
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code[:10])
    return code if type(code) is int else None


def _describe(reply: HttpResponse, secret: Secret) -> str:
    """Say in a few words what came in place of a page."""
    if not reply.body:
        return f"an empty body (HTTP {reply.status})"
    kind = shown(reply.headers.get("Content-Type", "").partition(";")[0], secret) or "unknown type"
    start = shown(reply.body, secret)
    length = f"{len(reply.body):,} byte{'' if len(reply.body) == 1 else 's'}"
    return f"no page but {length} of {kind} (HTTP {reply.status}), beginning '{start}'"
