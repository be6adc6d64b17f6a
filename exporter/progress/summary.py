"""The figures of one run: the object that `--json` prints, and the text that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.progress.text import counted, duration, size

REPAIRS_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The figures of one run; the names are those of `--json`. Times are ISO 8601, durations seconds, sizes bytes."""

    complete: bool
    rows: int
    requests: int
    """Requests that left in this run, every attempt counted."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSummary(Summary):
    """The figures of one update."""

    added: int
    changed: int
    vanished: int
    segments_kept: int
    """Segments of the result before that still stand."""
    requests_full: int
    """Requests that an export of the whole range would have sent, undisturbed."""
    anew: str | None = None
    """Why everything was exported anew, if it was."""


def summary_text(summary: Summary, repairs: Sequence[str] = (), *, final_check_asked: bool = True) -> str:
    """Return the summary of a run as lines: orders, requests, time, files, what was repaired and why, how to open it.

    `repairs` are the messages of the run's repairs; `final_check_asked` is False with `--no-final-check`.
    """
    lines = [_verdict(summary)]
    if isinstance(summary, UpdateSummary):
        lines += _changes(summary)
    if summary.requests:
        lines += [
            _requests(summary),
            f"time      {duration(summary.elapsed_seconds)}, {summary.rows_per_second:,.0f} orders/s",
        ]
    lines.append(f"files     {summary.parts} in {summary.out}, {size(summary.bytes)}")
    if summary.values_in_extra:
        values = counted(summary.values_in_extra, "value")
        lines.append(f"_extra    {values} that no column gives back to the letter, kept as they came")
    if not summary.final_check:
        lines.append(
            f"check     the last comparison of totals was left out: {_why_unchecked(summary, final_check_asked)}"
        )
    if summary.totals != "exact":
        lines.append(f"totals    the server's are {summary.totals}: boundaries and tail checks prove the result")
    if repairs:
        more = [f"          … and {len(repairs) - REPAIRS_SHOWN} more"] if len(repairs) > REPAIRS_SHOWN else []
        lines += ["repaired  " + "\n          ".join(repairs[:REPAIRS_SHOWN]), *more]
    return "\n".join([*lines, *_opening(Path(summary.out))])


def _why_unchecked(summary: Summary, asked: bool) -> str:  # noqa: FBT001  # private, one caller
    if not summary.complete:
        return "the result is not certified"
    if not summary.requests:
        return "so it was when the result was made"
    return f"the server's totals are {summary.totals}, of no use here" if asked else "--no-final-check"


def _verdict(summary: Summary) -> str:
    orders = f"{counted(summary.rows, 'order')} from {summary.start} to {summary.end}"
    if not summary.complete:
        return f"Not certified: {orders}"
    return f"Complete: {orders}" if summary.requests else f"Already complete, nothing was sent: {orders}"


def _changes(summary: UpdateSummary) -> list[str]:
    """Return what an update found, and what it kept."""
    counts = ", ".join(f"{getattr(summary, name):,} {name}" for name in ("added", "changed", "vanished"))
    lines = [f"changes   {counts}"]
    if summary.anew is not None:
        lines.append(f"anew      everything was exported anew: {summary.anew}")
    else:
        full = f"a new export takes about {summary.requests_full:,} requests"
        lines.append(f"kept      {summary.segments_kept:,} of {counted(summary.segments, 'segment')}; {full}")
    return lines


def _requests(summary: Summary) -> str:
    counts = {"refused as too frequent": summary.rate_limited, "sent again": summary.retries}
    disturbed = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([f"requests  {summary.requests:,} (ideal: {summary.requests_ideal:,})", *disturbed])


def _opening(out: Path) -> list[str]:
    files = out if out.suffix == ".parquet" else out / "*.parquet"
    return [f"DuckDB    FROM '{files}'", f"pandas    pandas.read_parquet({str(out)!r})"]
