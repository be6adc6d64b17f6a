"""Take each option from the first place that names it, and make the settings of all.

The places, in this order: command line (or Python's keyword arguments), environment, TOML file, default. The key
comes from `DUOPLUS_API_KEY` or a file, in Python as an argument too; it is never part of a message.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from exporter.config import parsers as readers
from exporter.config.options import KEY_VARIABLE, Option, Settings
from exporter.errors import ConfigError
from exporter.vendor.orders import SITES, Filters
from exporter.vendor.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where values come from, and how an option is written there."""

    name: str
    values: Mapping[str, Any] = field(repr=False)
    spell: Callable[[str], str]
    """The name of an option, as it is written there."""
    write: Callable[[str, Any], str]
    """An option with a value, as it is written there."""


def command_line(values: Mapping[str, Any]) -> Source:
    """Return the flags that were given."""
    return Source(
        name="command line",
        values=values,
        spell=_flag,
        write=lambda name, value: _flag(name) if value is None else f"{_flag(name)} {value}",
    )


def environment(environ: Mapping[str, str]) -> Source:
    """Return the variables `EXPORTER_…`; an empty one counts as not set."""
    prefix = "EXPORTER_"
    return Source(
        name="environment",
        values={
            name.removeprefix(prefix).lower(): value
            for name, value in environ.items()
            if name.startswith(prefix) and value
        },
        spell=lambda name: prefix + name.upper(),
        write=lambda name, value: f"{prefix}{name.upper()}={'true' if value is None else value}",
    )


def toml_file(path: Path, known: Iterable[str]) -> Source:
    """Return what a TOML file says; raise ConfigError when it can't be read, or has a key that is no option."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings in {path} can't be read: {reason(error)}", hint="check --config") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}", hint="a line of it looks like: rate = 1") from error
    values = {key.replace("-", "_"): value for key, value in content.items()}
    for key, name in zip(content, values, strict=True):
        if name not in known:
            raise ConfigError(f"{path} has an unknown key: {key}", hint=_meant(name, known, _kebab))
    return Source(
        name=str(path),
        values=values,
        spell=lambda name: f"{_kebab(name)} in {path}",
        write=lambda name, value: f"{_kebab(name)} = {json.dumps(True if value is None else value)}",
    )


def python(values: Mapping[str, Any], known: Iterable[str]) -> Source:
    """Return Python's keyword arguments; None counts as not given. Raise ConfigError for an unknown one."""
    for name in values:
        if name not in known:
            raise ConfigError(f"there is no option {name}=", hint=_meant(name, known, lambda meant: f"{meant}="))
    return Source(
        name="keyword argument",
        values={name: value for name, value in values.items() if value is not None},
        spell=lambda name: f"{name}=",
        write=lambda name, value: f"{name}={True if value is None else value!r}",
    )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The options in force: each one's value, and the place that names it (none for a default)."""

    options: Mapping[str, Option]
    order: tuple[Source, ...]
    places: Mapping[str, Source | None]
    values: dict[str, Any] = field(default_factory=dict, repr=False)

    def refuse(self, name: str, reason: str) -> ConfigError:
        """Return the error for one option: what was given and where, what is allowed, an example."""
        place = self.places[name] or self.order[0]
        given = place.values.get(name, self.options[name].default)
        example = place.write(name, self.options[name].example)
        shown = "what it is" if name == "api_key" else repr(given) if isinstance(given, str) else str(given)
        return ConfigError(f"{place.spell(name)} is {shown}: {reason}", hint=f"for example: {example}")

    def rank(self, name: str) -> int:
        """Return how far from the user an option was named: 0 for the first place, more for those it overrides."""
        place = self.places[name]
        return len(self.order) if place is None else self.order.index(place)


def choose(options: Mapping[str, Option], *order: Source) -> Chosen:
    """Return each option's value from the first place that names it, read and checked."""
    places = {name: next((place for place in order if name in place.values), None) for name in options}
    chosen = Chosen(options=options, order=order, places=places)
    for name, option in options.items():
        place = places[name]
        value = option.default if place is None else place.values[name]
        try:
            chosen.values[name] = None if value is None else option.read(value)
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
        found, place = chosen.values["api_key"], "api_key="
    elif chosen.values["api_key_file"] and (chosen.rank("api_key_file") == 0 or not variable):
        path = chosen.values["api_key_file"]
        try:
            found, place = path.read_text(encoding="utf-8").strip(), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise chosen.refuse("api_key_file", f"it can't be read, {reason(error)}") from error
    else:
        found, place = variable, KEY_VARIABLE
    if not found:
        hint = f"set {KEY_VARIABLE}, or name a file that holds the key with --api-key-file"
        raise ConfigError("there is no API key" if place == KEY_VARIABLE else f"{place} holds no key", hint=hint)
    if not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigError(
            f"the key in {place} has characters that no key has",
            hint="it is one word of letters and digits: copy it again",
        )
    return Secret(found), place


def shown(chosen: Chosen, environ: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what is in force as rows of option, value and place; of the key no more than its end."""
    rows = []
    for name, option in chosen.options.items():
        place, value = chosen.places[name], chosen.values[name]
        several = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        rows.append(
            (_kebab(name), option.unsaid or "-" if value is None else several, place.name if place else "default")
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
    if chosen.places["base_url"] is chosen.places["site"]:
        raise chosen.refuse("base_url", "a site was named beside it, and only one of the two can hold")
    address: str = chosen.values["base_url"]
    return address


def _range(chosen: Chosen, now: dt.datetime) -> tuple[dt.datetime, dt.datetime | None]:
    """Return the first and the last second of the range, each with the offset that it was read with."""
    start = _instant(chosen, "start", readers.first_instant)
    end = _instant(chosen, "end", readers.last_instant) if chosen.values["end"] is not None else None
    if end is not None and end < start:
        raise chosen.refuse("end", f"that is before the start, {start.isoformat()}")
    if end is None and start > now:
        raise chosen.refuse("start", f"that is in the future, and a range without an end goes up to now, {now:%F %T%z}")
    return start, end


def _instant(chosen: Chosen, name: str, place: Callable[[readers.Moment, str], dt.datetime]) -> dt.datetime:
    try:
        return place(chosen.values[name], chosen.values["timezone"])
    except ValueError as error:
        raise chosen.refuse(name, str(error)) from None


def _flag(name: str) -> str:
    return "--" + _kebab(name)


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _meant(name: str, known: Iterable[str], spell: Callable[[str], str]) -> str:
    """Return a hint: the nearest option, or all of them."""
    guess = readers.nearest(name, known)
    return f"did you mean {spell(guess)}?" if guess else f"known are {', '.join(map(spell, known))}"
