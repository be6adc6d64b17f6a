"""What this server has been found to do. Learned while asking, shared by all windows of one export.

A profile changes in one method, `ServerProfile.learn`, and only for the worse: findings add up in any order, and none
is ever taken back. So evidence that the profile still allows when it is committed was allowed all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypedDict, Unpack

from exporter.vendor.orders import DEFAULT_PAGE_SIZE, PageResponse

Totals = Literal["exact", "capped", "ignored"]
"""How far totals can be used, from best to worst."""

_TOTALS: tuple[Totals, ...] = ("exact", "capped", "ignored")


class Findings(TypedDict, total=False):
    """What `ServerProfile.learn` takes; the fields are the profile's."""

    full_page: int
    fullest: int
    largest: int
    segment_pages: int
    pad_start: int
    pad_end: int
    start_in: bool
    end_in: bool
    stable_ties: bool
    ascending: bool
    totals: Totals
    cap: int
    longest: int


def _lower(old: int | None, new: int) -> int:
    return new if old is None else min(old, new)


def _worse_totals(old: Totals, new: Totals) -> Totals:
    return max(old, new, key=_TOTALS.index)


_MERGE: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "full_page": max,
        "fullest": max,
        "largest": max,
        "segment_pages": min,
        "pad_start": max,
        "pad_end": max,
        "start_in": max,
        "end_in": max,
        "stable_ties": min,
        "ascending": min,
        "totals": _worse_totals,
        "cap": _lower,
        "longest": _lower,
    }
)
"""What a field becomes, from what it was and what was found: the same in whatever order findings come."""


@dataclass(slots=True, kw_only=True, frozen=True)
class ServerProfile:
    """Starts with what a well-behaved server does; each surprise changes one field, for good."""

    asked_page_size: int
    full_page: int = 0
    """The most records that a first page has shown while its total promised more; 0: no such page came yet."""
    fullest: int = 0
    """The most records that one page has shown."""
    segment_pages: int
    """The deepest page that is asked for; fewer where the server does not go so deep."""
    pad_start: int = 0
    """Seconds to ask for before a span, because its first second did not come whole."""
    pad_end: int = 0
    """Seconds to ask for after a span, because its last second did not come whole."""
    start_in: bool = False
    """Some response showed an order of the very second that its range began with: the bound is inclusive."""
    end_in: bool = False
    """Likewise the second that a range ended with."""
    stable_ties: bool = True
    """Records of one second come in the same order at each request."""
    ascending: bool = True
    """Records come in order of time, as asked."""
    totals: Totals = "exact"
    cap: int | None = None
    """The number at which the server's totals stop."""
    largest: int = 0
    """The largest total that came: totals don't stop below it."""
    longest: int | None = None
    """The longest range, in seconds, that the server accepts."""

    def learn(self, **findings: Unpack[Findings]) -> None:
        """Take in what was found: each field keeps the worse of what it was and what is given."""
        for name, found in findings.items():
            object.__setattr__(self, name, _MERGE[name](getattr(self, name), found))

    def observe(self, response: PageResponse) -> None:
        """Learn from a response what it says of pages and totals."""
        request, rows, total = response.request, len(response.records), response.total
        self.learn(fullest=rows, largest=total or 0)
        if total is None or total < rows:
            self.learn(totals="ignored")
        elif request.page == 1 and request.page_size > 1 and 0 < rows < total:
            self.learn(full_page=rows)

    @property
    def page_size(self) -> int:
        """Records on a full page as the server makes them, whatever was asked."""
        return self.full_page or self.asked_page_size

    @property
    def certain_cap(self) -> int | None:
        """The number at which totals stop, unless a larger one came: then they only seemed to."""
        return None if self.cap is None or self.largest > self.cap else self.cap

    @property
    def padded(self) -> bool:
        """Counts of spans are not the counts of their rows: what is adjacent to them is counted too."""
        return bool(self.pad_start or self.pad_end)

    @property
    def inclusive(self) -> bool:
        """Both bounds of a range are known to be in it."""
        return self.start_in and self.end_in and not self.padded

    def has_room(self, rows: int) -> bool:
        """Return whether a page that shows a number of records had room for more.

        It could if another page did, or if it shows fewer than the vendor's default for a page.
        """
        return rows < max(self.fullest, min(self.asked_page_size, DEFAULT_PAGE_SIZE))

    def only_seeks(self) -> bool:
        """Return whether only first pages can be relied on: each is one snapshot."""
        return not (self.stable_ties and self.ascending) or self.totals == "ignored" or self.segment_pages < 2

    def allows(self, way: str) -> bool:
        """Return whether rows that were gathered this way are still certain: see `Certificate.way`."""
        match way:
            case "halves":
                return True
            case "seek":
                return self.ascending
            case _:
                return self.ascending and self.totals != "ignored"

    def total(self, response: PageResponse) -> int | None:
        """Return the response's total where totals can be used."""
        return None if self.totals == "ignored" else response.total

    def may_be_cap(self, total: int) -> bool:
        """Return whether totals may stop at this one: no other has been larger."""
        return total >= self.largest
