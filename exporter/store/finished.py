"""Read finished results: one, or those of the teams of a folder, their parts as they were written or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.errors import CertificateError, OutputError
from exporter.result import Result, parquet_source
from exporter.store import teams_list
from exporter.store.layout import Layout, published, unusable
from exporter.store.manifest import Part, loads
from exporter.store.verify import bytes_differ

Results = Sequence[tuple[str | None, Result]]
"""The results of teams by name, in order of the names; of one result without teams the name is None."""

TEAMS = teams_list.NAME
_TEAM = "team="
_WORK = ".exporter"


def finished(out: str | os.PathLike[str]) -> Results:
    """Return the result in OUT, or those of its teams.

    Raise OutputError or ConfigError if OUT holds no finished result, CertificateError if what it holds is damaged.
    """
    path = Path(out)
    if not holds_teams(path):
        return [(None, _result(path))]
    found = [(folder.name.removeprefix(_TEAM), folder) for folder in team_folders(path)]
    results = [(name, _result(folder)) for name, folder in found if Layout.of(folder).manifest.exists()]
    if lost := lost_teams(path):
        raise CertificateError(f"{out} is damaged: the result of {', '.join(lost)} is missing, which {TEAMS} lists")
    if not results:
        raise OutputError(f"there is no finished export of any team in {out}")
    return results


def team_folders(out: Path) -> list[Path]:
    """Return the folders of the teams in OUT, in order of their names."""
    return sorted(folder for folder in out.glob(f"{_TEAM}*") if folder.is_dir()) if out.is_dir() else []


def teams_in(out: Path) -> dict[str, Path]:
    """Return the folders of the results of teams by name, those that are only under way included."""
    with unusable(out):
        under_way = [path.with_name(path.name[1:].removesuffix(_WORK)) for path in out.glob(f".{_TEAM}*{_WORK}")]
        folders = {folder.name.removeprefix(_TEAM): folder for folder in [*team_folders(out), *under_way]}
    return dict(sorted(folders.items()))


def holds_teams(out: Path) -> bool:
    """Return whether OUT is a folder of teams; raise ConfigError for an OUT that can't be looked at."""
    with unusable(out):
        return bool(teams_in(out)) or (out / TEAMS).is_file()


def lost_teams(out: Path) -> list[str]:
    """Return the teams that OUT's own list calls complete and that have no result there, in order of their names.

    Raise CertificateError for a list that can't be read.
    """
    there = {folder.name.removeprefix(_TEAM) for folder in team_folders(out) if Layout.of(folder).manifest.exists()}
    return sorted(_complete_teams(out / TEAMS) - there)


def check_parts(results: Results) -> None:
    """Raise CertificateError that names each part that is missing or not as it was written."""
    found = [
        f"{file}: {problem}"
        for _, result in results
        for file, part in zip(result.files, result.manifest["parts"], strict=True)
        if (problem := bytes_differ(file, Part(**part)))
    ]
    if found:
        raise CertificateError(
            "\n- ".join(["these parts are damaged:", *found]),
            hint="exporter verify lists all that is wrong; export it again",
        )


def tables(result: Result) -> Iterator[pa.Table]:
    """Yield all rows in their order, a row group at a time; raise CertificateError that names a part it can't read."""
    for file in result.files:
        try:
            with pq.ParquetFile(parquet_source(file)) as opened:
                for number in range(opened.num_row_groups):
                    yield opened.read_row_group(number, use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise CertificateError(f"{file} can't be read: {error}") from error


def _result(out: Path) -> Result:
    layout = Layout.of(out)
    with unusable(out):
        text = layout.manifest.read_bytes() if layout.manifest.is_file() else None
    if text is None:
        published(layout)  # says what OUT holds instead
        raise OutputError(f"there is no finished export in {out}", hint=f"exporter status {out} shows what is there")
    manifest, wrong = loads(text, path=layout.manifest)
    if wrong:
        raise CertificateError(f"{layout.manifest} was changed by hand or damaged: {'; '.join(wrong)}")
    return Result(
        out=out,
        paths=tuple(layout.part(part.name) for part in manifest.parts),
        manifest=orjson.loads(text),
    )


def _complete_teams(path: Path) -> set[str]:
    """Return the teams that a folder's own list calls complete."""
    with unusable(path.parent):
        text = path.read_bytes() if path.is_file() else None
    if text is None:
        return set()
    try:
        teams = teams_list.teams_of(text)
        return {name for name, facts in teams.items() if facts["state"] == teams_list.COMPLETE}
    except ValueError as error:
        raise CertificateError(f"{path} is no list of teams that can be read: {error}") from error
