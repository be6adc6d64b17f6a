"""The Python interface: run an export, stream it, open what it made."""

from __future__ import annotations

import datetime as dt
import functools
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from exporter.config import parsers, sources
from exporter.config.cluster import Cluster, cluster_of
from exporter.config.options import KEY_VARIABLE, ClusterOptions, Options, Settings, options_of
from exporter.config.teams import KEY_ENV, UNREAD, check_keys, check_names, named
from exporter.config.travel import Keyless, KeySource, check_sources
from exporter.errors import ConfigError, OutputError
from exporter.events import Event, ignore
from exporter.progress.displays import display_for, in_notebook
from exporter.progress.reporter import ProgressReporter, watching
from exporter.progress.summary import summary_text
from exporter.result import Diff, Result
from exporter.vendor.orders import Record

if TYPE_CHECKING:
    import pyarrow as pa

    from exporter.progress.summary import Summary
    from exporter.progress.teams_tally import TeamsTally
    from exporter.teams import TeamsSummary

    TeamsWork = Callable[..., Awaitable[TeamsSummary]]

Progress = Callable[[Event], None] | bool | None
"""Where events go: to a function; True: bar and summary on stderr; None: that only in a notebook; False: nowhere."""


class TeamOptions(Options, total=False):
    """The options of one team: those in which it differs from the others, and one of three places of its key."""

    api_key_env: str


Teams = Mapping[str, TeamOptions]
"""The teams of one run by name."""


def run(
    out: str | os.PathLike[str],
    *,
    teams: Teams | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress = None,
    **options: Unpack[Options],
) -> Result:
    """Export all orders of the range to `out`, a folder or one `.parquet` file, and return the result.

    `options` are those of `exporter run`, with underscores: rates in requests a second, durations in seconds; times are
    dates, datetimes or ISO texts, both ends of the range inclusive. The key is `api_key`, or comes from
    `DUOPLUS_API_KEY` or `api_key_file`.

    With `teams`, each is exported to `out/team=NAME` with its own key and options, in one process; a team that fails
    stops no other: the result's `failed` says why it did. `workers`, a number of processes, or `scheduler`, the address
    of a Dask cluster, share the teams; the keys are then named by `api_key_env` or `api_key_file`, and read there. A
    script that starts workers runs under `if __name__ == "__main__":`, as with `multiprocessing`.

    It may be called anywhere, in a notebook too: the export has an event loop and a thread of its own. Ctrl-C, or any
    other exception that reaches the caller, stops it cleanly; the same call resumes. Raise ExportError: its `hint`
    says what to do, its `exit_code` is that of the command.
    """
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415  # only for an export

    with start_blocking_portal() as portal:
        started = functools.partial(arun, out, teams=teams, workers=workers, scheduler=scheduler, progress=progress)
        return portal.call(functools.partial(started, **options))


async def arun(
    out: str | os.PathLike[str],
    *,
    teams: Teams | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress = None,
    **options: Unpack[Options],
) -> Result:
    """Export as `run` does, in the event loop that is running."""
    from anyio import to_thread  # noqa: PLC0415

    from exporter.export import export  # noqa: PLC0415  # heavy

    cluster = _cluster({"workers": workers, "scheduler": scheduler}, teams=teams is not None)
    if teams is not None:
        return await _arun_teams(Path(out), teams, cluster, progress, options)
    path, settings = Path(out), _settings(options)
    with _reporting(progress) as on_event:
        summary = await export(path, settings, on_event=on_event)
    _show_summary(summary, on_event, settings)
    return await to_thread.run_sync(open, path)


def update(
    out: str | os.PathLike[str],
    *,
    changes: str | os.PathLike[str] | None = None,
    teams: Teams | None = None,
    progress: Progress = None,
    **options: Unpack[Options],
) -> Result:
    """Bring the finished result in `out` up to date and return it: what is new, came late, vanished or has changed.

    The query is the result's own; of the options of the query only `end` and `settle` count. An open end moves to now,
    a given one stays unless a later one is named. `changes` is a file, `.parquet` or `.csv`, for all orders that
    differ. The result's `manifest["run"]` says what was `added`, `changed` and `vanished`.

    With `teams`, each result in `out/team=NAME` is updated with its own key. Raise ExportError: OUT is then as it was,
    and the same call resumes.
    """
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415  # only for an export

    with start_blocking_portal() as portal:
        call = functools.partial(aupdate, out, changes=changes, teams=teams, progress=progress, **options)
        return portal.call(call)


