"""Export the whole order history of a DuoPlus team to Parquet, and prove that it is complete.

result = exporter.run("orders", start="2024-01-01")
frame = result.to_pandas()
"""

from exporter.api import arun, diff, open, records, run, stream  # noqa: A004  # exporter.open, like gzip.open
from exporter.config.options import Options
from exporter.errors import (
    ApiError,
    CertificateError,
    ConfigError,
    DiskError,
    ExportError,
    OutputError,
    RejectedError,
    StorageError,
    UnauthorizedError,
)
from exporter.events import Event
from exporter.result import Diff, Result

__all__ = [
    "ApiError",
    "CertificateError",
    "ConfigError",
    "Diff",
    "DiskError",
    "Event",
    "ExportError",
    "Options",
    "OutputError",
    "RejectedError",
    "Result",
    "StorageError",
    "UnauthorizedError",
    "arun",
    "diff",
    "open",
    "records",
    "run",
    "stream",
]
