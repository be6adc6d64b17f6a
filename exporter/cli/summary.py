"""Tell a person what an export came to, and how to open it."""

from __future__ import annotations

from pathlib import Path

from exporter.progress.summary import Summary
from exporter.progress.text import duration, size

REPAIRS_SHOWN = 10


def story(summary: Summary, repairs: list[str]) -> str:
    """Return the summary of a run: rows, requests, time, files, what was repaired and why, how to open it."""
    lines = [_verdict(summary)]
    if summary.requests:
        lines += [
            _requests(summary),
            f"time      {duration(summary.elapsed_seconds)}, {summary.rows_per_second:,.0f} orders/s",
        ]
    lines.append(f"files     {summary.parts} in {summary.out}, {size(summary.bytes)}")
    if summary.values_in_extra:
        lines.append(
            f"_extra    {summary.values_in_extra:,} values that no column gives back to the letter, kept as they came"
        )
    if not summary.final_check:
        lines.append("check     the last comparison of totals was left out (--no-final-check)")
    if summary.totals != "exact":
        lines.append(f"totals    the server's are {summary.totals}: seams and tails prove the result")
    if repairs:
        more = [f"          … and {len(repairs) - REPAIRS_SHOWN} more"] if len(repairs) > REPAIRS_SHOWN else []
        lines += ["repaired  " + "\n          ".join(repairs[:REPAIRS_SHOWN]), *more]
    return "\n".join([*lines, *_opening(Path(summary.out))])


def _verdict(summary: Summary) -> str:
    orders = f"{summary.rows:,} orders from {summary.start} to {summary.end}"
    if not summary.complete:
        return f"Not certified: {orders}"
    return f"Complete: {orders}" if summary.requests else f"Already complete, nothing was sent: {orders}"


def _requests(summary: Summary) -> str:
    counts = {"refused as too frequent": summary.rate_limited, "sent again": summary.retries}
    told = [f"{count:,} {name}" for name, count in counts.items() if count]
    return ", ".join([f"requests  {summary.requests:,} (ideal: {summary.requests_ideal:,})", *told])


def _opening(out: Path) -> list[str]:
    files = out if out.suffix == ".parquet" else out / "*.parquet"
    return [f"DuckDB    FROM '{files}'", f"pandas    pandas.read_parquet({str(out)!r})"]
