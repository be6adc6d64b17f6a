"""What an export tells while it runs: plain values, for progress bars, logs and callbacks.

Spans are half-open Unix seconds `[start, stop)`; durations are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

MORE_THAN_PAGES = 6
"""Requests of an undisturbed export in addition to its pages: boundaries, tail check, silences, two last totals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """An earlier run of the same query left `rows` orders in `segments` segments.

    `end` is the Unix second, inclusive, at which it froze an end that was not given; None: the end was given.
    """

    rows: int
    segments: int
    end: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The first response came: `total` orders are expected, `committed` of them are there from an earlier run.

    `requests_ideal` is the number of pages of the other orders.
    """

    total: int | None
    committed: int
    requests_ideal: int | None
    windows: int
    rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One request was answered with a page; counts are those of this run so far."""

    requests: int
    in_flight: int
    latency: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The server refused a request as too frequent; the next leaves in `pause` seconds."""

    count: int
    pause: float
    persistent: bool
    """Refusals continue although the pace is right: another client seems to use this key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """A request failed in a way that may pass and is sent again after `pause` seconds."""

    attempt: int
    reason: str
    pause: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """A span failed its certificate at first and has it now, or gets it by another way."""

    start: int
    stop: int
    reason: str
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """A segment is certified and safe; `rows` are its own, `total_rows` all so far."""

    start: int
    stop: int
    rows: int
    total_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Noticed:
    """Something that a user should read: a warning, or a surprise that was dealt with."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The export ended, complete or not."""

    rows: int
    complete: bool


TeamEvent = Resumed | Started | Answered | Refused | Retried | Repaired | Committed | Noticed | Finished
"""What the export of one team reports."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamFailed:
    """The export of one team of several ended with an error; the others continue."""

    team: str
    message: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FromTeam:
    """An event of one team of several."""

    team: str
    event: TeamEvent


Event = TeamEvent | TeamFailed | FromTeam


def ignore(_: Event) -> None:
    """Take an event and do nothing."""
