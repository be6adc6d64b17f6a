"""Read the teams of a configuration: a name, where its key is, and the options in which it differs from the others."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from exporter.config import sources
from exporter.config.options import KEY_VARIABLE, ConnectionOptions, QueryOptions, Settings, options_of
from exporter.config.parsers import nearest
from exporter.config.sources import TEAMS_TABLE, Chosen, Source
from exporter.config.travel import Keyless, KeySource, check_sources
from exporter.errors import ConfigError

KEY_ENV = "api_key_env"
UNREAD = "-"
"""What is taken for a key that is not read here."""
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def tables_in(path: Path) -> Mapping[str, Any]:
    """Return the tables `[teams.NAME]` of a TOML file; of one that can't be read, none: `toml_file` says why."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get(TEAMS_TABLE, {})
    except (OSError, ValueError):
        return {}
    if not isinstance(tables, dict):
        raise ConfigError(f"{TEAMS_TABLE} in {path} is no table", hint="a team looks like: [teams.berlin]")
    return tables


def check_names(names: Iterable[str]) -> None:
    """Raise ConfigError for a name that no folder can have, or two that are one where case does not count."""
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"team {name!r}: a name is 1 to 64 of A-Z a-z 0-9 . _ -, and does not begin with a dot",
                hint="the name becomes a folder: team=NAME",
            )
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise ConfigError(
                f"team {name}: differs from {other} by case alone, and some disks don't tell them apart",
                hint="rename one of the two",
            )


def chosen_for(
    name: str, table: Any, *, options: Chosen, config: Path, environ: Mapping[str, str]
) -> tuple[Chosen, Mapping[str, str]]:
    """Return the options in force for one team, and the environment in which its key is found.

    A team's table overrides the keys of the file that all share; flags and variables override both.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"team {name}: it is no table", hint=f"a team looks like: [teams.{name}]")
    values = {key.replace("-", "_"): value for key, value in table.items()}
    known = {*options_of(QueryOptions), *options_of(ConnectionOptions), KEY_ENV}
    for key, option in zip(table, values, strict=True):
        if option not in known:
            guess = nearest(option, known)
            hint = f"did you mean {guess.replace('_', '-')}?" if guess else "a team has options of query and connection"
            raise ConfigError(f"team {name}: unknown key {key} in {config}", hint=hint)
    variable, file = values.pop(KEY_ENV, None), values.get("api_key_file")
    if (variable is None) == (file is None):
        given = "no key" if variable is None else "two sources of its key"
        raise ConfigError(
            f"team {name}: {given} in {config}",
            hint="give api-key-env, the name of a variable, or api-key-file, relative to the configuration file",
        )
    if file is not None:
        values["api_key_file"] = str(config.parent / Path(str(file)).expanduser())
    team = Source(
        name=f"[teams.{name}]",
        values=values,
        name_of=lambda option: f"team {name}: {option.replace('_', '-')}",
        assign=lambda option, value: f"{option.replace('_', '-')} = {value!r}",
    )
    *stronger, shared = options.order
    order = [_without_key(source) for source in stronger] + [team, _without_key(shared)]
    keys = {} if variable is None else {KEY_VARIABLE: environ.get(str(variable), "")}
    if variable is not None and not keys[KEY_VARIABLE].strip():
        raise ConfigError(
            f"team {name}: the variable {variable} is not set", hint=f"set it to the team's key, or correct {KEY_ENV}"
        )
    return sources.choose(options.options, *order), keys


def settings_of(chosen: Chosen, environ: Mapping[str, str], *, team: str, now: dt.datetime) -> Settings:
    """Return the settings of one team; raise ConfigError that names the team."""
    with named(team):
        return sources.settings(chosen, environ, now=now)


@contextmanager
def named(team: str) -> Iterator[None]:
    """Put a team's name in front of what is wrong with its settings."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        raise ConfigError(
            text if text.startswith(f"team {team}:") else f"team {team}: {text}", hint=error.hint
        ) from error


def choose(
    options: Chosen,
    tables: Mapping[str, Any],
    *,
    config: Path,
    environ: Mapping[str, str],
    only: Sequence[str] = (),
    read_keys: bool = True,
) -> dict[str, tuple[Chosen, Mapping[str, str]]]:
    """Return what `chosen_for` does of the teams that `only` matches (all, if it is empty), in the order of the file.

    All tables are checked. Without `read_keys` no variable of a key need be set here. Raise ConfigError that names the
    team.
    """
    check_names(tables)
    if tables and options.sources.get("api_key_file") in options.order[:-1]:
        raise ConfigError("one key file for all teams", hint="name each team's in its table: api-key-file")
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in tables):
            raise ConfigError(f"--only {pattern} matches no team", hint=f"teams are {', '.join(tables)}")
    names = {name for name in tables if not only or any(fnmatchcase(name, pattern) for pattern in only)}
    chosen = {
        name: _chosen(name, table, options, config, environ, read_key=read_keys and name in names)
        for name, table in tables.items()
    }
    return {name: each for name, each in chosen.items() if name in names}


def key_source(chosen: Chosen, table: Mapping[str, Any]) -> KeySource:
    """Return where the key of a team is, whose table was checked by `choose`."""
    variable = next((str(value) for key, value in table.items() if key.replace("-", "_") == KEY_ENV), None)
    if variable is not None:
        return KeySource(variable=variable)
    return KeySource(file=chosen.values["api_key_file"].absolute())


def keyless(
    chosen: Mapping[str, tuple[Chosen, Mapping[str, str]]], tables: Mapping[str, Any], *, now: dt.datetime
) -> dict[str, Keyless]:
    """Return the settings of teams whose keys are not read here; raise ConfigError that names the team."""
    made = {}
    for name, (each, _) in chosen.items():
        settings = settings_of(each, {KEY_VARIABLE: UNREAD}, team=name, now=now)
        made[name] = Keyless.of(settings, key_source(each, tables[name]))
    check_sources(made)
    return made


def check_keys(teams: Mapping[str, Settings]) -> None:
    """Raise ConfigError if two teams have one key: their limits would be one, too."""
    seen: dict[tuple[str, str], str] = {}
    for name, settings in teams.items():
        other = seen.setdefault((settings.base_url, settings.api_key.reveal()), name)
        if other != name:
            raise ConfigError(f"teams {other} and {name} have the same key", hint="a team has one key, a key one team")


def _chosen(
    name: str, table: Any, options: Chosen, config: Path, environ: Mapping[str, str], *, read_key: bool
) -> tuple[Chosen, Mapping[str, str]]:
    """Return a team's options; of a team that is not asked for, the variable of its key need not be set."""
    if not read_key and isinstance(table, dict):
        variables = {str(value): UNREAD for key, value in table.items() if key.replace("-", "_") == KEY_ENV}
        environ = {**environ, **variables}
    return chosen_for(name, table, options=options, config=config, environ=environ)


def _without_key(source: Source) -> Source:
    return replace(source, values={name: value for name, value in source.values.items() if name != "api_key_file"})
