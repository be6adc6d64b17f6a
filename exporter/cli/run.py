"""`exporter run`: the export itself."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.cli.app import (
    Origin,
    chosen,
    command,
    environ,
    keyless_teams,
    settings,
    team_options,
    team_settings,
    team_tables,
)
from exporter.cli.event_loop import until_stopped
from exporter.cli.reporting import current, localized, say
from exporter.cli.stopping import Failed, Stopped
from exporter.config import sources
from exporter.config.cluster import Cluster, cluster_of
from exporter.config.options import ClusterOptions, ConnectionOptions, OutputOptions, QueryOptions, RunOptions, Settings
from exporter.config.travel import Keyless
from exporter.errors import CertificateError
from exporter.events import Event
from exporter.progress.displays import display_for
from exporter.progress.reporter import watching
from exporter.progress.summary import summary_text
from exporter.progress.text import API_TIMEZONE, table

if TYPE_CHECKING:
    from exporter.progress.summary import Summary
    from exporter.teams import TeamsSummary

Work = Callable[..., Coroutine[Any, Any, "Summary"]]
"""Called with OUT, settings and `on_event`, as `export` is."""

EXAMPLES = """\
Examples:
  exporter run orders/
  exporter run orders/ --start 2024-01-01 --end 2024-12-31
  exporter run refunds.parquet --type refund --status finished,refunded
  exporter run orders/ --site mainland --config export.toml --json

Each option is also an environment variable (EXPORTER_PAGE_SIZE) and a key of a
TOML file (page-size). A flag overrides the environment, and that the file.
The key comes from DUOPLUS_API_KEY or --api-key-file, never as an option.
"""


@command(QueryOptions, ConnectionOptions, RunOptions, ClusterOptions, OutputOptions, Origin, epilogue=EXAMPLES)
def run(out: str | Path, /, **given: Any) -> int:
    """Export all orders of the range to OUT: a folder, or one file if its name ends in .parquet.

    Resumes an unfinished export of the same query in OUT.
    """
    options = chosen(given)
    if given.get("show_settings"):
        return show_settings(options, given)
    if cluster := cluster_of(options, teams=bool(team_tables(given))):
        return export_on(cluster, Path(out), keyless_teams(options, given, cluster), options.values)
    if teams := team_settings(options, given):
        from exporter.teams import export_teams

        return export_teams_to(
            Path(out), teams, options.values, lambda on_event: export_teams(Path(out), teams, on_event=on_event)
        )
    export_to(Path(out), settings(options), options.values)
    return 0


def export_to(out: Path, made: Settings, output: Mapping[str, Any], work: Work | None = None) -> None:
    """Export, and report progress and summary as the output options ask for; raise `Failed` if the export fails.

    `work` is what is done instead of an export, to the same end.
    """
    as_json, quiet, how = output["json"], output["quiet"], current.get()
    from exporter.crawl.threads import tune

    tune()
    from exporter.export import export

    gc.freeze()  # no search for cycles needs what was imported, least of all while the first page is decoded
    display = display_for(sys.stderr, quiet=quiet)
    with watching(
        display, log_file=how.log_file, verbose=how.verbose, opening=how.opening, timezone=made.timezone
    ) as progress:
        how.opened = True
        try:
            summary = until_stopped((work or export)(out, made, on_event=progress))
        except (Exception, Stopped) as error:
            raise Failed({**progress.tally.facts(), "out": str(out)}) from error
        finally:
            gc.unfreeze()
    facts = dataclasses.asdict(summary)
    if not quiet:
        text = summary_text(summary, progress.repairs, final_check_asked=made.final_check)
        if as_json:
            say(text)
        else:
            print(localized(text))
    if not summary.complete:
        raise Failed(facts) from CertificateError(
            f"these spans could not be certified: {', '.join(summary.uncertified)}",
            hint="--allow-uncertified wrote the result without proof for them; try again with --overwrite",
        )
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))


def export_on(cluster: Cluster, out: Path, teams: Mapping[str, Keyless], output: Mapping[str, Any]) -> int:
    """Export the teams by the workers of a cluster."""
    from exporter.teams.cluster import export_on_cluster

    return export_teams_to(
        out, teams, output, lambda on_event: export_on_cluster(out, teams, cluster, on_event=on_event)
    )


def export_teams_to(
    out: Path,
    teams: Collection[str],
    output: Mapping[str, Any],
    work: Callable[[Callable[[Event], None]], Coroutine[Any, Any, TeamsSummary]],
) -> int:
    """Do the work of several teams, report progress and summary, and return the smallest exit code of a failure."""
    as_json, quiet, how = output["json"], output["quiet"], current.get()
    from exporter.crawl.threads import SWITCH_INTERVAL_OF_MANY, tune
    from exporter.progress.teams_tally import TeamsTally

    tune(SWITCH_INTERVAL_OF_MANY)
    gc.freeze()
    display = display_for(sys.stderr, quiet=quiet)
    tally = TeamsTally(teams)
    with watching(
        display,
        log_file=how.log_file,
        verbose=how.verbose,
        opening=how.opening,
        timezone=how.timezone or API_TIMEZONE,
        tally=tally,
    ) as progress:
        how.opened = True
        try:
            summary = until_stopped(work(progress))
        except (Exception, Stopped) as error:
            raise Failed({**tally.facts(), "out": str(out)}) from error
        finally:
            gc.unfreeze()
    if not quiet:
        text = str(summary)
        if as_json:
            say(text)
        else:
            print(localized(text))
    if as_json:
        print(json.dumps(summary.as_json(), ensure_ascii=False))
    return summary.exit_code


def show_settings(options: sources.Chosen, given: Mapping[str, Any]) -> int:
    """Print the options in force and where each comes from, for each team if there are any."""
    teams = team_options(options, given)
    for name, (own, keys) in teams.items():
        print(f"[teams.{name}]\n{table(sources.shown(own, keys))}\n")
    if not teams:
        print(table(sources.shown(options, environ())))
    return 0
