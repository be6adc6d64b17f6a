"""Write a file next to others: under another name first, synced, then renamed, and never into a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import ConfigError, DiskError, OutputError
from exporter.store.disk import Disk
from exporter.store.finished import TEAMS, Results
from exporter.store.manifest import NAME


def check_name(file: Path, endings: Sequence[str]) -> str:
    """Return the ending of a file's name; raise ConfigError if it is none of these."""
    if file.suffix not in endings:
        raise ConfigError(f"{file} ends in none of {', '.join(endings)}", hint="the ending says which format is wanted")
    return file.suffix


@contextmanager
def output_file(file: Path, results: Results, *, overwrite: bool, disk: Disk | None = None) -> Iterator[Path]:
    """Give the path to write to, in an empty folder of its own; where all went well, it becomes `file`.

    Raise ConfigError if `file` can't be written, or would be part of one of the results that are read; OutputError if
    it is there and `overwrite` is not said.
    """
    disk, target = disk or Disk(), file.resolve()
    check_place(target, results)
    _check_free(target, overwrite=overwrite)
    folder = target.with_name(f".{target.name}.partial")
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


def check_place(target: Path, results: Results) -> None:
    """Raise ConfigError if a path can't be that of a file, or if it would be part of a result."""
    target = target.resolve()
    if target.is_dir():
        raise ConfigError(f"{target} is a folder where a file is needed")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}", hint="make it first")
    own = {path.resolve() for _, result in results for path in result.paths}
    beside = target.with_name(f"{target.name}.manifest.json")
    if target in own or beside.exists() or any((target.parent / name).exists() for name in (NAME, TEAMS)):
        raise ConfigError(f"{target} would be written into a result", hint="name a file outside of it")


def _check_free(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise OutputError(f"{target} is there already", hint="--overwrite replaces it")
