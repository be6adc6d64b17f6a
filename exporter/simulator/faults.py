"""Spoil responses as servers, proxies and networks do. Pure: a fault turns a body into the `WireResponse` to send."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from random import Random
from types import MappingProxyType
from typing import Any

from exporter.vendor.orders import TOO_FREQUENT

REFUSAL = b'{"code":%d,"message":"Request too frequent, please try again later."}' % TOO_FREQUENT


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The share of responses, 0 to 1, that each fault spoils; one response has one fault at most."""

    server_error: float = 0.0
    """HTTP 500, 502, 503 or 504 with a page of HTML."""
    html: float = 0.0
    """HTTP 200 with a page of HTML instead of JSON."""
    reset: float = 0.0
    """The connection is reset before the response."""
    cut: float = 0.0
    """The connection ends in the middle of the body."""
    malformed: float = 0.0
    """JSON that stops in the middle, of the length announced."""
    empty: float = 0.0
    """HTTP 200 with no body."""
    null_data: float = 0.0
    """A success whose `data` is null."""
    code_500: float = 0.0
    """HTTP 200 with an envelope of code 500."""
    stall: float = 0.0
    """Nothing comes for `stall_seconds`, then the right response."""
    slow: float = 0.0
    """The right response, in small pieces over `slow_seconds`."""
    gzip: float = 0.0
    """The right response, compressed, for clients that accept it."""
    refusals: float = 0.0
    """The start of a burst of `burst` refusals for pace, whatever the pace is."""
    stall_seconds: float = 30.0
    """How long a stall lasts."""
    slow_seconds: float = 1.0
    """How long a slow response takes."""
    burst: int = 3
    """How many requests in a row a burst refuses."""
    script: tuple[str, ...] = ()
    """The faults of the first requests by name, one each, `none` for none; the shares apply after them."""

    def __post_init__(self) -> None:
        if unknown := set(self.script) - {*KINDS, "none"}:
            raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}; known are {', '.join(KINDS)} and none")
        if sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError("the shares of the faults add up to more than 1")

    @property
    def shares(self) -> dict[str, float]:
        """The share of each fault by its name."""
        return {name: getattr(self, name) for name in KINDS}

    @classmethod
    def of_all_kinds(cls, share: float, *, stall_seconds: float = 0.5, slow_seconds: float = 0.2) -> Faults:
        """Return faults of every kind, equally often, that together spoil `share` of the responses."""
        shares: dict[str, Any] = dict.fromkeys(KINDS, share / len(KINDS))
        return cls(**shares, stall_seconds=stall_seconds, slow_seconds=slow_seconds)


KINDS = tuple(item.name for item in fields(Faults) if item.type == "float" and not item.name.endswith("_seconds"))
"""The names of all faults."""


@dataclass(frozen=True, kw_only=True)
class WireResponse:
    """What is sent for a request. `status` 0: nothing, the connection is reset."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    encoding: str | None = None
    sent: int | None = None
    """How many bytes of the body are sent before the connection ends; None: all."""
    delay: float = 0.0
    """Seconds before the first byte."""
    duration: float = 0.0
    """Seconds over which the body is spread."""
    headers: Mapping[str, str] = field(default_factory=dict)


_HTML = b"<html>\n<head><title>%b</title></head>\n<body><center><h1>%b</h1></center></body>\n</html>\n"
_STATUSES = {500: b"500 Internal Server Error", 502: b"502 Bad Gateway"}
_STATUSES |= {503: b"503 Service Temporarily Unavailable", 504: b"504 Gateway Time-out"}


def _page(title: bytes) -> bytes:
    return _HTML % (title, title)


def _server_error(_body: bytes, _faults: Faults, random: Random) -> WireResponse:
    status = random.choice(tuple(_STATUSES))
    return WireResponse(status=status, body=_page(_STATUSES[status]), content_type="text/html")


_SPOILERS: Mapping[str, Callable[[bytes, Faults, Random], WireResponse]] = MappingProxyType(
    {
        "server_error": _server_error,
        "html": lambda _body, _faults, _random: WireResponse(body=_page(b"Just a moment..."), content_type="text/html"),
        "reset": lambda _body, _faults, _random: WireResponse(status=0),
        "cut": lambda body, _faults, random: WireResponse(body=body, sent=random.randrange(len(body))),
        "malformed": lambda body, _faults, random: WireResponse(body=body[: random.randrange(1, len(body))]),
        "empty": lambda _body, _faults, _random: WireResponse(),
        "null_data": lambda _body, _faults, _random: WireResponse(body=b'{"code":200,"data":null,"message":"Success"}'),
        "code_500": lambda _body, _faults, _random: WireResponse(body=b'{"code":500,"message":"Internal error"}'),
        "stall": lambda body, faults, _random: WireResponse(body=body, delay=faults.stall_seconds),
        "slow": lambda body, faults, _random: WireResponse(body=body, duration=faults.slow_seconds),
        "gzip": lambda body, _faults, _random: WireResponse(body=gzip.compress(body, 1), encoding="gzip"),
        "refusals": lambda _body, _faults, _random: WireResponse(body=REFUSAL),
    }
)


def spoiled(kind: str, body: bytes, *, faults: Faults | None = None, random: Random | None = None) -> WireResponse:
    """Return what is sent when `kind` hits the response `body`."""
    return _SPOILERS[kind](body, faults or Faults(), random or Random(0))


@dataclass(slots=True)
class Spoiler:
    """Choose the fault of each request, by script and then by chance; the same seed chooses the same."""

    faults: Faults
    random: Random
    _number: int = field(default=0, init=False)
    _refusals_left: int = field(default=0, init=False)

    def choose(self) -> str | None:
        """Return the name of the next request's fault, None for none."""
        number, self._number = self._number, self._number + 1
        if self._refusals_left:
            self._refusals_left -= 1
            return "refusals"
        if number < len(self.faults.script):
            kind = self.faults.script[number]
        else:
            shares = self.faults.shares
            weights = [*shares.values(), max(0.0, 1 - sum(shares.values()))]
            kind = self.random.choices([*KINDS, "none"], weights)[0]
        if kind == "refusals":
            self._refusals_left = self.faults.burst - 1
        return None if kind == "none" else kind
