"""Declare what the simulator holds and how it behaves. Light to import: no server, no data."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exporter.simulator.faults import Faults
from exporter.simulator.quirks import Quirks
from exporter.simulator.rate_rules import RuleName
from exporter.vendor.orders import API_ZONE

Shape = Literal["flat", "bursty", "late", "days"]

LAST_PORT = 65_535
_FROZEN_END = dt.datetime(2026, 1, 1, tzinfo=API_ZONE)
_DEFAULT_DAYS = 730
_AFTER_END = 300  # seconds; a frozen clock shows a moment at which the last order is no longer new


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """What the simulated server holds and how it behaves."""

    rows: int = 10_000
    """How many orders there are."""
    records: Path | None = None
    """A JSON file of records, or of a response with them, to serve as they are; then there are no other orders."""
    seed: int = 1
    """The same seed gives the same orders, faults and surprises."""
    start: str | None = None
    """When the first order may be made, ISO 8601, GMT+08:00 if it has no offset; default: two years before the end."""
    end: str | None = None
    """When the last order may be made; default: 2026-01-01, or now when the clock runs."""
    shape: Shape = "flat"
    """How the orders are spread in time: evenly, in bursts, in the last tenth of the range, or at the edges of days."""
    ties: int = 0
    """Orders come in groups of at most this many in one second, and never more; 0: as chance has it."""
    rate: float = 0.0
    """Requests a second that are served; 0: without limit."""
    rule: RuleName = "gap"
    """How the rate is counted: a minimum gap, a fixed second of the clock, or a sliding second."""
    strict: bool = False
    """Refused requests count for the rate, too."""
    refusal: Literal["160004", "429"] = "160004"
    """How a request that comes too soon is refused: by code 160004 with HTTP 200, or by HTTP 429."""
    retry_after: int = 0
    """`Retry-After` of HTTP 429, in seconds; 0: no such header."""
    jitter: float = 0.0
    """Each request arrives late by up to this many seconds, evenly spread, before its rate is counted."""
    latency: float = 0.0
    """Seconds from a request's arrival to its response."""
    frozen: bool = True
    """The clock is frozen five minutes after the end, so that countdowns and default ranges never change."""
    faults: Faults = field(default_factory=Faults)
    """What goes wrong."""
    quirks: Quirks = field(default_factory=Quirks)
    """How the server differs from its documents."""
    key: str = "simulator"
    """The key that is accepted."""
    teams: int = 1
    """Teams, each with this many rows and this rate of its own; of several the keys are KEY-1, KEY-2, and so on."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = 0
    """The port to listen on; 0: any free one."""

    def __post_init__(self) -> None:
        for name in ("rows", "ties", "rate", "retry_after", "jitter", "latency"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, less than 0")
        if self.teams < 1:
            raise ValueError(f"teams is {self.teams}, less than 1")
        if not 0 <= self.port <= LAST_PORT:
            raise ValueError(f"port is {self.port}, not 0 to {LAST_PORT}")
        self.span()

    def keys(self) -> list[str]:
        """Return the keys that are accepted, one for each team."""
        return [self.key] if self.teams == 1 else [f"{self.key}-{number}" for number in range(1, self.teams + 1)]

    def span(self) -> tuple[int, int]:
        """Return the first and the last Unix second, both inclusive, at which an order may be made."""
        if self.end is not None:
            last = _second(self.end)
        else:
            last = int(_FROZEN_END.timestamp() if self.frozen else time.time())
        first = last - _DEFAULT_DAYS * 86_400 if self.start is None else _second(self.start)
        if first > last:
            raise ValueError(f"the orders' start {self.start} is after their end {self.end}")
        return first, last

    def now(self) -> float:
        """Return the time of the server's clock in Unix seconds."""
        return float(self.span()[1] + _AFTER_END) if self.frozen else time.time()


def _second(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=API_ZONE)).timestamp())
