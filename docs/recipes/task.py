"""Export a team's orders as one task of an orchestrator: `await export_orders(...)` in any event loop."""

import logging
import os
from typing import Any, Unpack

import exporter
from exporter.events import Committed

log = logging.getLogger(__name__)


class TryAgainError(Exception):
    """The same task will resume where this one ended: retry it, with a delay."""


class NeedsAPersonError(Exception):
    """Another attempt would end in the same way: fail, and alert someone."""


async def export_orders(out: str | os.PathLike[str], **options: Unpack[exporter.Options]) -> dict[str, Any]:
    """Export to `out` and return facts for the next task; raise TryAgainError or NeedsAPersonError.

    Run again with the same `end`, it finds the result complete and sends nothing. If it is cancelled, what is
    certified stays, and the next attempt resumes.
    """
    try:
        result = await exporter.arun(out, progress=report, **options)
    except (exporter.UnauthorizedError, exporter.RejectedError) as error:
        raise NeedsAPersonError(explained(error)) from error  # exit 3, but asking again can't help
    except exporter.ExportError as error:
        if error.exit_code in {3, 4}:  # the API, the network or the disk failed; or spans could not be certified
            raise TryAgainError(explained(error)) from error
        raise NeedsAPersonError(explained(error)) from error  # 2: wrong settings; 5: OUT holds something else
    return {"out": str(result.out), "rows": result.rows, "files": [str(path) for path in result.paths]}


def report(event: exporter.Event) -> None:
    """Log each certified segment."""
    if isinstance(event, Committed):
        log.info("%s orders are certified", event.total_rows)


def explained(error: exporter.ExportError) -> str:
    """Return what happened and what to do."""
    return f"{error}; {error.hint}" if error.hint else str(error)
