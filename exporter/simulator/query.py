"""Find the orders of a span that filters let through, and the pages that they make once sorted.

Orders are identified by their index in order of creation. No page is slower than the first.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from random import Random

import orjson

from exporter.simulator.data import OrderColumns, image_number
from exporter.simulator.quirks import Quirks
from exporter.simulator.requests import Request, Selection

_CACHED = 8  # filtered or sorted indices that are kept; those of a million orders take 8 MB


class Lookup:
    """Find orders as a server does, with the surprises of its bounds and sorting."""

    def __init__(self, columns: OrderColumns, quirks: Quirks, random: Random) -> None:
        self._columns = columns
        self._quirks = quirks
        self._random = random
        self._cache: dict[object, Sequence[int]] = {}

    def forget(self) -> None:
        """Drop what is cached: the orders have changed."""
        self._cache.clear()

    def bounds(self, first: int, last: int) -> tuple[int, int]:
        """Return the indices `[low, high)` of the orders in a span of Unix seconds, as the server reads its bounds."""
        moments, quirks = self._columns.moments, self._quirks
        low = (bisect_right if quirks.open_start else bisect_left)(moments, first * 1000)
        high = (bisect_left if quirks.open_end else bisect_right)(moments, last * 1000)
        return low, max(low, high)

    def find(self, filters: Selection, low: int, high: int) -> Sequence[int]:
        """Return the ascending indices in `[low, high)` that the filters let through."""
        if filters == Selection():
            return range(low, high)
        chosen = self._cached(filters, lambda: self._filtered(filters))
        return chosen[bisect_left(chosen, low) : bisect_left(chosen, high)]

    def page(self, found: Sequence[int], start: int, stop: int, request: Request) -> Sequence[int]:
        """Return the orders `[start, stop)` of those found, once they are sorted as requested."""
        stop = min(stop, len(found))
        if start >= stop:
            return ()
        sort = self._quirks.sort
        descending = sort == "descending" or (sort == "obeyed" and request.descending)
        if sort == "total" or (sort == "obeyed" and request.sort_by == "total"):
            key = (request.filters, found[0], found[-1], descending)
            return self._cached(key, lambda: self._by_amount(found, descending=descending))[start:stop]
        if descending:
            start, stop = len(found) - stop, len(found) - start
        page = self._shuffled(found, start, stop) if self._quirks.shuffled_ties else found[start:stop]
        return page[::-1] if descending else page

    def _filtered(self, filters: Selection) -> Sequence[int]:
        columns = self._columns
        indices: Iterable[int] = range(len(columns))
        for codes, wanted in (
            (columns.statuses, filters.status),
            (columns.types, filters.type),
            (columns.products, filters.product_type),
            (columns.images, {image_number(name) for name in filters.image_ids}),
        ):
            if wanted:
                indices = [index for index in indices if codes[index] in wanted]
        if filters.order_id:
            member = b'"order_id":' + orjson.dumps(filters.order_id)
            indices = [index for index in indices if member in columns.rows[index]]
        return array("q", indices)

    def _by_amount(self, found: Sequence[int], *, descending: bool) -> Sequence[int]:
        return array("q", sorted(found, key=self._columns.amounts.__getitem__, reverse=descending))

    def _cached(self, key: object, make: Callable[[], Sequence[int]]) -> Sequence[int]:
        if key not in self._cache:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[key] = make()
        return self._cache[key]

    def _shuffled(self, found: Sequence[int], start: int, stop: int) -> Sequence[int]:
        """Return the orders `[start, stop)`, at least one, after every group of one moment was shuffled."""
        moments = self._columns.moments
        left = bisect_left(found, bisect_left(moments, moments[found[start]]))
        right = bisect_left(found, bisect_right(moments, moments[found[stop - 1]]))
        shuffled = sorted(found[left:right], key=lambda index: (moments[index], self._random.random()))
        return shuffled[start - left : stop - left]
