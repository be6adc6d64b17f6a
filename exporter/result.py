"""A finished export as a Python object: where it is, what it holds, how to read it."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from exporter.progress.text import counted, size

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class RemoteFile(Protocol):
    """A file that is not on this machine; its text is its URL."""

    def open(self, buffering: int = ...) -> IO[bytes]:
        """Open it to read: this many bytes ahead, 0 for who reads here and there."""


def parquet_source(file: Path | RemoteFile) -> Any:
    """Return what pyarrow reads a file from."""
    return file if isinstance(file, Path) else file.open(buffering=0)


@dataclass(frozen=True, kw_only=True)
class Result:
    """A finished export: `manifest` is the content of `_manifest.json`, `paths` are the files in order of time.

    Of a folder of teams, `manifest` is the content of `_teams.json`, `paths` are ordered by team, and all rows together
    have the column `team`.

    Of a published result `url` is where it was opened, and `urls` are the files of the version that was current. In
    object storage there are no `paths`, and `out` names nothing on this machine.
    """

    out: Path
    paths: tuple[Path, ...]
    manifest: Mapping[str, Any] = field(repr=False)
    teams: Mapping[str, Result] = field(default_factory=dict, repr=False)
    """The results by team, in order of the names; of one team without a name there are none."""
    failed: Mapping[str, Exception] = field(default_factory=dict, repr=False)
    """The teams of this run that failed, and why."""
    url: str | None = None
    """Where it is published, if it was opened from there."""
    remote: tuple[RemoteFile, ...] = field(default=(), repr=False)
    """The files in object storage, in the order of `paths`."""

    @property
    def files(self) -> tuple[Path | RemoteFile, ...]:
        """The files, wherever they are."""
        return self.remote or self.paths

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of the files in object storage, none if they are on this machine."""
        return tuple(map(str, self.remote))

    @property
    def rows(self) -> int:
        """The number of orders."""
        if self.teams:
            return sum(one.rows for one in self.teams.values())
        return int(self.manifest["counts"]["rows"])

    @property
    def complete(self) -> bool:
        """Whether all of it is certified, and no team failed; False only after `allow_uncertified` or a failure."""
        if self.teams or self.failed:
            return not self.failed and all(one.complete for one in self.teams.values())
        return not self.manifest["missing"] and bool(self.manifest["run"].get("complete", True))

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table."""
        import pyarrow as arrow  # noqa: PLC0415, ICN001  # heavy
        import pyarrow.parquet as pq  # noqa: PLC0415

        if self.teams:
            return arrow.concat_tables(
                table.append_column("team", arrow.repeat(arrow.scalar(name), len(table)))
                for name, one in self.teams.items()
                for table in [one.to_arrow()]
            )
        return arrow.concat_tables(pq.read_table(parquet_source(file)) for file in self.files)

    def to_pandas(self) -> pd.DataFrame:
        """Return all rows with Arrow's types: money stays exact, codes stay integers."""
        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=_needed("pandas").ArrowDtype)
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return all rows as a Polars frame."""
        polars = _needed("polars")
        in_arrow = self.teams or self.remote
        frame: pl.DataFrame = polars.from_arrow(self.to_arrow()) if in_arrow else polars.read_parquet([*self.paths])
        return frame

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """Return a DuckDB relation over the files; nothing is read before it is queried."""
        duck = connection or _needed("duckdb")
        partitions: dict[str, Any] = {"hive_partitioning": True} if self.teams else {}
        relation: duckdb.DuckDBPyRelation = (
            duck.from_arrow(self._dataset())
            if self.remote
            else duck.read_parquet(list(map(str, self.paths)), **partitions)
        )
        return relation

    def _dataset(self) -> Any:
        """Return the files in object storage as a dataset, those of teams with the column `team`."""
        import pyarrow as arrow  # noqa: PLC0415, ICN001  # heavy
        import pyarrow.dataset as ds  # noqa: PLC0415

        parquet = ds.ParquetFileFormat()
        fragments = [
            parquet.make_fragment(
                arrow.PythonFile(file.open(buffering=0), mode="r"),
                partition_expression=None if name is None else ds.field("team") == name,
            )
            for name, one in (self.teams.items() if self.teams else [(None, self)])
            for file in one.remote
        ]
        schema = fragments[0].physical_schema.remove_metadata()
        if self.teams:
            schema = schema.append(arrow.field("team", arrow.string()))
        return ds.FileSystemDataset(fragments, schema, parquet)

    def __repr__(self) -> str:
        if self.teams or self.failed:
            failed = f", {len(self.failed)} failed: {', '.join(self.failed)}" if self.failed else ""
            of = counted(len(self.teams), "team")
            return f"<exporter.Result: {counted(self.rows, 'order')} of {of} in {self._place}{failed}>"
        first, last = self._ends
        counts = self.manifest["counts"]
        certified = "" if self.complete else ", not certified"
        return (
            f"<exporter.Result: {counted(self.rows, 'order')} from {first} to {last}, "
            f"{counted(counts['parts'], 'file')} in {self._place}, {size(counts['bytes'])}{certified}>"
        )

    def _repr_html_(self) -> str:
        """Return the same as a table, which a notebook shows."""
        if self.teams or self.failed:
            states = {name: counted(one.rows, "order") for name, one in self.teams.items()}
            states |= {name: f"failed: {error}" for name, error in self.failed.items()}
            return _html_table(states)
        first, last = self._ends
        counts = self.manifest["counts"]
        rows = {
            "orders": f"{self.rows:,}, {'complete and certified' if self.complete else 'not certified'}",
            "range": f"{first} to {last}",
            "files": f"{counted(counts['parts'], 'file')} in {self._place}, {size(counts['bytes'])}",
            "read it": "result.to_pandas(), .to_polars(), .to_arrow(), .to_duckdb()",
        }
        return _html_table(rows)

    @property
    def _place(self) -> str:
        return self.url or str(self.out)

    @property
    def _ends(self) -> tuple[str, str]:
        """The first and the last moment of the range, inclusive, in the result's time zone."""
        zone, span = ZoneInfo(self.manifest["timezone"]), self.manifest["range"]
        first, stop = (dt.datetime.fromisoformat(span[name]) for name in ("start", "stop"))
        last = stop - dt.timedelta(seconds=1)
        return first.astimezone(zone).isoformat(), last.astimezone(zone).isoformat()


