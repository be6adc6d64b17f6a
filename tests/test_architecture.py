"""The way of the data is one way: no room of the house looks up the stairs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import exporter

HOUSE = Path(exporter.__file__).parent

STOREYS = [
    "errors orders events tables summary readers",
    "config columns plan retries pacing concurrency envelope simulator",
    "sources pages descent behaviour turns",
    "certify assemble transport shared_pace progress",
    "asking store",
    "work client verify preview demo screens",
    "second",
    "seek",
    "fill final",
    "walk",
    "windows",
    "engine",
    "export",
    "streaming",
    "result",
    "cli",
    "__init__ __main__",
]
"""From the ground up: a room may import from the storeys below its own."""

PURE = {
    "errors",
    "orders",
    "events",
    "plan",
    "columns",
    "pages",
    "certify",
    "assemble",
    "descent",
    "behaviour",
    "pacing",
    "retries",
}
"""Rooms that decide and touch nothing: no clock, disk, network or event loop."""
OUTSIDE = {
    "aiohttp",
    "anyio",
    "asyncio",
    "os",
    "pathlib",
    "random",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Give the dotted names of all that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            if node.module == "exporter":
                yield from (f"exporter.{alias.name}" for alias in node.names)


FILES = sorted(HOUSE.rglob("*.py"))


def rooms_imported(path: Path) -> set[str]:
    names = (name.split(".") for name in imports_of(path))
    return {parts[1] for parts in names if parts[0] == "exporter" and len(parts) > 1} - {room_of(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_room_imports_from_below_only(path: Path) -> None:
    storey = {room: level for level, rooms in enumerate(STOREYS) for room in rooms.split()}
    own = storey[room_of(path)]
    assert {room for room in rooms_imported(path) if storey[room] >= own} == set()


def test_the_plan_of_the_house_names_every_room_once() -> None:
    named = [room for rooms in STOREYS for room in rooms.split()]
    assert sorted(named) == sorted({room_of(path) for path in FILES})


def test_the_simulator_shares_no_code_with_the_engine_but_the_endpoint() -> None:
    shared = {room for path in FILES if room_of(path) == "simulator" for room in rooms_imported(path)}
    assert shared <= {"orders", "errors"}


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in PURE], ids=lambda path: path.name)
def test_what_decides_touches_nothing(path: Path) -> None:
    assert {name.split(".")[0] for name in imports_of(path)} & OUTSIDE == set()


def test_the_public_names_are_these() -> None:
    assert exporter.__all__ == [
        "ApiError",
        "CertificateError",
        "ConfigError",
        "DiskError",
        "Event",
        "ExportError",
        "Options",
        "OutputError",
        "RejectedError",
        "Result",
        "UnauthorizedError",
        "arun",
        "open",
        "records",
        "run",
        "stream",
    ]
    for name in exporter.__all__:
        assert getattr(exporter, name).__doc__ or name == "Event"
