"""`exporter update`: bring a finished result up to date."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import Origin, chosen, command, settings, team_settings
from exporter.cli.run import export_teams_to, export_to, show_settings
from exporter.config.options import ConnectionOptions, OutputOptions, QueryOptions, RunOptions, options_of
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from exporter.config.sources import Chosen

UNUSED = (
    *(options_of(QueryOptions).keys() - {"settle"}),
    *(options_of(RunOptions).keys() - {"windows", "segment_pages", "page_size", "fresh"}),
)
"""Options that the result itself decides, or that have no meaning here."""

EXAMPLES = """\
Examples:
  exporter update orders/
  exporter update orders/ --end 2025-12-31 --changes changes.csv
  exporter update orders/ --config teams.toml --only 'ber*'
"""


@command(QueryOptions, ConnectionOptions, RunOptions, OutputOptions, Origin, without=UNUSED, epilogue=EXAMPLES)
def update(
    out: str | Path,
    /,
    *,
    end: Annotated[
        str | None,
        Parameter(
            help="Last moment of the range, inclusive, no earlier than before. "
            "[default: an open end moves to now, a given one stays]",
            metavar="END",
        ),
    ] = None,
    changes: Annotated[
        str | Path | None,
        Parameter(help="Write all orders that differ to this file, .parquet or .csv.", metavar="FILE"),
    ] = None,
    **given: Any,
) -> int:
    """Bring the finished result in OUT up to date: what is new, came late, vanished, or has another status.

    What the API's counts by status confirm is kept, the rest is certified anew. The query is the result's own. Resumes
    an unfinished update in OUT.
    """
    from exporter.store.finished import holds_teams
    from exporter.updating import TeamsChanges, take_over, take_over_if_any, update, update_teams

    options, folder = chosen(given | ({} if end is None else {"end": end})), Path(out)
    if given.get("show_settings"):
        return show_settings(options, given)
    file = None if changes is None else Path(changes)

    def prepare(name: str, team: Chosen) -> Chosen:
        return take_over_if_any(folder / f"team={name}", team)

    if teams := team_settings(options, given, prepare):
        found = None if file is None else TeamsChanges(file)
        return export_teams_to(
            folder,
            teams,
            options.values,
            lambda on_event: update_teams(folder, teams, changes=found, on_event=on_event),
        )
    if holds_teams(folder):
        raise ConfigError(f"{out} holds the results of teams", hint="name the file with their keys by --config")
    export_to(folder, settings(take_over(folder, options)), options.values, partial(update, changes=file))
    return 0
