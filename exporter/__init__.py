"""Export the whole order history of a DuoPlus team to Parquet, and prove that it is complete.

result = exporter.run("orders", start="2024-01-01")
frame = result.to_pandas()
"""

from typing import TYPE_CHECKING

from exporter.api import arun, aupdate, diff, open, records, run, stream, update  # noqa: A004  # exporter.open, like gzip.open
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
    "aupdate",
    "diff",
    "open",
    "records",
    "run",
    "stream",
    "update",
]

if TYPE_CHECKING:
    __version__: str
    """The version that is installed."""
else:

    def __getattr__(name: str) -> str:
        """Look the version up when it is asked for: that takes longer than the rest of this module."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import version  # noqa: PLC0415

        return version("duoplus-exporter")
