"""What this server has been found to do. Learned while asking, shared by all windows of one export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exporter.vendor.orders import PageResponse


@dataclass(slots=True, kw_only=True)
class ServerProfile:
    """Starts with what a well-behaved server does; each surprise changes one field, for good."""

    page_size: int
    """Records on a full page as the server makes them, whatever was asked."""
    fullest: int = 0
    """The most records that one page has shown: a page with fewer has room for more."""
    segment_pages: int
    """The deepest page that is asked for; fewer where the server does not go so deep."""
    pad_start: int = 0
    """Seconds to ask for before a span, because its first second did not come whole."""
    pad_end: int = 0
    """Seconds to ask for after a span, because its last second did not come whole."""
    start_in: bool = False
    """Some answer showed an order of the very second that its range began with: the bound is inclusive."""
    end_in: bool = False
    """Likewise the second that a range ended with."""
    stable_ties: bool = True
    """Records of one second come in the same order at each request."""
    ascending: bool = True
    """Records come in order of time, as asked."""
    totals: Literal["exact", "capped", "ignored"] = "exact"
    cap: int | None = None
    """The number at which the server's totals stop."""
    largest: int = 0
    """The largest total that came: totals don't stop below it."""
    longest: int | None = None
    """The longest range, in seconds, that the server accepts."""

    def only_seeks(self) -> bool:
        """Tell whether only first pages can be relied on: each is one snapshot."""
        return not (self.stable_ties and self.ascending) or self.totals == "ignored" or self.segment_pages < 2

    @property
    def padded(self) -> bool:
        """Counts of spans are not the counts of their rows: what lies beside them is counted too."""
        return bool(self.pad_start or self.pad_end)

    @property
    def inclusive(self) -> bool:
        """Both bounds of a range are known to be in it."""
        return self.start_in and self.end_in and not self.padded

    def learn(self, response: PageResponse) -> None:
        """Take from an answer what it says of pages and totals."""
        rows, total = len(response.records), response.total
        self.fullest = max(self.fullest, rows)
        self.largest = max(self.largest, total or 0)
        if total is None or total < rows:
            self.totals = "ignored"
        elif response.request.page == 1 and response.request.page_size > 1 and 0 < rows < total:
            self.page_size = rows

    def total(self, response: PageResponse) -> int | None:
        """Return the answer's total where totals can be used."""
        return None if self.totals == "ignored" else response.total

    def may_be_cap(self, total: int) -> bool:
        """Tell whether totals may stop at this one: no other has been larger."""
        return total >= self.largest

    def doubt_depth(self) -> None:
        """Ask less deep from now on: the server does not give its deep pages, or not rightly."""
        self.segment_pages //= 2

    def find_cap(self, cap: int | None) -> None:
        """Take down that totals stop at `cap`."""
        if self.totals == "exact":
            self.totals, self.cap = "capped", cap