async def aupdate(
    out: str | os.PathLike[str],
    *,
    changes: str | os.PathLike[str] | None = None,
    teams: Teams | None = None,
    progress: Progress = None,
    **options: Unpack[Options],
) -> Result:
    """Update as `update` does, in the event loop that is running."""
    from anyio import to_thread  # noqa: PLC0415

    from exporter.updating import TeamsChanges, take_over, update_teams  # noqa: PLC0415  # heavy
    from exporter.updating import update as updated  # noqa: PLC0415

    path, file = Path(out), None if changes is None else Path(changes)
    if teams is not None:
        work = functools.partial(update_teams, changes=None if file is None else TeamsChanges(file))
        return await _arun_teams(path, teams, None, progress, options, work=work)
    settings = _settings(options, functools.partial(take_over, path))
    with _reporting(progress) as on_event:
        summary = await updated(path, settings, changes=file, on_event=on_event)
    _show_summary(summary, on_event, settings)
    return await to_thread.run_sync(open, path)


def _show_summary(summary: Summary, on_event: Callable[[Event], None], settings: Settings) -> None:
    """Print the figures of a run where its progress was shown."""
    if isinstance(on_event, ProgressReporter) and on_event.shows:
        text = summary_text(summary, on_event.repairs, final_check_asked=settings.final_check)
        print(text, file=sys.stderr)  # noqa: T201  # asked for


def _cluster(given: Mapping[str, Any], *, teams: bool) -> Cluster | None:
    known = options_of(ClusterOptions)
    return cluster_of(sources.choose(known, sources.python(given, known)), teams=teams)


async def _arun_teams(
    out: Path,
    teams: Teams,
    cluster: Cluster | None,
    progress: Progress,
    options: Options,
    *,
    work: TeamsWork | None = None,
) -> Result:
    """Export the teams, or do to them what `work` does instead: bring their results up to date."""
    from anyio import to_thread  # noqa: PLC0415

    from exporter.progress.teams_tally import TeamsTally  # noqa: PLC0415
    from exporter.teams import export_teams  # noqa: PLC0415  # heavy

    if not teams:
        raise ConfigError("teams= names no team", hint='for example: teams={"berlin": {"api_key_file": "berlin.key"}}')
    check_names(teams)
    each = {name: {**options, **own} for name, own in teams.items()}
    with _reporting(progress, TeamsTally(teams)) as on_event:
        if cluster is None:
            results = {} if work is None else {name: out / f"team={name}" for name in teams}
            settings = {name: _team_settings(name, one, results.get(name)) for name, one in each.items()}
            check_keys(settings)
            summary = await (work or export_teams)(out, settings, on_event=on_event)
        else:
            from exporter.teams.cluster import export_on_cluster  # noqa: PLC0415  # only for a cluster

            keyless = {name: _keyless(name, one) for name, one in each.items()}
            check_sources(keyless)
            if cluster.scheduler is None:
                check_keys({name: _team_settings(name, one) for name, one in each.items()})
            summary = await export_on_cluster(out, keyless, cluster, on_event=on_event)
    if isinstance(on_event, ProgressReporter) and on_event.shows:
        print(summary, file=sys.stderr)  # noqa: T201  # asked for
    failed = {name: one.error for name, one in summary.outcomes.items() if one.error is not None}
    return await to_thread.run_sync(_teams_result, out, sorted(set(teams) - set(failed)), failed)


def _team_settings(name: str, options: Mapping[str, Any], result: Path | None = None) -> Settings:
    """Return the settings of one team; raise ConfigError that names it. Its key is that of no other team.

    They take over what they need of its `result`, if that is to be updated.
    """
    variable = options.get(KEY_ENV)
    own = {key: value for key, value in options.items() if key != KEY_ENV}
    with named(name):
        key = {} if variable is None else {KEY_VARIABLE: KeySource(variable=variable).read(os.environ).reveal()}
        if result is None:
            return _made(own, key)
        from exporter.updating import take_over_if_any  # noqa: PLC0415  # heavy

        return _made(own, key, functools.partial(take_over_if_any, result))


def _keyless(name: str, options: Mapping[str, Any]) -> Keyless:
    """Return the settings of one team as workers are sent them; raise ConfigError that names it."""
    own = {key: value for key, value in options.items() if key not in {KEY_ENV, "api_key_file"}}
    variable, file = options.get(KEY_ENV), options.get("api_key_file")
    with named(name):
        if "api_key" in own:
            raise ConfigError("a key that is given in Python does not travel to workers", hint=KEYS_OF_WORKERS)
        if (variable is None) == (file is None):
            raise ConfigError("workers need one place to read its key from", hint=KEYS_OF_WORKERS)
        source = KeySource(variable=variable) if file is None else KeySource(file=parsers.path(file).absolute())
        return Keyless.of(_made(own, {KEY_VARIABLE: UNREAD}), source)


