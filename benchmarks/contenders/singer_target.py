"""Write Singer messages to one Parquet file: a target made with Meltano's SDK, msgspec reading the JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecReader
from singer_sdk.sinks import BatchSink
from singer_sdk.target_base import Target


class ParquetSink(BatchSink):
    """A row group for each batch."""

    max_size = 10_000

    def setup(self) -> None:
        """Open the file."""
        self.arrow = pa.schema(
            (name, pa.int64() if "integer" in kind["type"] else pa.string())
            for name, kind in self.schema["properties"].items()
            if not name.startswith("_sdc")
        )
        self.writer = pq.ParquetWriter(Path(self.config["folder"]) / f"{self.stream_name}.parquet", self.arrow)

    def process_batch(self, context: dict[str, Any]) -> None:
        """Write a batch."""
        self.writer.write_table(pa.Table.from_pylist(context["records"], schema=self.arrow))

    def clean_up(self) -> None:
        """Close the file."""
        self.writer.close()


class TargetParquet(Target):
    """The sink for every stream."""

    name = "target-parquet"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("folder", th.StringType, required=True)
    ).to_dict()
    default_sink_class = ParquetSink
    message_reader_class = MsgSpecReader


if __name__ == "__main__":
    TargetParquet.cli()
