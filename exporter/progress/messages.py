"""Word single events: for a reader who waits, and for a log."""

from __future__ import annotations

from exporter.events import (
    Committed,
    Event,
    Finished,
    FromTeam,
    Noticed,
    Refused,
    Repaired,
    Resumed,
    Retried,
    Started,
    TeamFailed,
)
from exporter.progress.text import counted
from exporter.vendor.orders import wire_time


def message(  # noqa: C901, PLR0911  # one case and one return a kind of event
    event: Event, *, verbose: bool = False
) -> str | None:
    """Return what a reader should know at once about an event, or None; `verbose` words every event but pages."""
    match event:
        case Noticed():
            return event.message
        case Resumed():
            held = f"{counted(event.rows, 'order')} in {counted(event.segments, 'segment')}"
            frozen = (
                "" if event.end is None else f"; the end stays at {wire_time(event.end)}, where the first run froze it"
            )
            return f"resuming: {held} are held{frozen}"
        case Repaired():
            span = f"[{wire_time(event.start)}, {wire_time(event.stop)})"
            return f"repaired {span} by {event.by}: {event.reason}"
        case Retried() if verbose or event.attempt > 2:
            return f"attempt {event.attempt} failed, the next in {event.pause:.1f} s: {event.reason}"
        case Refused() if verbose:
            return f"refused as too frequent; the next request in {event.pause:.1f} s"
        case Started() if verbose:
            expected = "an unknown number of orders" if event.total is None else counted(event.total, "order")
            return f"{expected} expected, {event.committed:,} of them held, {event.rate:g} requests/s"
        case Committed() if verbose:
            return f"certified [{wire_time(event.start)}, {wire_time(event.stop)}): {counted(event.rows, 'order')}"
        case Finished() if verbose:
            return f"finished: {counted(event.rows, 'order')}, {'complete' if event.complete else 'not complete'}"
        case FromTeam():
            text = message(event.event, verbose=verbose)
            return None if text is None else f"{event.team}: {text}"
        case TeamFailed():
            hint = f" ({event.hint})" if event.hint else ""
            return f"team {event.team} failed, exit {event.exit_code}: {event.message}{hint}"
        case _:
            return None
