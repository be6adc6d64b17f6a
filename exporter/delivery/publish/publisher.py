"""Publish a result below a URL.

The steps:

1. Read the pointer: another version that stands stays, unless it may be replaced.
2. Verify the result completely.
3. Send the parts that the store does not have whole, then what lists them. They are objects of a version of their own,
   which no reader looks for yet: killed here, the same command sends what is left.
4. Create or replace the pointer, if it still is what was read. From here on this version is the one to read.
5. With `prune`, delete the versions that were there before the pointer was replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.delivery.publish import pointer as pointers
from exporter.delivery.publish.location import Location
from exporter.delivery.publish.pointer import ID_DIGITS, VERSIONS, Pointer, folder_of
from exporter.delivery.publish.sending import send
from exporter.delivery.publish.storage import Seen, Storage, Stored
from exporter.delivery.publish.version import Upload, version_of
from exporter.errors import ConfigError, OutputError
from exporter.store.layout import unusable

_ID = re.compile(rf"{VERSIONS}/([0-9a-f]{{{ID_DIGITS}}})/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What was published: the `pattern` that finds its parts, and how many objects and bytes had to be sent for it."""

    url: str
    version: str
    manifest_sha256: str
    pattern: str
    rows: int
    parts: int
    bytes: int
    sent: int
    sent_bytes: int
    pruned: tuple[str, ...]
    """The versions that were deleted."""


def publish(
    out: Path,
    url: str,
    *,
    overwrite: bool = False,
    prune: bool = False,
    on_sent: Callable[[Upload], None] = lambda _: None,
) -> Published:
    """Verify the result in OUT, or those of its teams, and publish it below `url`; `on_sent` gets each object sent.

    Raise ConfigError for a URL or settings that can't be used, OutputError if there is no result, or another one is
    published there that may not be replaced, or was meanwhile; CertificateError if the result is not what was
    certified; StorageError if the store refuses or fails.
    """
    location = Location.of(url)
    _check_outside(location, out)
    version = version_of(out)
    storage = Storage.at(location, make=True)
    with storage.publishing():
        standing, seen = read_pointer(storage)
        if standing not in (None, version.pointer) and not overwrite:
            raise _taken(storage, "another result is published there", hint="--overwrite replaces it")
        version.verify()
        there = storage.stored(VERSIONS if prune else version.pointer.folder)
        sent = [
            *send(storage, version.parts, there=there, on_sent=on_sent),
            *send(storage, version.lists, there=there, on_sent=on_sent),
        ]
        if standing != version.pointer:
            _replace(storage, version.pointer, seen)
        pruned = _prune(storage, version.pointer, there) if prune else ()
    return Published(
        url=str(location),
        version=version.pointer.version,
        manifest_sha256=version.pointer.manifest_sha256,
        pattern=location.url(version.pattern),
        rows=version.rows,
        parts=len(version.parts),
        bytes=sum(part.size for part in version.parts),
        sent=len(sent),
        sent_bytes=sum(one.size for one in sent),
        pruned=pruned,
    )


def _check_outside(location: Location, out: Path) -> None:
    """Raise ConfigError for a folder in OUT, which holds the files of the result alone."""
    with unusable(out):
        target, own = location.path().resolve(), out.resolve()
    if location.is_local and own in {target, *target.parents}:
        raise ConfigError(f"{location} is in {out}, which holds the files of the result alone", hint="choose another")


def read_pointer(storage: Storage) -> tuple[Pointer, Seen] | tuple[None, None]:
    """Return the pointer and the version of its object; None if nothing is published."""
    found = storage.read(pointers.NAME)
    if found is None:
        return None, None
    text, seen = found
    return pointers.loads(text, url=storage.location.url(pointers.NAME)), seen


def _replace(storage: Storage, pointer: Pointer, seen: Seen | None) -> None:
    """Make the version of a pointer the one to read; raise OutputError if somebody else published another first.

    A store that took the pointer, and whose response was lost, refuses it when it is sent once more: so what is there
    afterwards says who won.
    """
    if not storage.replace(pointers.NAME, pointer.dumps(), seen=seen) and read_pointer(storage)[0] != pointer:
        raise _taken(
            storage,
            "another result was published there meanwhile",
            hint="see which one should stand; the same command with --overwrite replaces it, and sends no part again",
        )


def _prune(storage: Storage, pointer: Pointer, there: dict[str, Stored]) -> tuple[str, ...]:
    """Delete the other versions that were there before the pointer was replaced, unless it was replaced again."""
    versions = sorted({found[1] for key in there if (found := _ID.match(key))} - {pointer.version})
    pruned = []
    for version in versions:
        if read_pointer(storage)[0] != pointer:
            break
        storage.delete([key for key in there if key.startswith(f"{folder_of(version)}/")])
        pruned.append(version)
    return tuple(pruned)


def _taken(storage: Storage, reason: str, *, hint: str) -> OutputError:
    return OutputError(f"{storage.location}: {reason}", hint=hint)
