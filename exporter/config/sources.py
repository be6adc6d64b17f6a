"""Take each option from the first source that names it, and make the settings of all.

The sources, in this order: command line (or Python's keyword arguments), environment, TOML file, default. The key
comes from `DUOPLUS_API_KEY` or a file, in Python as an argument too; it is never part of a message.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from exporter.config import parsers
from exporter.config.options import KEY_VARIABLE, Option, Settings
from exporter.errors import ConfigError
from exporter.vendor.orders import SITES, Filters
from exporter.vendor.secret import Secret

TEAMS_TABLE = "teams"
"""The table of a TOML file that holds a table for each team."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that values come from, and how an option is written there."""

    name: str
    values: Mapping[str, Any] = field(repr=False)
    name_of: Callable[[str], str]
    """The name of an option, as it is written there."""
    assign: Callable[[str, Any], str]
    """An option with a value, as it is written there."""


def command_line(values: Mapping[str, Any]) -> Source:
    """Return the flags that were given."""
    return Source(
        name="command line",
        values=values,
        name_of=_flag,
        assign=lambda name, value: _flag(name) if value is None else f"{_flag(name)} {value}",
    )


PREFIX = "EXPORTER_"


def environment(environ: Mapping[str, str]) -> Source:
    """Return the variables `EXPORTER_…`; an empty one counts as not set."""
    return Source(
        name="environment",
        values={
            name.removeprefix(PREFIX).lower(): value
            for name, value in environ.items()
            if name.startswith(PREFIX) and value
        },
        name_of=_variable,
        assign=lambda name, value: f"{_variable(name)}={'true' if value is None else value}",
    )


def unknown_variables(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Return a warning for each variable `EXPORTER_…` that is no option, with the nearest name."""
    options = {_variable(name) for name in known}
    warnings = []
    for name in sorted(name for name, value in environ.items() if name.startswith(PREFIX) and value):
        if name not in options:
            guess = parsers.nearest(name, options)
            warnings.append(f"{name} is no option" + (f": did you mean {guess}?" if guess else ""))
    return warnings


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def toml_file(path: Path, known: Iterable[str]) -> Source:
    """Return the values of a TOML file; raise ConfigError if it can't be read, or has a key that is no option."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings in {path} can't be read: {reason(error)}", hint="check --config") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}", hint="a line of it looks like: rate = 1") from error
    content.pop(TEAMS_TABLE, None)  # `config.teams` reads it
    values = {key.replace("-", "_"): value for key, value in content.items()}
    for key, name in zip(content, values, strict=True):
        if name not in known:
            raise ConfigError(f"{path} has an unknown key: {key}", hint=_meant(name, known, _kebab))
    return Source(
        name=str(path),
        values=values,
        name_of=lambda name: f"{_kebab(name)} in {path}",
        assign=lambda name, value: f"{_kebab(name)} = {json.dumps(True if value is None else value)}",
    )


def python(values: Mapping[str, Any], known: Iterable[str]) -> Source:
    """Return Python's keyword arguments; None counts as not given. Raise ConfigError for an unknown one."""
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no option {name}=", hint=_meant(name, known, lambda meant: f"{meant}="))
    return Source(
        name="keyword argument",
        values={name: value for name, value in values.items() if value is not None},
        name_of=lambda name: f"{name}=",
        assign=lambda name, value: f"{name}={True if value is None else value!r}",
    )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The options in force: each one's value, and the source that names it (none for a default)."""

    options: Mapping[str, Option]
    order: tuple[Source, ...]
    sources: Mapping[str, Source | None]
    values: dict[str, Any] = field(default_factory=dict, repr=False)

    def refuse(self, name: str, reason: str) -> ConfigError:
        """Return the error for one option: what was given and where, what is allowed, an example."""
        source = self.sources[name] or self.order[0]
        given = source.values.get(name, self.options[name].default)
        example = source.assign(name, self.options[name].example)
        shown = "what it is" if name == "api_key" else _shown(given)
        return ConfigError(f"{source.name_of(name)} is {shown}: {reason}", hint=f"for example: {example}")

    def rank(self, name: str) -> int:
        """Return how far from the user an option was named: 0 for the first source, more for those it overrides."""
        source = self.sources[name]
        return len(self.order) if source is None else self.order.index(source)


def choose(options: Mapping[str, Option], *order: Source) -> Chosen:
    """Return each option's value from the first source that names it, read and checked."""
    sources = {name: next((source for source in order if name in source.values), None) for name in options}
    chosen = Chosen(options=options, order=order, sources=sources)
    for name, option in options.items():
        source = sources[name]
        value = option.default if source is None else source.values[name]
        try:
            chosen.values[name] = None if value is None else option.parse(value)
        except ValueError as error:
            raise chosen.refuse(name, str(error)) from None
    return chosen