@dataclass(frozen=True, kw_only=True)
class Diff:
    """What differs between two results: numbers of orders, and the orders themselves.

    `changed` are those of the same identity with another status or `expired_at`; another countdown alone is the same.
    """

    added: int
    changed: int
    vanished: int
    same: int
    by_status: Mapping[tuple[str | None, str | None], int] = field(repr=False)
    """Of the changed, added and vanished: orders by old and new status, None where there is no order."""
    by_month: Mapping[str, Mapping[str, int]] = field(repr=False)
    """Orders by month, as `2025-12`, of their creation, and by `added`, `changed`, `vanished`."""
    notes: tuple[str, ...]
    """How the two were asked for differently, and what else keeps them from being compared like with like."""
    changes: pa.Table = field(repr=False)
    """A row for each order that is not the same, with the columns of a result, and before them `change`, `old_status`
    and `old_expired_at`. A vanished order is as it was. With teams, there is a column `team`."""

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of orders added, changed, vanished and the same."""
        return {"added": self.added, "changed": self.changed, "vanished": self.vanished, "same": self.same}

    @property
    def differ(self) -> bool:
        """Whether any order was added, changed or vanished."""
        return bool(self.added or self.changed or self.vanished)


def _html_table(rows: Mapping[str, str]) -> str:
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _needed(library: str) -> Any:
    """Return an optional library; raise ImportError that says how to install it."""
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(library)
    except ImportError as error:
        raise ImportError(f"{library} is not installed: pip install {library}") from error
