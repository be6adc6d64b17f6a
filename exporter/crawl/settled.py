"""Where a range ends: never later than what has passed and settled. Pure."""

from __future__ import annotations

from exporter.config.options import Settings
from exporter.errors import ConfigError
from exporter.vendor.orders import wire_time


def settled_end(settings: Settings, now: int) -> int:
    """Return the last second, inclusive, of the range that can be covered at the server's Unix second `now`.

    That is the end that was asked for, if it is `settings.settle` seconds or more before `now`. Raise ConfigError if
    the range begins later than that.
    """
    latest = now - settings.settle
    if latest < settings.start:
        raise ConfigError(
            f"the range starts at {wire_time(settings.start)}, later than the last order that can have settled by now",
            hint="give an earlier --start",
        )
    return latest if settings.end is None else min(settings.end, latest)
