"""A small server that may do anything the API's documents don't forbid, and remembers the whole truth.

It is no simulator of the API: it is the model that the engine is held against. Orders are few, pages tiny, and before
each request the world may change. It knows, of every order, when it was there and how often one answer showed it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Literal, NamedTuple

from exporter.errors import RejectedError
from exporter.vendor.orders import PageRequest, PageResponse, wire_time

START = 1_770_000_000
"""The Unix second at which the model's world begins."""


@dataclass(kw_only=True)
class Order:
    moment: int
    """When it was made, in milliseconds since START."""
    name: str
    status: str = "Paid"

    def __hash__(self) -> int:
        return id(self)

    @property
    def identity(self) -> tuple[str, int]:
        return self.name, self.moment // 1000

    def shown(self) -> dict[str, Any]:
        return {
            "type": "Renewal" if len(self.name) % 2 else "Purchase",
            "order_id": self.name,
            "product": "Cloud phone",
            "description": "",
            "status": self.status,
            "total": "-$1.00",
            "created_at": wire_time(START + self.moment // 1000),
            "expired_at": "",
            "expired_seconds": 0,
        }


class Change(NamedTuple):
    """An order came or went `after` a number of requests; `second` is the one in which it was made, from START on."""

    after: int
    second: int


@dataclass(frozen=True, kw_only=True, repr=False)
class HostileQuirks:
    """How the server differs from a well-behaved one; its surprises are named as in the simulator's `Quirks`."""

    max_page_size: int = 1000
    page_size: int = 0
    shuffled_ties: bool = False
    sort: Literal["obeyed", "descending", "none"] = "obeyed"
    open_start: bool = False
    open_end: bool = False
    hidden_fractions: bool = False
    totals: Literal["right", "text", "missing", "short", "long"] = "right"
    total_cap: int = 0
    depth_cap: int = 0
    beyond_depth: Literal["refuse", "empty", "repeat"] = "refuse"
    past_end: Literal["empty", "refuse", "repeat"] = "empty"
    max_range_seconds: int = 0
    ignored_range: float = 0.0
    short_pages: float = 0.0
    drift: float = 0.0
    """How likely something appears, vanishes or changes before a request."""
    drifts: int = 0
    """How often at most."""

    def __repr__(self) -> str:
        changed = (one for one in fields(self) if getattr(self, one.name) != one.default)
        return ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in changed) or "well-behaved"


