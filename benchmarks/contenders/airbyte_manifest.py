"""Read the low-code connector next to this script with airbyte-cdk; write its records to Parquet batch by batch.

Airbyte has no destination for local Parquet that runs as a Python package, so the records are written here, in the
same process, as they come out. That spares them the JSON between a source and a destination.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from airbyte_cdk.models import (
    AirbyteStream,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteStream,
    DestinationSyncMode,
    SyncMode,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource
from endpoint import END, START, arguments

BATCH = 10_000
TYPES = {"string": pa.string(), "integer": pa.int64()}


def records(url: str, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    json_schema = manifest["streams"][0]["schema_loader"]["schema"]
    stream = AirbyteStream(name="orders", json_schema=json_schema, supported_sync_modes=[SyncMode.incremental])
    configured = ConfiguredAirbyteStream(
        stream=stream, sync_mode=SyncMode.incremental, destination_sync_mode=DestinationSyncMode.append
    )
    catalog = ConfiguredAirbyteCatalog(streams=[configured])
    config = {"url": url, "api_key": os.environ["DUOPLUS_API_KEY"], "start": START, "end": END}
    source = ConcurrentDeclarativeSource(catalog=catalog, config=config, state=[], source_config=manifest)
    for message in source.read(logging.getLogger("airbyte"), config, catalog, []):
        if message.type == Type.RECORD:
            yield message.record.data


def main() -> None:
    url, out = arguments()
    manifest = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    properties = manifest["streams"][0]["schema_loader"]["schema"]["properties"]
    schema = pa.schema([(name, TYPES[kind["type"]]) for name, kind in properties.items()])
    orders = records(url, manifest)
    with pq.ParquetWriter(out / "orders.parquet", schema) as writer:
        while batch := list(islice(orders, BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


if __name__ == "__main__":
    main()
