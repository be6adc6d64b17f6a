"""Make the settings of an update: the query is the result's, all else is what the user asks now."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.config.options import Settings
from exporter.config.sources import Chosen, Source
from exporter.errors import ConfigError, ExportError
from exporter.store.layout import Layout, read_manifest
from exporter.store.manifest import Manifest, filters_of
from exporter.store.old_result import OldResult
from exporter.vendor.orders import wire_time


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapted:
    """The settings of an update, and the query that its result will have."""

    settings: Settings
    query: Mapping[str, Any]


def take_over(out: Path, options: Chosen) -> Chosen:
    """Return the options with the time zone and the start of the result in OUT and, if none is named, its address.

    Raise what `OldResult.load` raises.
    """
    layout = Layout.of(out)
    replaces = layout.ready.is_file()  # it was about to replace the one before
    manifest = read_manifest(layout.ready) if replaces else OldResult.load(out).manifest
    own: dict[str, Any] = {
        "timezone": manifest.timezone,
        "start": dt.datetime.fromisoformat(wire_time(manifest.whole.start)),
    }
    if options.sources["site"] is options.sources["base_url"] is None:
        own["base_url"] = manifest.query["base_url"]
    result = Source(
        name=str(out), values=own, name_of=lambda name: f"{name} of {out}", assign=lambda name, _: f"--{name}"
    )
    return replace(
        options,
        order=(*options.order, result),
        sources={**options.sources, **dict.fromkeys(own, result)},
        values={**options.values, **own},
    )


def take_over_if_any(out: Path, options: Chosen) -> Chosen:
    """Return what `take_over` does; the options as they are if there is no result: the update of that team says so."""
    with suppress(ExportError):
        return take_over(out, options)
    return options


def adapted(made: Settings, manifest: Manifest) -> Adapted:
    """Return the settings to update a result with; raise ConfigError if they name an end before its own."""
    asked = manifest.query
    end, end_asked = _end(made, manifest)
    settings = replace(
        made,
        start=manifest.whole.start,
        start_asked=asked["start"],
        end=end,
        end_asked=end_asked,
        filters=filters_of(asked),
        language=manifest.language,
        timezone=manifest.timezone,
        strict_values=asked["strict_values"],
        compression=asked["compression"],
        allow_uncertified=False,
    )
    return Adapted(settings=settings, query={**asked, "end": end_asked})


def _end(made: Settings, manifest: Manifest) -> tuple[int | None, str | None]:
    """Return the end, inclusive, and as it was asked for.

    The cases:
    - no end is named now: an open end stays open, and a given one stays;
    - an end is named: it is no earlier than the one that was given, or than what an open one has covered.
    """
    text, covered = manifest.query["end"], manifest.whole.stop - 1
    given = None if text is None else _second(text, covered)
    if made.end is None:
        return given, text
    least = covered if given is None else given
    if made.end < least:
        raise ConfigError(
            f"the end {wire_time(made.end)} is before that of the result, {wire_time(least)}",
            hint="an update only goes on: name a later end, or export a shorter range to another OUT",
        )
    return (given, text) if made.end == given else (made.end, made.end_asked)


def _second(text: str, covered: int) -> int:
    """Return the Unix second of an end; of a text that is no time, what it has covered."""
    try:
        return int(dt.datetime.fromisoformat(text).timestamp())
    except ValueError:
        return covered
