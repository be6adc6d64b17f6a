"""Turn the declared options into a command line: cyclopts reads the types that are made here."""

from __future__ import annotations

import datetime as dt
import os
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict, TypeVar, Unpack

from cyclopts import App, Group, Parameter

from exporter.config import parsers as readers
from exporter.config import sources
from exporter.config.options import (
    ConnectionOptions,
    Option,
    OutputOptions,
    QueryOptions,
    RunOptions,
    Settings,
    options_of,
)

Command = TypeVar("Command", bound=Callable[..., int])

ALL = (QueryOptions, ConnectionOptions, RunOptions, OutputOptions)


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

    config: Annotated[str, Option("TOML file of settings: keys are the options' names.", readers.path, "export.toml")]
    show_settings: Annotated[bool, Option("Print what is in force and where it comes from; do nothing.", readers.flag)]


def command(*groups: type, without: tuple[str, ...] = (), epilogue: str | None = None) -> Callable[[Command], Command]:
    """Register a command whose `**given` are the options of these groups."""

    def register(function: Command) -> Command:
        function.__annotations__["given"] = _flags(groups, without)
        app.command(function, help_epilogue=epilogue)
        return function

    return register


def _flags(groups: tuple[type, ...], without: tuple[str, ...]) -> Any:
    hints = {
        name: _hint(name, option, Group(group.__name__, sort_key=place))
        for place, group in enumerate(groups, start=1)
        for name, option in options_of(group).items()
        if name not in without
    }
    body = {"__annotations__": hints, "__module__": __name__}
    return Unpack[types.new_class("Flags", (TypedDict,), {"total": False}, lambda namespace: namespace.update(body))]


def _hint(name: str, option: Option, group: Group) -> Any:
    kind: Any = bool if option.read is readers.flag else list[str] if option.many else str
    metavar = None if kind is bool else name.rpartition("_")[2].upper()
    return Annotated[kind, Parameter(help=option.described, group=group, negative="", metavar=metavar)]


def chosen(given: Mapping[str, Any]) -> sources.Chosen:
    """Return every option's value: flags first, then the environment, then the file that `--config` names."""
    options = options_of(*ALL)
    places = [sources.command_line(given), sources.environment(environ())]
    config = sources.choose(options_of(Origin), *places).values["config"]
    if config is not None:
        places.append(sources.toml_file(config, options))
    return sources.choose(options, *places)


def environ() -> Mapping[str, str]:
    """Return the environment: the only place of the program that reads it."""
    return os.environ


def settings(options: sources.Chosen) -> Settings:
    """Return the validated settings of these options."""
    return sources.settings(options, environ(), now=dt.datetime.now(dt.UTC))
