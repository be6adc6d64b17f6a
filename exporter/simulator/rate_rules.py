"""Decide whether a request comes too soon, for each way in which a limit may be counted. The caller owns the clock.

Times are seconds on any clock that never goes back; `rate` is requests a second. A rate that is not an integer is
counted over the shortest period that holds whole requests: 0.9 is one in 1.11 s, 1.5 is two in 1.33 s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

RuleName = Literal["gap", "fixed", "sliding"]
_EARLY = 1e-9  # forgives what floating point takes from a gap that was kept


class Rule(Protocol):
    """A rate limit that remembers what it allowed."""

    def allows(self, now: float) -> bool:
        """Count a request that arrives at `now`; return whether it is served."""


@dataclass(slots=True)
class NoLimit:
    """Serve every request."""

    def allows(self, now: float) -> bool:  # noqa: ARG002 - the interface of every rule
        """Return True."""
        return True


@dataclass(slots=True)
class MinimumGap:
    """Serve a request at least `1 / rate` after the last one served, or, with `strict`, after the last one seen."""

    rate: float
    strict: bool = False
    _last: float = field(default=-math.inf, init=False)

    def allows(self, now: float) -> bool:
        """Count a request that arrives at `now`; return whether it is served."""
        allowed = now - self._last >= 1 / self.rate - _EARLY
        if allowed or self.strict:
            self._last = now
        return allowed


@dataclass(slots=True)
class FixedSecond:
    """Serve `rate` requests in each second of the clock. `strict` changes nothing: a full second stays full."""

    rate: float
    strict: bool = False
    _period: int | None = field(default=None, init=False)
    _served: int = field(default=0, init=False)

    def allows(self, now: float) -> bool:
        """Count a request that arrives at `now`; return whether it is served."""
        limit = math.ceil(self.rate)
        period = math.floor(now * self.rate / limit + _EARLY)
        if period != self._period:
            self._period, self._served = period, 0
        self._served += 1
        return self._served <= limit


@dataclass(slots=True)
class SlidingSecond:
    """Serve a request if fewer than `rate` were served, or with `strict` seen, in the second before it."""

    rate: float
    strict: bool = False
    _counted: deque[float] = field(default_factory=deque, init=False)

    def allows(self, now: float) -> bool:
        """Count a request that arrives at `now`; return whether it is served."""
        limit = math.ceil(self.rate)
        while self._counted and now - self._counted[0] >= limit / self.rate - _EARLY:
            self._counted.popleft()
        allowed = len(self._counted) < limit
        if allowed or self.strict:
            self._counted.append(now)
        return allowed


def rule(name: RuleName, rate: float, *, strict: bool = False) -> Rule:
    """Return the rule of that name; a `rate` of 0 is no limit. With `strict`, refused requests count too."""
    if not rate:
        return NoLimit()
    kinds: dict[RuleName, Callable[[float, bool], Rule]] = {
        "gap": MinimumGap,
        "fixed": FixedSecond,
        "sliding": SlidingSecond,
    }
    return kinds[name](rate, strict)
