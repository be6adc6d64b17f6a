"""Read what the server sent: a page, a refusal, a failure that may pass, or a no. Pure.

The cases, in the order in which they are told apart:
- HTTP 3xx: an error at once; the key must not follow.
- HTTP 429, or code 160004 or 429 in the envelope: a refusal for pace (`TooFrequent`).
- HTTP or envelope 401: the key is refused.
- HTTP 408, 425 and 5xx, codes 500 to 599: may pass (`MayPass`).
- any other HTTP 4xx, any other code but 200: the request is refused for good.
- a body that is no page: cut, empty, HTML, `data: null`: may pass.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from exporter.errors import ApiError, RejectedError, UnauthorizedError
from exporter.vendor.orders import SEPARATOR, SUCCESS, TOO_FREQUENT, UNAUTHORIZED, PageRequest

SHOWN = 200
"""So many characters of a foreign text are shown."""

KEY_HINT = "check DUOPLUS_API_KEY (or --api-key-file) and --site: each site has keys of its own"
PROXY_HINT = "check HTTPS_PROXY and NO_PROXY"
PASSING_STATUSES = (408, 425)


class TooFrequent(Exception):  # noqa: N818 - no error: the request keeps its place
    """The server refused a request for pace; `retry_after` is in seconds."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("too frequent")
        self.retry_after = retry_after


class MayPass(Exception):  # noqa: N818 - no error yet: it names a condition
    """A request failed in a way that may pass; `retry_after` is in seconds."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One HTTP response, decompressed. `headers` are looked up by their canonical names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read(reply: HttpResponse, request: PageRequest, *, now: float, secret: str) -> dict[str, Any]:
    """Return the `data` of a page, with `list` a list of objects; raise what the module's docstring tells.

    `now` is the local clock in Unix seconds; `secret` is blotted out of every text that is passed on.
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
    return data


def may_separate(body: bytes) -> bool:
    """Tell whether a text in a body of JSON may hold SEPARATOR: escaped, or raw, which orjson refuses."""
    return b"\\" in body or SEPARATOR.encode() in body


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


def _read_leniently(reply: HttpResponse, request: PageRequest, secret: str) -> Any:
    """Read what orjson refuses and the standard library takes: lone surrogates, raw control characters."""
    try:
        return json.loads(
            reply.body, strict=False, parse_constant=_refuse_number, parse_float=_double, parse_int=_integer
        )
    except _NumberError as error:
        number = _shown(str(error), secret)
    except (ValueError, RecursionError):
        raise MayPass(_describe(reply, secret)) from None
    raise ApiError(f"the answer to {request} holds {number}, which is no number that a double can carry")


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


def _explain(reply: HttpResponse, envelope: Any, request: PageRequest, *, now: float, secret: str) -> NoReturn:
    """Raise what a reply that is no page stands for."""
    status = reply.status
    code = _code(envelope)
    text = _shown(str(envelope.get("message", "")), secret) if isinstance(envelope, dict) else ""
    wait = retry_after(reply.headers, now=now)
    if 300 <= status < 400:
        target = _shown(reply.headers.get("Location", "nowhere"), secret)
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
        raise MayPass(_describe(reply, secret), retry_after=wait)
    if code is not None and 500 <= code < 600:
        raise MayPass(f"code {code}: {text}", retry_after=wait)
    if status >= 400 or (code is not None and code != SUCCESS):
        number = status if code is None or code == SUCCESS else code
        shown = text or _describe(reply, secret)
        raise RejectedError(f"the API refused {request}: code {number}, {shown}", code=number, text=text)
    raise MayPass(_describe(reply, secret), retry_after=wait)


def _code(envelope: Any) -> int | None:
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if isinstance(code, str) and code.isascii() and code.isdigit():
        return int(code[:10])
    return code if type(code) is int else None


def _describe(reply: HttpResponse, secret: str) -> str:
    """Say in a few words what came in place of a page."""
    if not reply.body:
        return f"an empty body (HTTP {reply.status})"
    kind = reply.headers.get("Content-Type", "").partition(";")[0]
    start = _shown(reply.body[: 2 * SHOWN].decode("utf-8", "replace"), secret)
    return f"no page but {len(reply.body)} bytes of {kind or 'unknown type'} (HTTP {reply.status}), beginning {start!r}"


def _shown(text: str, secret: str) -> str:
    if secret:
        text = text.replace(secret, "***")
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as seconds or as an HTTP date by the server's own clock."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = http_date(text)
    if moment is None:
        return None
    server_now = http_date(headers.get("Date", ""))
    return max(0.0, moment - (now if server_now is None else server_now))


def http_date(text: str) -> int | None:
    """Return an HTTP date in Unix seconds; None if it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return int(moment.timestamp())
