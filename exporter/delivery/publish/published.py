"""Read what is published below a URL: open it, verify it, compare it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from exporter.config.teams import check_names
from exporter.delivery.publish import pointer as pointers
from exporter.delivery.publish.location import Location, is_url
from exporter.delivery.publish.pointer import Pointer
from exporter.delivery.publish.publisher import read_pointer
from exporter.delivery.publish.storage import Storage, Stored
from exporter.delivery.publish.version import names_of_no_file, subfolder
from exporter.errors import CertificateError, ConfigError, OutputError
from exporter.result import Result
from exporter.store import teams_list
from exporter.store.finished import Results, finished
from exporter.store.manifest import NAME, Manifest, loads
from exporter.store.verify import bytes_differ, check_manifest, raise_if_wrong
from exporter.vendor.foreign_text import shown

_SEND_AGAIN = "publish the result again: what is not whole is sent again"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """One result of a published version: its manifest as it is stored, and the keys of its parts."""

    manifest: Manifest
    text: bytes
    keys: tuple[str, ...]


_Members = list[tuple[str | None, _Member]]
"""The results by team; of one result without teams, the name is None."""


def results_of(out: str | os.PathLike[str]) -> Results:
    """Return the result, or those of its teams, in an OUT on this machine or at a URL."""
    return results_at(str(out)) if is_url(out) else finished(out)


def results_at(url: str) -> Results:
    """Return the result published at a URL, or those of its teams.

    Raise OutputError if nothing is published there, CertificateError if what lists it is damaged, StorageError if it
    can't be read.
    """
    storage, pointer, members = _current(url)
    if lost := _lost(storage, pointer, members):
        raise CertificateError(f"these parts in {storage.location} are missing or not whole: {lost}", hint=_SEND_AGAIN)
    return [(team, _result(storage, member, storage.location.path(_folder(pointer, team)))) for team, member in members]


def open_at(url: str) -> Result:
    """Return what is published at a URL as one result; raise OutputError if part of it is missing too."""
    storage, pointer, members = _current(url)
    if lost := _lost(storage, pointer, members):
        raise OutputError(f"{lost} in {storage.location} is missing or not whole", hint=_SEND_AGAIN)
    results = {team: _result(storage, one, storage.location.path(_folder(pointer, team))) for team, one in members}
    if None in results:
        return results[None]
    text = storage.read(f"{pointer.folder}/{teams_list.NAME}")
    return Result(
        out=storage.location.path(pointer.folder),
        paths=tuple(path for one in results.values() for path in one.paths),
        manifest=orjson.loads(text[0]) if text else {},
        teams={team: one for team, one in results.items() if team is not None},
        url=str(storage.location),
        remote=tuple(file for one in results.values() for file in one.remote),
    )


def verify_at(url: str, *, expect: str | None = None) -> dict[str | None, Manifest]:
    """Read all that is published at a URL and return its manifests by team, None for one result without teams.

    `expect` is the SHA-256 that the manifest, or the list of teams, must have. Raise CertificateError that names all
    that is not as it was published.
    """
    storage, pointer, members = _current(url)
    if expect is not None and pointer.manifest_sha256 != expect.lower():
        raise CertificateError(
            f"{storage.location.url(pointer.folder)} has the SHA-256 {pointer.manifest_sha256}, not {expect.lower()}",
            hint="this is another result than the one whose checksum was kept, or it was changed",
        )
    there = storage.stored(pointer.folder)
    found = [f"{_of(team)}{wrong}" for team, member in members for wrong in check_manifest(member.manifest)]
    found += _check_parts(storage, members, there)
    found += _check_keys(pointer, [key for key, _ in _sizes(members)], there)
    raise_if_wrong(str(storage.location), found, members[0][1].manifest, hint=_SEND_AGAIN)
    return {team: member.manifest for team, member in members}


def _check_parts(storage: Storage, members: _Members, there: dict[str, Stored]) -> Iterator[str]:
    for team, member in members:
        for key, part in zip(member.keys, member.manifest.parts, strict=True):
            if key not in there:
                yield f"{_of(team)}{part.name} is missing"
            elif wrong := bytes_differ(storage.file(key, there[key].size), part):
                yield f"{_of(team)}{wrong}"


def _check_keys(pointer: Pointer, keys: list[str], there: Iterable[str]) -> Iterator[str]:
    """Check that the pointer lists the parts, and that nothing else would be read with them."""
    if [*pointer.parts] != keys:
        yield f"{pointers.NAME} lists other parts than its manifest"
    for key in sorted({*there} - {*keys}):
        name = key.rpartition("/")[2]
        is_folder = any(
            own.startswith(f"{key.rstrip('/')}/") for own in keys
        )  # as the consoles of some stores make them
        if not is_folder and (not name.startswith((".", "_")) or name.endswith(".parquet")):
            yield f"{shown(key)} is not one of its files"


def _current(url: str) -> tuple[Storage, Pointer, _Members]:
    """Return the version that stands at a URL: its results by team, None for one without teams."""
    storage = Storage.at(Location.of(url))
    pointer, _ = read_pointer(storage)
    if pointer is None:
        raise OutputError(f"nothing is published at {storage.location}", hint="exporter publish OUT URL does it")
    text = _checked(storage, f"{pointer.folder}/{NAME}", pointer.manifest_sha256)
    if text is not None:
        return storage, pointer, [(None, _member(storage, pointer, None, text))]
    key = f"{pointer.folder}/{teams_list.NAME}"
    text = _checked(storage, key, pointer.manifest_sha256)
    if text is None:
        raise CertificateError(f"{storage.location.url(pointer.folder)} has no {NAME}: it was removed, or never whole")
    members: list[tuple[str | None, _Member]] = []
    for team, facts in sorted(_listed(text, url=storage.location.url(key)).items()):
        key = f"{_folder(pointer, team)}{NAME}"
        found = _checked(storage, key, str(facts.get("sha256")))
        if found is None:
            raise CertificateError(f"{storage.location.url(key)} is missing")
        members.append((team, _member(storage, pointer, team, found)))
    return storage, pointer, members


def _listed(text: bytes, *, url: str) -> dict[str, dict[str, Any]]:
    """Return the teams in a list; raise CertificateError for a list that no publisher writes."""
    try:
        teams = teams_list.teams_of(text)
        check_names(teams)
    except (ValueError, ConfigError) as error:
        raise CertificateError(f"{url} is no list of teams that can be read: {shown(str(error))}") from None
    return teams


def _checked(storage: Storage, key: str, sha256: str) -> bytes | None:
    """Return what has a known checksum, None if there is nothing; raise CertificateError if it is something else."""
    found = storage.read(key)
    if found is None:
        return None
    if hashlib.sha256(found[0]).hexdigest() != sha256:
        raise CertificateError(f"{storage.location.url(key)} was changed: its checksum is another one")
    return found[0]


def _member(storage: Storage, pointer: Pointer, team: str | None, text: bytes) -> _Member:
    folder = _folder(pointer, team)
    url = storage.location.url(f"{folder}{NAME}")
    manifest, wrong = loads(text, path=url)
    wrong += names_of_no_file(manifest)
    if wrong:
        raise CertificateError(f"{url} was changed by hand or damaged: {'; '.join(wrong)}")
    return _Member(manifest=manifest, text=text, keys=tuple(f"{folder}{part.name}" for part in manifest.parts))


def _result(storage: Storage, member: _Member, out: Path) -> Result:
    location = storage.location
    return Result(
        out=out,
        paths=tuple(map(location.path, member.keys)) if location.is_local else (),
        manifest=orjson.loads(member.text),
        url=str(location),
        remote=()
        if location.is_local
        else tuple(storage.file(key, part.bytes) for key, part in zip(member.keys, member.manifest.parts, strict=True)),
    )


def _lost(storage: Storage, pointer: Pointer, members: _Members) -> str:
    """Return which parts are missing or of another size, from their names and sizes alone."""
    there = storage.stored(pointer.folder)
    return ", ".join(key for key, size in _sizes(members) if key not in there or there[key].size != size)


def _sizes(members: _Members) -> Iterator[tuple[str, int]]:
    for _, member in members:
        yield from zip(member.keys, (part.bytes for part in member.manifest.parts), strict=True)


def _folder(pointer: Pointer, team: str | None) -> str:
    return f"{pointer.folder}/{subfolder(team)}"


def _of(team: str | None) -> str:
    return "" if team is None else f"team {team}: "
