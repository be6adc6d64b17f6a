"""Respond to requests from the orders that exist: the API without HTTP."""

from __future__ import annotations

import dataclasses
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any
from zlib import crc32

import orjson

from exporter.simulator.data import OrderColumns, given_orders, make_orders, read_records
from exporter.simulator.labels import EXPIRED, LATER, STATUSES, UNPAID, label, translated
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.query import Lookup
from exporter.simulator.quirks import Quirks
from exporter.simulator.requests import (
    WRONG_PARAMETER,
    RefusedError,
    Request,
    Selection,
    default_range,
    read_request,
)
from exporter.simulator.timestamps import draw_seconds
from exporter.vendor.orders import Record, second_of

_DAY = 86_400
_ANY = {field.name: getattr(Selection(), field.name) for field in dataclasses.fields(Selection)}
_START = b'{"code":200,"data":{"list":'


class World:
    """All orders of a team, a clock, and the API's responses with their surprises.

    `requests` counts the requests; `drifted` holds, in English, every order that appeared or vanished since the start.
    """

    def __init__(
        self, columns: OrderColumns, *, clock: Callable[[], float], quirks: Quirks | None = None, seed: int = 0
    ) -> None:
        self.columns = columns
        self.quirks = quirks or Quirks()
        self.requests = 0
        self.drifted: list[Record] = []
        self._clock = clock
        self._random = Random(seed)
        self._made = len(columns)
        self._next_deadline = 0
        self._lookup = Lookup(columns, self.quirks, self._random)
        self._settle(clock())  # not in the first response, whose time an export measures

    @classmethod
    def of(cls, options: SimulatorOptions) -> World:
        """Make the world that the options describe; raise ValueError where they name a file without records."""
        if options.records is not None:
            return cls._given(
                read_records(options.records), clock=options.now, quirks=options.quirks, seed=options.seed
            )
        random = Random(options.seed)
        first, last = options.span()
        seconds = draw_seconds(options.rows, first, last, shape=options.shape, ties=options.ties, random=random)
        moments = array("q", (second * 1000 for second in seconds))
        if options.quirks.hidden_fractions:
            moments = array("q", sorted(moment + random.randrange(1000) for moment in moments))
        del seconds  # a million of them take as much as all columns
        return cls(make_orders(moments, random), clock=options.now, quirks=options.quirks, seed=options.seed)

    @classmethod
    def at(cls, moments: Iterable[int], *, now: float, quirks: Quirks | None = None, seed: int = 0) -> World:
        """Make one order at each of the moments, in milliseconds since 1970."""
        columns = make_orders(array("q", sorted(moments)), Random(seed))
        return cls(columns, clock=lambda: now, quirks=quirks, seed=seed)

    @classmethod
    def holding(cls, records: Iterable[Record], *, now: float, quirks: Quirks | None = None, seed: int = 0) -> World:
        """Hold the given records as they are, in the order of their `created_at`; their countdowns do not run."""
        return cls._given(records, clock=lambda: now, quirks=quirks, seed=seed)

    @classmethod
    def _given(
        cls, records: Iterable[Record], *, clock: Callable[[], float], quirks: Quirks | None, seed: int
    ) -> World:
        ordered = sorted(records, key=second_of)
        columns = given_orders(ordered, [second_of(record) * 1000 for record in ordered])
        return cls(columns, clock=clock, quirks=quirks, seed=seed)

    def now(self) -> float:
        """Return the time of the server's clock in Unix seconds."""
        return self._clock()

    def response(self, body: object, *, language: str = "en") -> dict[str, Any]:
        """Return the envelope that responds to a request's parsed body."""
        envelope: dict[str, Any] = orjson.loads(self.response_bytes(body, language=language))
        return envelope

    def response_bytes(self, body: object, *, language: str = "en") -> bytes:
        """Return the envelope as the bytes that are sent."""
        self.requests += 1
        self._drift()
        now = self._clock()
        self._settle(now)
        try:
            return self._success(read_request(body, now), language, now)
        except RefusedError as refused:
            return orjson.dumps({"code": refused.code, "message": refused.message})

    def oracle(self, body: Mapping[str, Any] | None = None, *, language: str = "en") -> list[Record]:
        """Return what a perfect export must hold: all records, or those of the body's range and filters."""
        now = self._clock()
        self._settle(now)
        whole = {"created_at_start": "1970-01-01T00:00:00+00:00", "created_at_end": "9999-12-31T00:00:00+00:00"}
        request = read_request({**whole, **(body or {})}, now)
        moments = self.columns.moments
        low, high = bisect_left(moments, request.first * 1000), bisect_left(moments, (request.last + 1) * 1000)
        found = self._lookup.find(request.filters, low, high)
        return [orjson.loads(row) for row in self._rows(found, language, now)]

    def insert(self, moment: int) -> Record:
        """Let a late order appear that was made at a moment in milliseconds; return its record."""
        order = make_orders(array("q", [moment]), self._random, first_index=self._made)
        self._made += 1
        self.columns.insert(bisect_right(self.columns.moments, moment), order)
        return self._drifted(order.rows[0])

    def delete(self, index: int) -> Record:
        """Let the order at an index (by creation, from 0) vanish; return its record."""
        row = self.columns.rows[index]
        self.columns.delete(index)
        return self._drifted(row)

    def change(self, index: int) -> None:
        """Give the order at an index another status."""
        old = self.columns.statuses[index]
        self._end(index, self._random.choice([code for code in STATUSES if code not in (old, UNPAID)]))

    def advance(self, index: int) -> bool:
        """Let the status of the order at an index go forward; return whether it could."""
        later = LATER.get(self.columns.statuses[index])
        if later is not None:
            self._end(index, self._random.choice(later))
        return later is not None

    def pass_time(self, *, changes: int = 0, late: int = 0, deletions: int = 0, latest: int | None = None) -> None:
        """Let statuses go forward, orders come late and orders vanish, among the `latest` orders (None: among all).

        Which ones is a matter of the seed; there are as many changes as orders allow.
        """
        first = 0 if latest is None else max(0, len(self.columns) - latest)
        for index in self._random.sample(range(first, len(self.columns)), len(self.columns) - first):
            if changes and self.advance(index):
                changes -= 1
        for _ in range(min(deletions, len(self.columns) - first)):
            self.delete(self._random.randrange(first, len(self.columns)))
        if late and len(self.columns) > first:
            moments = self.columns.moments[first], self.columns.moments[-1]
            for _ in range(late):
                self.insert(self._random.randint(*moments) // 1000 * 1000)

    def _drifted(self, row: bytes) -> Record:
        self._lookup.forget()
        self._next_deadline = 0
        record: Record = orjson.loads(row)
        self.drifted.append(record)
        return record

    def _drift(self) -> None:
        moments = self.columns.moments
        if not moments:
            return
        if self.requests in self.quirks.inserts:
            self.insert(self._random.randint(moments[0], moments[-1]))
        if self.requests in self.quirks.deletions:
            self.delete(self._random.randrange(len(moments)))
        if self.requests in self.quirks.changes:
            self.change(self._random.randrange(len(moments)))

    def _settle(self, now: float) -> None:
        """Expire the orders whose time to pay is over."""
        if now < self._next_deadline:
            return
        statuses, deadlines = self.columns.statuses, self.columns.deadlines
        running = []
        index = statuses.find(UNPAID)
        while index >= 0:
            if 0 < deadlines[index] <= now:
                self._end(index, EXPIRED)
            elif deadlines[index]:
                running.append(deadlines[index])
            index = statuses.find(UNPAID, index + 1)
        self._next_deadline = min(running, default=1 << 62)

    def _end(self, index: int, status: int) -> None:
        """Give an order a status in which it no longer counts down."""
        columns = self.columns
        row, old = columns.rows[index], columns.statuses[index]
        if old:
            before, after = (f'"status":"{label("status", code)}"'.encode() for code in (old, status))
            row = row.replace(before, after, 1)
        columns.rows[index] = row[: row.index(b'"expired_at"')] + b'"expired_at":"","expired_seconds":0}'
        columns.statuses[index], columns.deadlines[index] = status, 0
        self._lookup.forget()

    def _success(self, request: Request, language: str, now: float) -> bytes:
        quirks, page = self.quirks, request.page
        size = self._page_size(request.page_size)
        first, last = self._range(request, now)
        if quirks.ignored_filters:
            filters = dataclasses.replace(request.filters, **{name: _ANY[name] for name in quirks.ignored_filters})
            request = dataclasses.replace(request, filters=filters)
        found = self._lookup.find(request.filters, *self._lookup.bounds(first, last))
        total = len(found)
        if page > 1 and (page - 1) * size >= total:
            if quirks.past_end == "refuse":
                raise RefusedError(WRONG_PARAMETER, "page is out of range")
            if quirks.past_end == "repeat":
                page = max(1, -(-total // size))
        if quirks.depth_cap and page * size > quirks.depth_cap:
            if quirks.beyond_depth == "refuse":
                raise RefusedError(WRONG_PARAMETER, f"only the first {quirks.depth_cap} items can be listed")
            page = total + 1
        indices = self._lookup.page(found, (page - 1) * size, page * size, request)
        rows = self._rows(indices, language, now)
        end = b',%b,"message":"Success"}' % orjson.dumps(self._numbers(request, size, total))[1:]
        if not rows:
            return _START + (b"[]" if quirks.nothing == "list" else b"null") + end
        rows[0] = b"%b[%b" % (_START, rows[0])
        rows[-1] = b"%b]%b" % (rows[-1], end)
        return b",".join(rows)  # all there is to copy, of 127 kB

    def _range(self, request: Request, now: float) -> tuple[int, int]:
        """Return the seconds, both inclusive, that are answered for in place of those that were asked for."""
        quirks, first, last = self.quirks, request.first, request.last
        if quirks.max_range_days and last - first >= quirks.max_range_days * _DAY:
            raise RefusedError(WRONG_PARAMETER, f"the time range must not exceed {quirks.max_range_days:g} days")
        if quirks.ignored_range and self._random.random() < quirks.ignored_range:
            first, last = default_range(now)
        if quirks.last_days:
            first = max(first, last - int(quirks.last_days * _DAY))
        if quirks.first_days:
            last = min(last, first + int(quirks.first_days * _DAY))
        if quirks.lag and self._lags(request):
            last = min(last, int(now - quirks.lag))
        return first, last

    def _lags(self, request: Request) -> bool:
        """Return whether a replica that lags answers a request."""
        if self.quirks.lagging == "random":
            return self._random.random() < 0.5
        content = repr((request.first, request.last, request.page, request.page_size))
        return bool(crc32(content.encode()) & 1)

    def _page_size(self, asked: int) -> int:
        if self.quirks.page_size:
            return self.quirks.page_size
        if asked > self.quirks.max_page_size and self.quirks.oversize == "refuse":
            raise RefusedError(WRONG_PARAMETER, f"pagesize must not exceed {self.quirks.max_page_size}")
        return min(asked, self.quirks.max_page_size)

    def _rows(self, indices: Sequence[int], language: str, now: float) -> list[bytes]:
        """Return the records with their countdowns, in the language asked for."""
        columns = self.columns
        if isinstance(indices, range) and indices.step == 1:
            rows = columns.rows[indices.start : indices.stop]
            statuses: bytes | bytearray = columns.statuses[indices.start : indices.stop]
        else:
            rows = [columns.rows[index] for index in indices]
            statuses = bytes(columns.statuses[index] for index in indices)
        if UNPAID in statuses:
            for row, index in enumerate(indices):
                if deadline := columns.deadlines[index]:
                    seconds = max(0, int(deadline - now))
                    rows[row] = b"%b%d}" % (rows[row][: rows[row].rindex(b":") + 1], seconds)
        if language == "en":
            return rows
        return [
            translated(row, language, columns.types[index], columns.products[index], columns.statuses[index])
            for row, index in zip(rows, indices, strict=True)
        ]

    def _numbers(self, request: Request, size: int, total: int) -> dict[str, Any]:
        """Return the page fields of a response: all of its `data` but the list."""
        quirks = self.quirks
        shown = total + {"short": -1, "long": 7}.get(quirks.totals, 0)
        shown = max(0, min(shown, quirks.total_cap or shown))
        numbers = {
            "page": {"right": request.page, "wrong": request.page + 1}.get(quirks.page_echo),
            "pagesize": {"real": size, "asked": request.page_size}.get(quirks.page_size_echo),
            "total": {"text": str(shown), "missing": None}.get(quirks.totals, shown),
            "total_page": -(-shown // size),
        }
        return {name: number for name, number in numbers.items() if number is not None}
