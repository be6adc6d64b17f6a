"""Count what a server saw."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(slots=True)
class ServerStatistics:
    """The requests that came, and what was done with them, since the start or the last reset."""

    served: int = 0
    """Requests that got a page, or an envelope that refuses their parameters."""
    refused: int = 0
    """Requests that came too soon."""
    unauthorized: int = 0
    """Requests with a wrong key."""
    repeated: int = 0
    """Requests for a page that had already been served without a fault."""
    faults: Counter[str] = field(default_factory=Counter)
    """Responses spoiled, by kind of fault."""
    in_flight: int = 0
    peak_in_flight: int = 0
    arrivals: array[float] = field(default_factory=lambda: array("d"))
    """When each request arrived, in seconds on a monotonic clock."""
    _served_pages: set[int] = field(default_factory=set)

    @property
    def requests(self) -> int:
        """How many requests came, served or not."""
        return len(self.arrivals)

    def arrive(self, now: float) -> None:
        """Count a request that arrives."""
        self.arrivals.append(now)
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def serve(self, page: object, fault: str | None) -> None:
        """Count a response to the request `page`, spoiled by a fault or not."""
        key = hash(page)
        self.repeated += key in self._served_pages
        if fault:
            self.faults[fault] += 1
        else:
            self.served += 1
            self._served_pages.add(key)

    def as_json(self) -> dict[str, Any]:
        """Return all counts and the gaps between arrivals, in seconds."""
        gaps = [later - earlier for earlier, later in pairwise(self.arrivals)]
        return {
            "requests": self.requests,
            "served": self.served,
            "refused": self.refused,
            "unauthorized": self.unauthorized,
            "repeated": self.repeated,
            "faults": dict(self.faults),
            "peak_in_flight": self.peak_in_flight,
            "gaps": {"least": min(gaps), "mean": sum(gaps) / len(gaps), "most": max(gaps)} if gaps else None,
        }
