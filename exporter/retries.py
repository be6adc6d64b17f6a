"""Decide whether and when a failed request is sent again. Pure: the caller owns the clock and the dice.

Durations are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0


def backoff(failures: int, draw: float) -> float:
    """Return the pause after so many failures: exponential with full jitter, `draw` being uniform in [0, 1)."""
    return draw * min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 60))


@dataclass(slots=True)
class Attempts:
    """What has happened to one request. Refusals for pace are no failures."""

    failures: int = 0
    counted: int = 0
    """The failures that are the request's own: between any two of them others came through."""
    answers_seen: int = -1


@dataclass(kw_only=True, slots=True)
class Circuit:
    """Tell one request that can't pass from a server that answers nobody.

    The first ends after `max_attempts` failures of its own, the second after `patience` seconds without any answer.
    """

    max_attempts: int
    patience: float
    _answers: int = field(default=0, init=False)
    _failing_since: float | None = field(default=None, init=False)

    def came_through(self) -> None:
        """Count an answer to any request."""
        self._answers += 1
        self._failing_since = None

    def failed(self, now: float, attempts: Attempts) -> str | None:
        """Count a failure of one request; return why to stop, if it is time to."""
        if self._failing_since is None:
            self._failing_since = now
        attempts.failures += 1
        if attempts.answers_seen != self._answers:
            attempts.counted += 1
            attempts.answers_seen = self._answers
        if attempts.counted >= self.max_attempts:
            return f"{attempts.failures} attempts failed"
        if now - self._failing_since >= self.patience:
            return f"nothing has come through for {now - self._failing_since:.0f} s"
        return None

    def patience_left(self, now: float) -> float:
        """Return for how long an answer is still waited for."""
        return self.patience if self._failing_since is None else max(0.0, self._failing_since + self.patience - now)
