"""Decide how many requests may be in flight, by trying what pays. Pure: no clock, only latencies.

By Little's law a level of `n` in flight has the throughput `n / latency`. One level is tried against another; the
larger is kept if throughput grows by at least a fifth of what it would if nothing were in anyone's way. A trial that
pays is followed by the next in the same direction, one that doesn't by a rest and then one in the other direction.
Where answers take long, the first few of them tell where to begin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SMALLEST = 8
LARGEST = 128
"""Twice as many took 385 MB and brought nothing."""
PACED_LATENCY = 5.0
"""Below the unpaced rates, requests that take this many seconds each are allowed for from the start."""
FIRST = 3
"""The quickest of the first few responses is what the network takes, …"""
PAGES_A_SECOND = 800
"""… and this many pages a second keep one process busy: more windows than feed that are of no use."""
PAYS = 0.2
EPOCH = 0.05
"""A level is judged after a round of responses, and not before this many seconds: short latencies are noisy."""
REST = 16
"""Epochs between a trial that didn't pay and the next."""


@dataclass(slots=True)
class Concurrency:
    """The limit of requests in flight, moving between `smallest` and `largest`."""

    smallest: int
    largest: int
    limit: int = field(init=False)
    _first: list[float] = field(default_factory=list, init=False)
    _latencies: list[float] = field(default_factory=list, init=False)
    _spent: float = field(default=0.0, init=False)
    _base: tuple[int, float] | None = field(default=None, init=False)
    """The level that a trial runs against, and its throughput."""
    _upwards: bool = field(default=True, init=False)
    _resting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.limit = self.smallest

    @classmethod
    def of(cls, fixed: int | None, *, rate: float, unpaced: bool) -> Concurrency:
        """Return the limit for a rate; with `fixed` in flight nothing is tried."""
        if fixed is not None:
            return cls(fixed, fixed)
        return cls(SMALLEST if unpaced else min(LARGEST, max(SMALLEST, math.ceil(rate * PACED_LATENCY))), LARGEST)

    def answered(self, latency: float, in_flight: int) -> None:
        """Learn from an answer to a request that left as one of `in_flight`. Only full levels tell something."""
        if self.smallest == self.largest:
            return
        if len(self._first) < FIRST:
            self._first.append(latency)
            if len(self._first) == FIRST:
                self.limit = min(self.largest, max(self.limit, math.ceil(PAGES_A_SECOND * min(self._first))))
            return
        if not 0.75 * self.limit < in_flight <= self.limit:
            return
        self._latencies.append(latency)
        self._spent += latency
        if len(self._latencies) >= self.limit and self._spent >= EPOCH * self.limit:
            median = sorted(self._latencies)[len(self._latencies) // 2]
            self._latencies.clear()
            self._spent = 0.0
            self._judge(self.limit / max(median, 1e-9))

    def _judge(self, throughput: float) -> None:
        if self._resting:
            self._resting -= 1
        elif self._base is not None and not self._won(self._base, throughput):
            self.limit = self._base[0]
            self._base = None
            self._upwards = not self._upwards
            self._resting = REST
            return
        if not self._resting:
            self._base = (self.limit, throughput)
            self._move()

    def _won(self, base: tuple[int, float], throughput: float) -> bool:
        small, large = sorted([base, (self.limit, throughput)])
        larger_pays = large[1] >= small[1] * (1 + PAYS * (large[0] / small[0] - 1))
        return larger_pays == (self.limit == large[0])

    def _move(self) -> None:
        """Try the next level, or the other direction where this one ends."""
        target = self.limit * 2 if self._upwards else self.limit // 2
        target = min(self.largest, max(self.smallest, target))
        if target == self.limit:
            self._base = None
            self._upwards = not self._upwards
            self._resting = REST
        self.limit = target
