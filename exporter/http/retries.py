"""Decide whether and when a failed request is sent again. Pure: the caller owns the clock and the dice.

Durations are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
UNREACHED = 30.0
"""Seconds for which a server is tried that has never answered."""


def backoff(failures: int, draw: float) -> float:
    """Return the pause after a number of failures: exponential with full jitter, `draw` being uniform in [0, 1)."""
    return draw * min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 60))


@dataclass(slots=True)
class Attempts:
    """What has happened to one request. Refusals for pace are not failures."""

    failures: int = 0
    own: int = 0
    """The failures that are not part of an outage."""
    answers_before: int = 0
    """The answers to any request before it was asked; `answers_seen`, `failures_seen`: before its last failure."""
    answers_seen: int = 0
    failures_seen: int = 0


@dataclass(kw_only=True, slots=True)
class Circuit:
    """Distinguish one request that can't pass from a server that answers nobody, and that from one that never did.

    The cases:
    - One request fails while others come through: it ends after `max_attempts` failures of its own.
    - Nothing comes through any more, neither pages nor anything but refusals for pace: `patience` seconds.
    - The server was never reached, or what answers is not the API: UNREACHED seconds. Patience is for servers that have
      answered.

    A failure is part of an outage if, since the request's last one, others failed and none was answered.
    """

    max_attempts: int
    patience: float
    reached: bool = field(default=False, init=False)
    """Something came that can be the API's: a page, a refusal, an error of its own."""
    _began: float | None = field(default=None, init=False)
    _responses: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _failing_since: float | None = field(default=None, init=False)

    def attempts(self) -> Attempts:
        """Return the state of a new request."""
        return Attempts(answers_before=self._responses, answers_seen=self._responses)

    def begin(self, now: float) -> None:
        """Note that an attempt begins: of the first one, how long it takes counts."""
        if self._began is None:
            self._began = now

    def came_through(self) -> None:
        """Count an answer to any request."""
        self.reached = True
        self._responses += 1
        self._failing_since = None

    def refused(self, now: float) -> str | None:
        """Count a refusal for pace; return why to stop, if it is time to. The first one is never the end."""
        self.reached = True
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since >= self.patience:
            return f"nothing has come through for {now - self._failing_since:.0f} s"
        return None

    def failed(self, now: float, attempts: Attempts, *, reached: bool = True) -> str | None:
        """Count a failure of one request; return why to stop, if it is time to.

        `reached` is false if the failure does not show that the API is there.
        """
        self.reached = self.reached or reached
        if self._failing_since is None:
            self._failing_since = now
        others_fail = self._failures > attempts.failures_seen and attempts.failures > 0
        if self._responses > attempts.answers_seen or not others_fail:
            attempts.own += 1
        self._failures += 1
        attempts.failures += 1
        attempts.answers_seen, attempts.failures_seen = self._responses, self._failures
        if attempts.own >= self.max_attempts and self._responses > attempts.answers_before:
            return f"{attempts.failures} attempts failed while other requests came through"
        if self.patience_left(now) > 0:
            return None
        if not self.reached:
            return "the server has never answered as the API does"
        return f"nothing has come through for {now - self._failing_since:.0f} s"

    def patience_left(self, now: float) -> float:
        """Return for how many seconds an answer is still waited for."""
        if not self.reached and self._began is not None:
            return max(0.0, self._began + min(self.patience, UNREACHED) - now)
        return self.patience if self._failing_since is None else max(0.0, self._failing_since + self.patience - now)
