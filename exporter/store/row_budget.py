"""Bound the rows that wait in memory for their row group, over all exports of a process."""

from __future__ import annotations

from threading import Lock

ROWS = 2 * 131_072
"""Two row groups, some 60 MB: one that fills and one that is written, for one export or for hundreds."""


class RowBudget:
    """A number of rows that may be held at once. Safe to be used by several threads."""

    def __init__(self, rows: int = ROWS) -> None:
        self._free = rows
        self._lock = Lock()

    def take(self, rows: int) -> bool:
        """Take that many of the rows that are free; return False, and take none, if there are not enough."""
        with self._lock:
            if rows > self._free:
                return False
            self._free -= rows
            return True

    def give_back(self, rows: int) -> None:
        """Return rows that are held no longer."""
        with self._lock:
            self._free += rows
