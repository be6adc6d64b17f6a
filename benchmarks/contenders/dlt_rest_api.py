"""Declare the endpoint as a dlt `rest_api` source and load it to Parquet files."""

from __future__ import annotations

import os
from pathlib import Path

import dlt
from dlt.sources.rest_api import rest_api_source
from endpoint import PATH, arguments, body, headers

WORKERS = os.cpu_count() or 1


def pipeline(out: Path) -> dlt.Pipeline:
    """Return a pipeline that normalizes in parallel, as dlt's guide to performance says."""
    dlt.config["normalize.workers"] = WORKERS
    dlt.config["normalize.data_writer.file_max_items"] = 100_000
    dlt.config["extract.data_writer.file_max_items"] = 100_000  # more than one file, else there is nothing to share
    dlt.config["runtime.dlthub_telemetry"] = False
    return dlt.pipeline(
        "orders",
        destination=dlt.destinations.filesystem(bucket_url=out.as_uri()),
        dataset_name="orders",
    )


def main() -> None:
    url, out = arguments()
    source = rest_api_source(
        {
            "client": {"base_url": url, "headers": headers()},
            "resources": [
                {
                    "name": "orders",
                    "write_disposition": "append",
                    "parallelized": True,
                    "endpoint": {
                        "path": PATH,
                        "method": "POST",
                        "json": body(1),
                        "data_selector": "data.list",
                        "paginator": {
                            "type": "page_number",
                            "base_page": 1,
                            "page_body_path": "page",
                            "total_path": "data.total_page",
                        },
                    },
                }
            ],
        }
    )
    pipeline(out).run(source, loader_file_format="parquet")


if __name__ == "__main__":
    main()
