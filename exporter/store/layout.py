"""Where a result and the work on it are stored, and what is there now. Reads only."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.progress.text import counted
from exporter.store.manifest import NAME, Manifest, loads
from exporter.store.parts import DIGEST_KEY

_CONVERTED = frozenset({".csv", ".xlsx"})
_OTHER_FORMATS = _CONVERTED | {".json", ".jsonl", ".ndjson", ".tsv", ".xls", ".duckdb", ".db", ".sqlite", ".feather"}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Layout:
    """The paths of one OUT, a folder, or one file if its name ends in `.parquet`."""

    out: Path

    @classmethod
    def of(cls, out: Path) -> Layout:
        """Return the layout of OUT, links followed, so that all names for it share one lock and one file system.

        Raise ConfigError for an address, and for a path that no file can have.
        """
        _refuse_address(out)
        with unusable(out):
            layout = cls(out.resolve())
            if not layout.out.name:
                raise ConfigError(
                    f"{out} can't be used as OUT: it is the root of the file system", hint="choose another OUT"
                )
            layout.work.exists()  # raises where the system refuses even to look, or the name is too long
        return layout

    @property
    def is_file(self) -> bool:
        """Whether the result is one file."""
        return self.out.suffix == ".parquet"

    @cached_property
    def manifest(self) -> Path:
        """The finished result's manifest."""
        return self.out.with_name(f"{self.out.name}.manifest.json") if self.is_file else self.out / NAME

    @cached_property
    def work(self) -> Path:
        """The folder of the work in progress."""
        return self.out.with_name(f".{self.out.name}.exporter")

    @cached_property
    def lock(self) -> Path:
        """The file that is locked while an export runs."""
        return self.work / "lock"

    @cached_property
    def spool(self) -> Path:
        """The committed segments."""
        return self.work / "spool"

    @cached_property
    def result(self) -> Path:
        """The folder of the parts until they are published."""
        return self.work / "result"

    @cached_property
    def ready(self) -> Path:
        """The manifest of a result that is whole; while it exists, the result is being published."""
        return self.result / NAME

    @cached_property
    def old(self) -> Path:
        """The result that is being replaced, until the new one is published."""
        return self.work / "old"

    def part(self, name: str) -> Path:
        """Return the path of a part of the finished result."""
        return self.out if self.is_file else self.out / name


def check_name(out: Path) -> None:
    """Raise ConfigError for an OUT that is hardly meant: an export may replace what it names, and names its format.

    The cases: an address; another format's suffix, or `.parquet` without a name; the current directory, which an empty
    OUT is too, or one that it is in.
    """
    _refuse_address(out)
    if out.suffix.lower() in _OTHER_FORMATS:
        convert = f", then: exporter convert {out.stem} {out.name}" if out.suffix.lower() in _CONVERTED else ""
        raise ConfigError(
            f"{out} has the suffix of another format: a result is a folder of Parquet files, or one file in .parquet",
            hint=f"export to a folder, for example {out.stem}{convert}",
        )
    if out.suffix.lower() == ".parquet" != out.suffix or out.name.lower() == ".parquet":
        raise ConfigError(
            f"{out} is neither a folder's name nor a file's", hint="a file's name ends in .parquet: orders.parquet"
        )
    with unusable(out):
        resolved, here = out.resolve(), Path.cwd()
    if resolved in {here, *here.parents}:
        raise ConfigError(
            f"OUT is {resolved}, which is the current directory or one that it is in: an export may replace it",
            hint="name a new folder, for example orders",
        )


def _refuse_address(out: Path) -> None:
    """Raise ConfigError for a path that was an address, of whose two slashes a path keeps one."""
    if _ADDRESS.match(str(out)):
        raise ConfigError(
            f"{str(out).replace(':/', '://', 1)} is an address, and OUT is a folder or a file on this machine",
            hint="choose a path; exporter publish copies a result to an address, verify and diff read it there",
        )


@contextmanager
def unusable(path: Path, *, role: str = "OUT") -> Iterator[None]:
    """Report a path that the system refuses to look at as a wrong argument; `role` is what the argument is called."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # beside the system's, a null byte and a loop of links
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if _is_here_deleted():
            reason += ", and the current directory was deleted"
        raise ConfigError(f"{path} can't be used as {role}: {reason}", hint=f"choose another {role}") from error


def _is_here_deleted() -> bool:
    """Return whether the current directory is gone, as a relative path needs it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def read_manifest(path: Path) -> Manifest:
    """Return a manifest that says what it was written to say; raise OutputError if it can't be relied on."""
    try:
        manifest, wrong = loads(path.read_bytes(), path=path)
    except (OSError, CertificateError) as error:
        reason = f"{path} can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise OutputError(reason, hint="move it away, or choose another OUT") from error
    if wrong:
        raise OutputError(f"{path} was changed by hand or damaged: {'; '.join(wrong)}", hint="move it away")
    return manifest


def published(layout: Layout) -> Manifest | None:
    """Return the manifest of the result in OUT, None if nothing is there.

    Raise ConfigError if OUT holds files that no export wrote, OutputError if its manifest is damaged or of a
    newer program.
    """
    with unusable(layout.out):
        return _in_file(layout) if layout.is_file else _in_folder(layout)


def missing_parts(layout: Layout, manifest: Manifest) -> list[str]:
    """Return which parts are missing or of another size, from their names and sizes alone."""
    return [
        part.name
        for part in manifest.parts
        if not (path := layout.part(part.name)).is_file() or path.stat().st_size != part.bytes
    ]


def _in_folder(layout: Layout) -> Manifest | None:
    out = layout.out
    if not out.exists():
        return None
    if not out.is_dir():
        raise ConfigError(f"{out} is a file where a folder is needed", hint="choose another OUT, or one in `.parquet`")
    if out.is_mount():
        raise ConfigError(f"{out} is a mount point, which can't be replaced", hint="choose a folder inside it as OUT")
    names = {inside.name for inside in out.iterdir()}
    if not names:
        return None
    manifest = read_manifest(layout.manifest) if NAME in names else None
    own = {NAME, *(part.name for part in manifest.parts)} if manifest else set()
    refuse_strangers(out, names - own)
    return manifest


def refuse_strangers(out: Path, names: Collection[str]) -> None:
    """Raise ConfigError if there are names of files in OUT that no export wrote."""
    if names:
        raise ConfigError(
            f"{out} holds {counted(len(names), 'file')} that no export wrote: {', '.join(sorted(names)[:3])}",
            hint="choose an OUT that is new or empty, or move them away",
        )


def _in_file(layout: Layout) -> Manifest | None:
    out = layout.out
    manifest = read_manifest(layout.manifest) if layout.manifest.exists() else None
    if not out.exists():
        return None
    if not out.is_file():
        raise ConfigError(
            f"{out} is a folder where a file is needed", hint="choose an OUT that does not end in .parquet"
        )
    if manifest is None or [digest_in(out)] != [part.digest for part in manifest.parts]:
        raise ConfigError(
            f"{out} is there, and {layout.manifest.name} beside it is not its manifest: no export wrote it as it is",
            hint="choose another OUT, or move it away",
        )
    return manifest


def digest_in(path: Path) -> str | None:
    """Return the digest in a Parquet file's own metadata, None if there is none."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    digest = metadata.get(DIGEST_KEY)
    return digest.decode() if digest else None
