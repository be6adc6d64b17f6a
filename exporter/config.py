"""Settings, validated and frozen: what an export works with. Nothing below this checks an option again."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.orders import MAX_PAGE_SIZE, SITES, Filters

EARLIEST = "2015-01-01"
"""Where the range of an export starts that names no start: before the vendor's first order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What one export works with. Times are Unix seconds, both ends inclusive; durations are in seconds."""

    base_url: str = SITES["international"]
    api_key: str = field(repr=False)
    start: int
    end: int | None
    """None: up to the moment of the first start."""
    start_asked: str
    end_asked: str | None
    """The range as the user wrote it, with the offset it was read with: what decides whether work goes on."""
    filters: Filters = field(default_factory=Filters)
    language: str = "en"
    timezone: str = "Asia/Shanghai"
    rate: float = 1.0
    """Requests a second."""
    concurrency: int | None = None
    """Requests in flight at most; None: as many as pay, found out while running."""
    timeout: float = 60.0
    max_attempts: int = 8
    patience: float = 900.0
    windows: int | None = None
    segment_pages: int = 20
    page_size: int = MAX_PAGE_SIZE
    strict_values: bool = False
    allow_uncertified: bool = False
    final_check: bool = True
    fresh: bool = False
    overwrite: bool = False
    compression: str = "zstd"
