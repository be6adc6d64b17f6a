"""What is published of a finished result: its parts, then what lists them, as the objects of one version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.config.teams import check_names
from exporter.delivery.publish.pointer import Pointer, folder_of, id_of
from exporter.errors import CertificateError, ExportError, OutputError
from exporter.progress.text import counted
from exporter.store import teams_list
from exporter.store.disk import Disk
from exporter.store.finished import holds_teams, teams_in
from exporter.store.layout import Layout, published
from exporter.store.manifest import NAME, Manifest, loads
from exporter.store.verify import verify
from exporter.vendor.foreign_text import quoted


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """One object: its key below the URL, and the file, or the bytes, that it is made of."""

    key: str
    source: Path | bytes
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """One result of a version, in a folder of its own if it is a team's."""

    out: Path
    layout: Layout
    text: bytes
    """Its manifest's."""
    manifest: Manifest
    sha256: str


_Members = Mapping[str, _Member] | Mapping[None, _Member]
"""The results by team; of one result without teams, the name is None."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A result as it is published. `lists` are its manifests, which are sent once all parts are there."""

    pointer: Pointer
    parts: tuple[Upload, ...]
    lists: tuple[Upload, ...]
    rows: int
    pattern: str
    """Finds all parts below the URL."""
    _members: _Members = field(repr=False)

    def verify(self) -> None:
        """Check every result completely; raise CertificateError if one is not what was certified, or not complete."""
        wrong = []
        for team, member in self._members.items():
            try:
                verify(member.out, expect=member.sha256)
                if not member.manifest.complete:
                    spans = ", ".join(map(str, member.manifest.missing)) or "the whole range"
                    raise CertificateError(f"{member.out} is not certified: {spans}", hint="run the same export again")
            except ExportError as error:
                if team is None:
                    raise
                wrong.append(f"team {team}: {error}")
        if wrong:
            raise _not_all_right(wrong, len(self._members))


def version_of(out: Path) -> Version:
    """Return the version that the result in OUT, or those of its teams, make; nothing but manifests is read.

    Raise OutputError if there is no finished result, CertificateError if a manifest is damaged or a team has none.
    """
    if not holds_teams(out):
        member = _member(out)
        return _version({None: member}, member.text, NAME, "*.parquet")
    members = _team_members(out)
    check_names(members)
    facts = {
        team: teams_list.facts_of(rows=one.manifest.rows, size=one.manifest.counts["bytes"], sha256=one.sha256)
        for team, one in members.items()
    }
    return _version(members, teams_list.text_of(facts), teams_list.NAME, "team=*/*.parquet")


def subfolder(team: str | None) -> str:
    """Return what stands before the names of a team's files in a version."""
    return "" if team is None else f"team={team}/"


def names_of_no_file(manifest: Manifest) -> list[str]:
    """Return what is wrong with the names of parts: each is one step of a path, and is shown."""
    return [
        f"{quoted(part.name)} is no name of a part"
        for part in manifest.parts
        if not part.name.isprintable() or "/" in part.name or part.name in {"", ".", ".."}
    ]


def _version(members: _Members, text: bytes, name: str, pattern: str) -> Version:
    sha256 = hashlib.sha256(text).hexdigest()
    folder = folder_of(id_of(sha256))
    parts = [
        Upload(
            key=f"{folder}/{subfolder(team)}{part.name}",
            source=one.layout.part(part.name),
            size=part.bytes,
            sha256=part.sha256,
        )
        for team, one in members.items()
        for part in one.manifest.parts
    ]
    lists = {f"{folder}/{subfolder(team)}{NAME}": one.text for team, one in members.items()}
    lists[f"{folder}/{name}"] = text
    return Version(
        pointer=Pointer(version=id_of(sha256), manifest_sha256=sha256, parts=tuple(part.key for part in parts)),
        parts=tuple(parts),
        lists=tuple(
            Upload(key=key, source=content, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for key, content in lists.items()
        ),
        rows=sum(one.manifest.rows for one in members.values()),
        pattern=f"{folder}/{pattern}",
        _members=members,
    )


def _member(out: Path) -> _Member:
    layout = Layout.of(out)
    if not layout.manifest.is_file():
        published(layout)  # says what OUT holds instead
        raise OutputError(f"there is no finished export in {out}", hint=f"exporter status {out} shows what is there")
    text = Disk().perform("read", layout.manifest, layout.manifest.read_bytes)
    manifest, wrong = loads(text, path=layout.manifest)
    wrong += names_of_no_file(manifest)
    if wrong:
        raise CertificateError(f"{layout.manifest} was changed by hand or damaged: {'; '.join(wrong)}")
    return _Member(out=out, layout=layout, text=text, manifest=manifest, sha256=hashlib.sha256(text).hexdigest())


def _team_members(out: Path) -> dict[str, _Member]:
    """Return the results of all teams; raise CertificateError that names those that have none, or a damaged one."""
    members, wrong = {}, []
    listed = _listed(out)
    for team in sorted(teams_in(out).keys() | listed.keys()):
        try:
            members[team] = _member(out / f"team={team}")
        except ExportError as error:
            reason = listed.get(team, {}).get("error")
            wrong.append(f"team {team}: {error}{f' ({reason})' if reason else ''}")
    if wrong:
        raise _not_all_right(wrong, len(members) + len(wrong))
    return members


def _listed(out: Path) -> dict[str, dict[str, Any]]:
    path = out / teams_list.NAME
    try:
        return teams_list.teams_of(path.read_bytes()) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path} is no list of teams that can be read: {error}") from error


def _not_all_right(wrong: list[str], teams: int) -> CertificateError:
    return CertificateError(
        "\n- ".join([f"{len(wrong)} of {counted(teams, 'team')} can't be published:", *wrong]),
        hint="run the export again until all are complete, or publish one team's folder by itself",
    )
