"""Add up an export's events, and forecast its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exporter.events import MORE_THAN_PAGES, Answered, Committed, Event, Finished, Refused, Repaired, Retried, Started
from exporter.progress.text import counted, duration


@dataclass(slots=True, kw_only=True)
class Tally:
    """The sums of one run's events. `since` is when its first response came, in seconds of any steady clock."""

    since: float | None = None
    total: int | None = None
    before: int = 0
    """Orders committed by earlier runs."""
    committed: int = 0
    opened: int = 0
    """Requests that were answered before the pages of this run were known."""
    expected: int | None = None
    """Requests that this run takes if nothing disturbs it."""
    requests: int = 0
    rate: float = 1.0
    refused: int = 0
    retried: int = 0
    repaired: int = 0
    complete: bool = False

    def take(self, event: Event, now: float) -> None:
        """Count one event."""
        match event:
            case Started():
                self.since, self.rate, self.total = now, event.rate, event.total
                self.before = self.committed = event.committed
                self.opened = self.requests
                if event.requests_ideal is not None:  # of what is left: an earlier run's pages are not in it
                    self.expected = self.requests + event.requests_ideal + MORE_THAN_PAGES
            case Answered():
                self.requests = event.requests
            case Refused():
                self.refused += 1
            case Retried():
                self.retried += 1
            case Repaired():
                self.repaired += 1
            case Committed():
                self.committed = event.total_rows
            case Finished():
                self.committed, self.complete = event.rows, event.complete
            case _:
                pass

    @property
    def fetched(self) -> int:
        """Orders that have come, estimated from the requests until their segment is committed."""
        if self.complete or not self.total or self.expected is None:
            return self.committed
        share = min(1.0, self.sent / (self.expected - self.opened))
        return max(self.committed, int(self.before + (self.total - self.before) * share))

    @property
    def sent(self) -> int:
        """Requests that were answered since `since`."""
        return self.requests - self.opened

    def speed(self, now: float) -> float:
        """Return requests a second so far; the rate that was asked for, until there is something to measure."""
        return self._rate_of(self.sent, now)

    def left(self, now: float) -> float | None:
        """Return the seconds until the end: the requests left, at this run's speed."""
        if self.expected is None or self.complete:
            return None
        # The first few measure too little: those from before make up for that, and the rate is the most in any case.
        return max(0, self.expected - self.requests) / min(self.rate, self._rate_of(self.requests, now))

    def _rate_of(self, requests: int, now: float) -> float:
        """Return requests a second since `since`; the rate that was asked for, until there is something to measure."""
        elapsed = now - self.since if self.since is not None else 0.0
        return requests / elapsed if elapsed > 1 and requests > 1 else self.rate

    def text(self, now: float, *, width: int | None = None) -> str:
        """Return all of it on one line; fields that `width` characters have no room for are left out."""
        of_all = f" of {self.total:,}" if self.total is not None else ""
        fields = {
            "orders": f"{self.fetched:,}{of_all} orders",
            "requests": counted(self.requests, "request"),
            "speed": f"{self.speed(now):,.1f}/s",
        }
        if (left := self.left(now)) is not None:
            fields["left"] = f"{duration(left)} left"
        disturbed = {"refused": self.refused, "retried": self.retried, "repaired": self.repaired}
        fields |= {name: f"{count} {name}" for name, count in disturbed.items() if count}
        for name in LEAST_FIRST:
            if width is None or len(", ".join(fields.values())) <= width:
                break
            fields.pop(name, None)
        return ", ".join(fields.values())

    def facts(self) -> dict[str, Any]:
        """Return what is known when a run fails, by the names of the summary."""
        return {
            "rows": self.committed,
            "requests": self.requests,
            "retries": self.retried,
            "rate_limited": self.refused,
            "repaired_segments": self.repaired,
        }


LEAST_FIRST = ("retried", "repaired", "refused", "speed", "requests", "left")
"""The fields that a narrow line leaves out, the least useful first. How many orders there are stays."""
