"""The pointer `_current.json`: which version of a published result is the one to read. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import orjson

from exporter.errors import CertificateError, OutputError
from exporter.store.typed import typed
from exporter.vendor.foreign_text import quoted, shown

FORMAT = 1
NAME = "_current.json"
VERSIONS = "versions"
ID_DIGITS = 16

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pointer:
    """The version that stands: the SHA-256 of its manifest, and the paths of its parts below the URL, in order."""

    version: str
    manifest_sha256: str
    parts: tuple[str, ...]

    def dumps(self) -> bytes:
        """Return the text of `_current.json`."""
        return orjson.dumps({"format": FORMAT, **asdict(self)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @property
    def folder(self) -> str:
        """The path of the version below the URL."""
        return folder_of(self.version)


def id_of(manifest_sha256: str) -> str:
    """Return the name of the version whose manifest has this SHA-256."""
    return manifest_sha256[:ID_DIGITS]


def folder_of(version: str) -> str:
    """Return the path of a version below the URL."""
    return f"{VERSIONS}/{version}"


def loads(text: bytes, *, url: str) -> Pointer:
    """Return the pointer in `text`; raise OutputError if a newer program wrote it, CertificateError if it is none."""
    try:
        value = orjson.loads(text)
        version = value["format"]
        if isinstance(version, int) and version > FORMAT:
            raise OutputError(
                f"{url} is of version {version}; this program knows {FORMAT} and leaves it alone",
                hint="use a newer version of the exporter",
            )
        named = {name: value[name] for name in ("version", "manifest_sha256")}
        pointer: Pointer = typed(Pointer, {**named, "parts": tuple(value["parts"])})
        _check(pointer)
    except (ValueError, TypeError, KeyError) as error:
        raise CertificateError(
            f"{url} can't be read as what a publisher writes: {shown(str(error))}",
            hint="move it away, then publish again",
        ) from error
    return pointer


def _check(pointer: Pointer) -> None:
    """Raise ValueError for a version whose name, and so its folder, is not of its manifest."""
    if not _SHA256.fullmatch(pointer.manifest_sha256) or pointer.version != id_of(pointer.manifest_sha256):
        raise ValueError(f"its version {quoted(pointer.version)} is not of a manifest's checksum")
