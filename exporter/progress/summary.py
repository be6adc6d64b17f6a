"""What a run of an export came to: the object that `--json` prints."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The figures of one run; the names are those of `--json`. Times are ISO 8601, durations seconds, sizes bytes."""

    complete: bool
    rows: int
    requests: int
    """Requests of this run that left, every attempt counted."""
    requests_ideal: int
    """Pages of this run's rows: ceil(rows fetched in this run / page size), at least 1."""
    retries: int
    rate_limited: int
    repaired_segments: int
    segments: int
    windows: int
    parts: int
    bytes: int
    start: str
    end: str
    final_check: bool
    totals: str
    """`exact`, `capped` (the server's totals stop at a number) or `ignored` (they are wrong or missing)."""
    elapsed_seconds: float
    rows_per_second: float
    values_in_extra: int
    out: str
    uncertified: tuple[str, ...] = ()
    """The spans that could not be certified."""