@dataclass(kw_only=True, repr=False)
class HostileServer:
    orders: list[Order]
    quirks: HostileQuirks
    random: Random
    seconds: int
    """How long the model's world is."""
    latency: float = 0.0
    requests: int = 0
    populations: list[set[int | None]] = field(default_factory=list)
    """How many orders there were at each request, and how many its total gives."""
    came: list[Change] = field(default_factory=list)
    """The late orders."""
    went: list[Change] = field(default_factory=list)
    """The orders that were deleted."""
    most_shown: Counter[tuple[str, int]] = field(default_factory=Counter)
    """How often one single answer showed an identity."""

    def __repr__(self) -> str:
        return f"<{self.quirks!r}; {' '.join(f'{order.name}@{order.moment}' for order in self.orders)}>"

    def __post_init__(self) -> None:
        self._from_the_start = set(self.orders)
        self._drifts_left = self.quirks.drifts

    def survivors(self) -> Counter[tuple[str, int]]:
        """Identities of the orders that were there from the first request until now."""
        return Counter(order.identity for order in self._inside() if order in self._from_the_start)

    def insert(self, order: Order) -> None:
        self.orders.append(order)
        self.came.append(Change(self.requests, order.moment // 1000))

    def delete(self, order: Order) -> None:
        self.orders.remove(order)
        self.went.append(Change(self.requests, order.moment // 1000))

    def _inside(self) -> list[Order]:
        return [order for order in self.orders if 0 <= order.moment < 1000 * self.seconds]

    async def ask(self, request: PageRequest, *, urgent: bool = False, new_connection: bool = False) -> PageResponse:
        """Answer after a while, so that answers overtake each other."""
        await asyncio.sleep(self.random.random() * self.latency)
        return self.response(request)

    def response(self, request: PageRequest) -> PageResponse:
        self._drift()
        self.requests += 1
        population = len(self._inside())
        self.populations.append({population, self._total(population)})
        quirks = self.quirks
        first, last = request.first - START, request.last - START
        if quirks.max_range_seconds and last - first > quirks.max_range_seconds:
            raise RejectedError("the range is too long", code=400, text="range")
        if self.random.random() < quirks.ignored_range:
            first, last = -1, self.seconds  # the range is ignored
        found = self._select(first * 1000, last * 1000, request)
        size = quirks.page_size or min(request.page_size, quirks.max_page_size)
        shown = self._page(found, request.page, size)
        if self.random.random() < quirks.short_pages:
            shown = shown[: max(1, len(shown) // 2)]
        seen = Counter(order.identity for order in shown)
        self.most_shown |= seen
        return PageResponse(
            request=request,
            records=[order.shown() for order in shown],
            total=self._total(len(found)),
            number=self.requests,
            date=START + self.seconds + 300,
            received=float(self.requests),
        )

    def _select(self, low: int, high: int, request: PageRequest) -> list[Order]:
        """Return the orders of a range of milliseconds, in the order in which this request shows them."""
        quirks = self.quirks

        def moments(order: Order) -> int:
            return order.moment if quirks.hidden_fractions else order.moment // 1000 * 1000

        found = [
            order
            for order in self.orders
            if (moments(order) > low if quirks.open_start else moments(order) >= low)
            and (moments(order) < high if quirks.open_end else moments(order) <= high)
            and self._matches(order, request)
        ]
        if quirks.shuffled_ties or quirks.sort == "none":
            self.random.shuffle(found)
        if quirks.sort != "none":
            found.sort(key=moments, reverse=quirks.sort == "descending")
        return found

    def _matches(self, order: Order, request: PageRequest) -> bool:
        code = 2 if order.shown()["type"] == "Renewal" else 1
        statuses = {"Paid": 3, "Finished": 5, "Refunded": 7}
        filters = request.filters
        return (
            (not filters.type or code in filters.type)
            and (not filters.status or statuses[order.status] in filters.status)
            and (not filters.product_type or 2 in filters.product_type)
        )

    def _page(self, found: list[Order], page: int, size: int) -> list[Order]:
        quirks = self.quirks
        if quirks.depth_cap and page > 1 and page * size > quirks.depth_cap:
            if quirks.beyond_depth == "refuse":
                raise RejectedError("too deep", code=400, text="too deep")
            if quirks.beyond_depth == "empty":
                return []
            page = max(1, quirks.depth_cap // size)
        if page > 1 and (page - 1) * size >= len(found):
            if quirks.past_end == "refuse":
                raise RejectedError("no such page", code=404, text="no such page")
            if quirks.past_end == "repeat":
                page = max(1, -(-len(found) // size))
        return found[(page - 1) * size : page * size]

    def _total(self, total: int) -> int | None:
        if self.quirks.total_cap:
            total = min(total, self.quirks.total_cap)
        match self.quirks.totals:
            case "short":
                return max(total - 1, 0)
            case "long":
                return total + 1
            case "text" | "missing":
                return None
        return total

    def _drift(self) -> None:
        if self._drifts_left <= 0 or self.random.random() >= self.quirks.drift:
            return
        self._drifts_left -= 1
        match self.random.randrange(3):
            case 0:
                moment = self.random.randrange(self.seconds * 1000)
                self.insert(Order(moment=moment, name=f"late{self._drifts_left}"))
            case 1 if self.orders:
                self.delete(self.random.choice(self.orders))
            case 2 if self.orders:
                self.random.choice(self.orders).status = self.random.choice(["Finished", "Refunded"])
