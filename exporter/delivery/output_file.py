"""Write a file next to others: under another name first, synced, then renamed, and never into a result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import ConfigError, DiskError, OutputError
from exporter.store.disk import Disk
from exporter.store.finished import TEAMS, Results
from exporter.store.layout import unusable
from exporter.store.manifest import NAME


def check_name(file: Path, endings: Sequence[str]) -> str:
    """Return the ending of a file's name, in lower case; raise ConfigError if it is none of these."""
    ending = file.suffix.lower()
    if file.name.lower() in endings:
        raise ConfigError(f"{file} is an ending without a name", hint=f"for example: orders{file.name}")
    if ending not in endings:
        raise ConfigError(f"{file} ends in none of {', '.join(endings)}", hint="the ending says which format is wanted")
    return ending


@contextmanager
def output_file(file: Path, results: Results, *, overwrite: bool, disk: Disk | None = None) -> Iterator[Path]:
    """Give the path to write to, in an empty folder of its own; where all went well, it becomes `file`.

    Raise ConfigError if `file` can't be written, or would be part of one of the results that are read; OutputError if
    it is there and `overwrite` is not said.
    """
    disk = disk or Disk()
    target = check_place(file, results)
    _check_free(target, overwrite=overwrite)
    folder = _folder_of(target)
    disk.remove_tree(folder)
    disk.make_folder(folder)
    try:
        partial = folder / target.name
        yield partial
        with disk.append(partial) as written:
            written.sync()
        _check_free(target, overwrite=overwrite)
        disk.rename(partial, target)
    except OSError as error:
        raise DiskError(f"{target}: could not write: {error}", hint="see to the disk, and try again") from error
    finally:
        disk.remove_tree(folder)


def check_place(file: Path, results: Results) -> Path:
    """Return the path of a file, links followed.

    Raise ConfigError if it can't be a file's, if nothing may be written there, or if it would be part of a result.
    """
    with unusable(file, role="FILE"):
        target = file.resolve()
        _folder_of(target).exists()  # raises where the name is too long
        if target.is_dir():
            raise ConfigError(f"{target} is a folder where a file is needed", hint="name a file in it")
        if not target.parent.is_dir():
            raise ConfigError(f"there is no folder {target.parent}", hint="make it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"nothing may be written to {target.parent}", hint="make it writable, or name another FILE"
            )
        own = {path.resolve() for _, result in results for path in result.paths}
        beside = target.with_name(f"{target.name}.manifest.json")
        if target in own or beside.exists() or any((target.parent / name).exists() for name in (NAME, TEAMS)):
            raise ConfigError(f"{target} would be written into a result", hint="name a file outside of it")
    return target


def _folder_of(target: Path) -> Path:
    """Return the folder in which a file is written before it gets its name."""
    return target.with_name(f".{target.name}.partial")


def _check_free(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise OutputError(f"{target} is there already", hint="--overwrite replaces it")