def settings(chosen: Chosen, environ: Mapping[str, str], *, now: dt.datetime) -> Settings:
    """Return the settings of an export; raise ConfigError where options contradict each other or the key is missing."""
    values = chosen.values
    start, end = _range(chosen, now)
    same = {field.name for field in fields(Settings)} & values.keys() - {"start", "end", "base_url", "api_key"}
    return Settings(
        base_url=_address(chosen),
        api_key=key(chosen, environ)[0],
        start=int(start.timestamp()),
        end=int(end.timestamp()) if end else None,
        start_asked=start.isoformat(),
        end_asked=end.isoformat() if end else None,
        filters=Filters(
            status=values["status"] or (),
            type=values["type"] or (),
            product_type=values["product_type"] or (),
            image_ids=values["image_id"] or (),
            order_id=values["order_id"],
        ),
        language=values["lang"],
        final_check=not values["no_final_check"],
        **{name: values[name] for name in same if values[name] is not None},
    )


def key(chosen: Chosen, environ: Mapping[str, str]) -> tuple[Secret, str]:
    """Return the key, and where it comes from."""
    variable = environ.get(KEY_VARIABLE, "").strip()
    if chosen.values.get("api_key"):
        found, source = chosen.values["api_key"], "api_key="
    elif chosen.values["api_key_file"] and (chosen.rank("api_key_file") == 0 or not variable):
        path = chosen.values["api_key_file"]
        try:
            found, source = path.read_text(encoding="utf-8").strip(), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise chosen.refuse("api_key_file", f"it can't be read, {reason(error)}") from error
    else:
        found, source = variable, KEY_VARIABLE
    if not found:
        hint = f"set {KEY_VARIABLE}, or name a file that holds the key with --api-key-file"
        raise ConfigError("there is no API key" if source == KEY_VARIABLE else f"{source} holds no key", hint=hint)
    return checked_key(found, source), source


def checked_key(found: str, source: str) -> Secret:
    """Return a key that was found; raise ConfigError for what can't be one."""
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigError(
            f"the key in {source} has characters that no key has",
            hint="it is one word of letters and digits: copy it again",
        )
    return Secret(found)


def exposed(chosen: Chosen, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield how the key may get into other hands: by a file that others can read."""
    path = chosen.values["api_key_file"]
    if path is not None and key(chosen, environ)[1] == str(path) and path.stat().st_mode & 0o077:
        yield f"{path}, which holds the key, can be read by other users of this machine: chmod 600 {path}"


def shown(chosen: Chosen, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what is in force as rows of option, value and source; of the key no more than its end."""
    rows = []
    for name, option in chosen.options.items():
        source, value = chosen.sources[name], chosen.values[name]
        several = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        rows.append(
            (_kebab(name), option.unset or "-" if value is None else several, source.name if source else "default")
        )
    try:
        found, origin = key(chosen, environ)
    except ConfigError as error:
        return [*rows, ("key", "-", str(error))]
    return [*rows, ("key", found.masked, origin)]


def reason(error: OSError | UnicodeDecodeError) -> str:
    """Return why a file can't be read, in words."""
    return error.strerror or str(error) if isinstance(error, OSError) else "it is no UTF-8 text"


def _address(chosen: Chosen) -> str:
    """Return the address of the API: the site's, or the one that was named at least as near to the user."""
    if chosen.values["base_url"] is None or chosen.rank("site") < chosen.rank("base_url"):
        return SITES[chosen.values["site"]]
    if chosen.sources["base_url"] is chosen.sources["site"]:
        raise chosen.refuse("base_url", "a site was given too, and only one of the two can hold")
    address: str = chosen.values["base_url"]
    return address


def _range(chosen: Chosen, now: dt.datetime) -> tuple[dt.datetime, dt.datetime | None]:
    """Return the first and the last second of the range, each with the offset that it was read with."""
    start = _instant(chosen, "start", parsers.first_instant)
    end = _instant(chosen, "end", parsers.last_instant) if chosen.values["end"] is not None else None
    if end is not None and end < start:
        raise chosen.refuse("end", f"that is before the start, {start.isoformat()}")
    if end is None and start > now:
        raise chosen.refuse("start", f"that is in the future, and a range without an end goes up to now, {now:%F %T%z}")
    return start, end


def _instant(chosen: Chosen, name: str, place: Callable[[parsers.Moment, str], dt.datetime]) -> dt.datetime:
    try:
        return place(chosen.values[name], chosen.values["timezone"])
    except ValueError as error:
        raise chosen.refuse(name, str(error)) from None


def _shown(value: Any) -> str:
    """Return a given value as a message shows it: a list as its items, a table as its keys with their values."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_shown(one)}" for key, one in value.items()) or "empty"
    if isinstance(value, list | tuple | set):
        return ", ".join(map(_shown, value)) or "empty"
    return repr(value) if isinstance(value, str) else str(value)


def _flag(name: str) -> str:
    return "--" + _kebab(name)


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _meant(name: str, known: Iterable[str], name_of: Callable[[str], str]) -> str:
    """Return a hint: the nearest option, or all of them."""
    guess = parsers.nearest(name, known)
    return f"did you mean {name_of(guess)}?" if guess else f"known are {', '.join(map(name_of, known))}"
