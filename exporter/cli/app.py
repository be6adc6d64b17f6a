"""Make a command line of the declared options: cyclopts reads the types that are made here."""

from __future__ import annotations

import datetime as dt
import os
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Unpack

from cyclopts import App, Group, Parameter

from exporter.cli.reporting import current, warn
from exporter.config import parsers, sources, teams
from exporter.config.cluster import Cluster
from exporter.config.options import (
    ClusterOptions,
    ConnectionOptions,
    Option,
    OutputOptions,
    QueryOptions,
    RunOptions,
    Settings,
    options_of,
)
from exporter.config.travel import Keyless
from exporter.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., int])

ALL = (QueryOptions, ConnectionOptions, RunOptions, ClusterOptions, OutputOptions)


def _version() -> str:
    from importlib.metadata import version

    return version("duoplus-exporter")


app = App(
    name="exporter",
    help="Export the whole order history of a DuoPlus team to Parquet, and prove that it is complete.",
    help_format="plaintext",
    version=_version,
    version_flags=("--version", "-V"),
)


class Origin(TypedDict, total=False):
    """Where the settings come from; on the command line and in the environment only."""

    config: Annotated[str, Option("TOML file of settings: keys are the options' names.", parsers.path, "export.toml")]
    only: Annotated[
        list[str],
        Option("Only the teams of this name: a glob, repeatable.", parsers.texts, "ber*", many=True, unset="all"),
    ]
    show_settings: Annotated[
        bool, Option("Print the options in force and where each comes from; do nothing else.", parsers.flag)
    ]


def command(*groups: type, without: tuple[str, ...] = (), epilogue: str | None = None) -> Callable[[Command], Command]:
    """Register a command whose `**given` are the options of these groups."""

    def register(function: Command) -> Command:
        function.__annotations__["given"] = _flags(groups, without)
        app.command(function, help_epilogue=epilogue)
        return function

    return register


def _flags(groups: tuple[type, ...], without: tuple[str, ...]) -> Any:
    hints = {
        name: _hint(name, option, Group(group.__name__.removesuffix("Options"), sort_key=position))
        for position, group in enumerate(groups, start=1)
        for name, option in options_of(group).items()
        if name not in without
    }
    body = {"__annotations__": hints, "__module__": __name__}
    return Unpack[types.new_class("Flags", (TypedDict,), {"total": False}, lambda namespace: namespace.update(body))]


def _hint(name: str, option: Option, group: Group) -> Any:
    """Return the type of an option, which also says what a shell completes: files, or the choices.

    Whatever is given comes as text: our own parsers check it.
    """
    kind: Any = str
    if option.parse is parsers.flag:
        kind = bool
    elif option.parse is parsers.path:
        kind = str | Path
    elif option.choices:
        kind = Literal[option.choices] | str
    metavar = None if kind is bool else name.rpartition("_")[2].upper()
    described = Parameter(help=option.described, group=group, negative="", metavar=metavar, show_choices=False)
    return Annotated[list[kind] if option.many else kind, described]


def chosen(given: Mapping[str, Any]) -> sources.Chosen:
    """Return every option's value: flags first, then the environment, then the file that `--config` names.

    From here on errors are reported as the output options ask for. Variables that are no option are a warning.
    """
    options = options_of(*ALL)
    order = [sources.command_line(given), sources.environment(environ())]
    config = sources.choose(options_of(Origin), *order).values["config"]
    if config is not None:
        order.append(sources.toml_file(config, options))
    how, output = current.get(), sources.choose(options_of(OutputOptions), *order).values
    how.json, how.quiet, how.verbose, how.log_file = (output[name] for name in ("json", "quiet", "verbose", "log_file"))
    for warning in sources.unknown_variables(environ(), options_of(*ALL, Origin)):
        warn(warning)
    return sources.choose(options, *order)


def team_settings(
    options: sources.Chosen,
    given: Mapping[str, Any],
    prepare: Callable[[str, sources.Chosen], sources.Chosen] = lambda _name, options: options,
) -> dict[str, Settings]:
    """Return the settings of the teams in the file of `--config` that `--only` chooses; none if it has no teams.

    `prepare` may give a team other options before its settings are made of them.
    """
    chosen_for = {name: (prepare(name, team), keys) for name, (team, keys) in team_options(options, given).items()}
    now = dt.datetime.now(dt.UTC)
    made = {name: teams.settings_of(*each, team=name, now=now) for name, each in chosen_for.items()}
    teams.check_keys(made)
    for name, (team, keys) in chosen_for.items():
        for warning in sources.exposed(team, keys):
            warn(f"team {name}: {warning}")
    if made:
        current.get().timezone = next(iter(made.values())).timezone
    return made


def team_options(
    options: sources.Chosen, given: Mapping[str, Any], *, read_keys: bool = True
) -> dict[str, tuple[sources.Chosen, Mapping[str, str]]]:
    """Return, of each team that `--only` chooses, the options in force and the variables in which its key is."""
    config, only, tables = _origin(given)
    if only and not tables:
        raise ConfigError("--only chooses among teams, and there are none", hint="name a file of teams by --config")
    if config is None:
        return {}
    return teams.choose(options, tables, config=config, environ=environ(), only=only, read_keys=read_keys)


def keyless_teams(options: sources.Chosen, given: Mapping[str, Any], cluster: Cluster) -> dict[str, Keyless]:
    """Return the settings of the chosen teams as workers are sent them.

    Of workers on this machine the keys are checked here; those of others read them from their own environment or disk.
    """
    if cluster.scheduler is None:
        team_settings(options, given)
    chosen_for = team_options(options, given, read_keys=False)
    current.get().timezone = options.values["timezone"]
    return teams.keyless(chosen_for, team_tables(given), now=dt.datetime.now(dt.UTC))


def team_tables(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables of teams in the file of `--config`; none without such a file."""
    return _origin(given)[2]


def _origin(given: Mapping[str, Any]) -> tuple[Path | None, Sequence[str], Mapping[str, Any]]:
    """Return the file of settings, the patterns of `--only`, and the file's tables of teams."""
    origin = sources.choose(options_of(Origin), sources.command_line(given), sources.environment(environ())).values
    config = origin["config"]
    return config, origin["only"] or (), {} if config is None else teams.tables_in(config)


def environ() -> Mapping[str, str]:
    """Return the environment; no other module of the command line reads it."""
    return os.environ


def settings(options: sources.Chosen) -> Settings:
    """Return the validated settings of these options; warn of a key that others can read."""
    made = sources.settings(options, environ(), now=dt.datetime.now(dt.UTC))
    current.get().timezone = made.timezone
    for warning in sources.exposed(options, environ()):
        warn(warning)
    return made