KEYS_OF_WORKERS = "name where each worker finds it: api_key_env or api_key_file"


def _made(
    options: Mapping[str, Any],
    key: Mapping[str, str],
    prepare: Callable[[sources.Chosen], sources.Chosen] = lambda options: options,
) -> Settings:
    known = options_of(Options)
    chosen = prepare(sources.choose(known, sources.python(options, known)))
    return sources.settings(chosen, key, now=dt.datetime.now(dt.UTC))


def _teams_result(out: Path, teams: Sequence[str], failed: Mapping[str, Exception] | None = None) -> Result:
    """Return what OUT holds of these teams."""
    from exporter.store.finished import TEAMS  # noqa: PLC0415  # heavy

    results = {name: open(out / f"team={name}") for name in teams}
    listed = out / TEAMS
    return Result(
        out=out,
        paths=tuple(path for one in results.values() for path in one.paths),
        manifest=json.loads(listed.read_bytes()) if listed.is_file() else {},
        teams=results,
        failed=failed or {},
    )


def stream(*, progress: Progress = False, **options: Unpack[Options]) -> AsyncGenerator[pa.RecordBatch, None]:
    """Yield certified record batches in order of time, without files, no faster than they are taken.

    Of `progress` only a function is used. Raise ExportError from the iteration, at its end if the final check fails. To
    stop early, close it with `contextlib.aclosing`, so that the connections end at once.
    """
    from exporter.streaming import stream as certified  # noqa: PLC0415  # heavy

    batches: AsyncGenerator[pa.RecordBatch, None] = certified(
        _settings(options), on_event=progress if callable(progress) else ignore
    )
    return batches


def open(out: str | os.PathLike[str]) -> Result:  # noqa: A001  # exporter.open, like gzip.open
    """Return the finished result in `out`, or those of its teams; a URL such as `s3://bucket/orders` is opened there.

    Raise OutputError if there is none, or part of it is missing; StorageError if a store refuses or fails.
    """
    from exporter.delivery.publish.location import is_url  # noqa: PLC0415

    if is_url(out):
        from exporter.delivery.publish.published import open_at  # noqa: PLC0415  # heavy

        return open_at(str(out))
    from exporter.store.finished import finished, holds_teams  # noqa: PLC0415  # heavy
    from exporter.store.layout import Layout, missing_parts, published  # noqa: PLC0415

    if holds_teams(Path(out)):
        return _teams_result(Path(out), [str(name) for name, _ in finished(out)])
    layout = Layout.of(Path(out))
    manifest = published(layout)
    if manifest is None:
        raise OutputError(f"there is no finished export in {out}", hint=f"exporter status {out} shows what is there")
    if lost := missing_parts(layout, manifest):
        raise OutputError(f"{', '.join(lost)} in {out} is missing or not whole", hint="export it again with overwrite")
    return Result(
        out=Path(out),
        paths=tuple(layout.part(part.name) for part in manifest.parts),
        manifest=json.loads(layout.manifest.read_bytes()),
    )


def diff(old: str | os.PathLike[str] | Result, new: str | os.PathLike[str] | Result) -> Diff:
    """Return how the orders of a result, or of a folder of teams, differ from those of an older one; URLs may be given.

    Raise CertificateError that names the damaged parts of either, OutputError or ConfigError if one is no result.
    """
    from exporter.delivery.publish.published import results_of  # noqa: PLC0415  # heavy
    from exporter.store.diff import diff as compared  # noqa: PLC0415

    results = ([(None, one)] if isinstance(one, Result) else results_of(one) for one in (old, new))
    return compared(*results, write=lambda _: None)


def records(table: pa.Table) -> Iterator[Record]:
    """Yield each row's record as the API sent it, field for field."""
    from exporter.columns import records as original  # noqa: PLC0415  # heavy

    return original(table)


def _settings(
    options: Mapping[str, Any], prepare: Callable[[sources.Chosen], sources.Chosen] = lambda options: options
) -> Settings:
    return _made(options, {KEY_VARIABLE: os.environ.get(KEY_VARIABLE, "")}, prepare)


def _reporting(progress: Progress, tally: TeamsTally | None = None) -> AbstractContextManager[Callable[[Event], None]]:
    """Return a context that gives the function that takes the events."""
    if callable(progress):
        return nullcontext(progress)
    shown = in_notebook() if progress is None else progress
    return watching(display_for(sys.stderr, quiet=not shown), tally=tally)
