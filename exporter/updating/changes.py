"""Keep the orders that differ, team by team, until all teams are done; then write them to one file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import IO

import pyarrow as pa

from exporter.columns.arrays import strings
from exporter.delivery.convert import CHANGES, write_changes
from exporter.delivery.output_file import check_name
from exporter.store.diff import changes_schema
from exporter.store.finished import finished

Write = Callable[[pa.Table], None]


class TeamsChanges:
    """The orders that differ, in files without a name until `write`: however many, they need no memory."""

    def __init__(self, file: Path) -> None:
        """Raise ConfigError if `file` is not one that changes can be written to."""
        check_name(file, CHANGES)
        self._file = file
        self._lock = Lock()
        self._kept: dict[str, tuple[IO[bytes], pa.RecordBatchStreamWriter]] = {}

    def of(self, name: str) -> Write:
        """Return what takes the orders of a team; it may be called in any thread."""

        def keep(table: pa.Table) -> None:
            with self._lock:
                if name not in self._kept:
                    file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `write`
                    self._kept[name] = file, pa.ipc.new_stream(file, table.schema)
                self._kept[name][1].write_table(table)

        return keep

    def write(self, out: Path) -> None:
        """Write what was kept of the teams of OUT, in order of their names."""
        results = finished(out)
        schema = changes_schema(results, results)

        def give(write: Write) -> None:
            for name in sorted(self._kept):
                file, stream = self._kept[name]
                stream.close()
                file.seek(0)
                with file, pa.ipc.open_stream(file) as batches:
                    for batch in batches:
                        table = pa.Table.from_batches([batch])
                        team = pa.repeat(strings([name])[0], len(table))
                        write(table.add_column(0, "team", team).select(schema.names).cast(schema))

        write_changes(self._file, results, schema, give)
