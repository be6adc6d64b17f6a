"""Read a request's body as the API does: defaults, bounds, filters; refuse what makes no sense."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exporter.vendor.orders import API_ZONE, DEFAULT_PAGE_SIZE

_DEFAULT_DAYS = 7  # D
_CODES = {"status": range(1, 8), "type": range(1, 10), "product_type": range(1, 12)}
WRONG_PARAMETER = 400  # ?: the documents name no code


class RefusedError(Exception):
    """The response is an envelope with this code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters of a request but its range; an empty field lets all orders through."""

    status: frozenset[int] = frozenset()
    type: frozenset[int] = frozenset()
    product_type: frozenset[int] = frozenset()
    image_ids: frozenset[str] = frozenset()
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One page of one span. `first` and `last` are Unix seconds, both inclusive, as far as the server's bounds are."""

    first: int
    last: int
    page: int
    page_size: int
    filters: Selection
    sort_by: Literal["created_at", "total"]
    descending: bool


def read_request(body: object, now: float) -> Request:
    """Return what a request asks for at Unix second `now`; raise RefusedError if it makes no sense."""
    if not isinstance(body, dict):
        raise RefusedError(WRONG_PARAMETER, "the body must be a JSON object")
    first, last = default_range(now)
    first = _second(body, "created_at_start", first)
    last = _second(body, "created_at_end", last)
    if first > last:
        raise RefusedError(WRONG_PARAMETER, "created_at_start must not be later than created_at_end")
    return Request(
        first,
        last,
        _count(body, "page", 1),
        _count(body, "pagesize", DEFAULT_PAGE_SIZE),
        _filters(body),
        _choice(body, "sort_by", ("created_at", "total")),
        _choice(body, "order", ("desc", "asc")) == "desc",
    )


def default_range(now: float) -> tuple[int, int]:
    """Return the seven days that end with today, in GMT+08:00 (D)."""
    today = dt.datetime.fromtimestamp(now, API_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    midnight = int(today.timestamp())
    return midnight - (_DEFAULT_DAYS - 1) * 86_400, midnight + 86_399


def _second(body: Mapping[str, Any], name: str, default: int) -> int:
    text = body.get(name)
    if text is None or text == "":
        return default
    try:
        moment = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RefusedError(WRONG_PARAMETER, f"{name} must be like 2026-03-16T00:00:00+08:00")
    return int(moment.timestamp())


def _count(body: Mapping[str, Any], name: str, default: int) -> int:
    number = body.get(name, default)
    if type(number) is not int or number < 1:
        raise RefusedError(WRONG_PARAMETER, f"{name} must be a positive integer")
    return number


def _choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> Any:
    choice = body.get(name, choices[0])
    if choice not in choices:
        raise RefusedError(WRONG_PARAMETER, f"{name} must be one of {', '.join(choices)}")
    return choice


def _filters(body: Mapping[str, Any]) -> Selection:
    order_id = body.get("order_id") or ""
    if not isinstance(order_id, str):
        raise RefusedError(WRONG_PARAMETER, "order_id must be a string")
    images = _items(body, "image_ids")
    return Selection(
        **{name: frozenset(_code(name, item) for item in _items(body, name)) for name in _CODES},
        image_ids=frozenset(map(str, images)),
        order_id=order_id,
    )


def _items(body: Mapping[str, Any], name: str) -> list[Any]:
    items = body.get(name) or []
    if not isinstance(items, list):
        raise RefusedError(WRONG_PARAMETER, f"{name} must be an array")
    return items


def _code(name: str, item: object) -> int:
    """Return a code that came as a string, as in the documents' example, or as a number."""
    try:
        code = int(item) if isinstance(item, (str, int)) and not isinstance(item, bool) else 0
    except ValueError:
        code = 0
    if code not in _CODES[name]:
        raise RefusedError(WRONG_PARAMETER, f"{name} must hold codes from 1 to {_CODES[name][-1]}")
    return code
