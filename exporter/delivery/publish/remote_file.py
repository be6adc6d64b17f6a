"""Read an object as a file: each read is one request for a range of its bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

AHEAD = 8 * 2**20
"""Bytes that a reader who goes through a whole object asks for at once."""


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object of `size` bytes; `fetch` gives the bytes of a range. Its text is its URL."""

    url: str
    size: int
    fetch: Callable[[int, int], bytes]

    def __str__(self) -> str:
        return self.url

    def open(self, buffering: int = AHEAD) -> IO[bytes]:
        """Open it to read: with `buffering` bytes ahead, or 0 for who reads here and there."""
        raw = _Reader(self)
        return io.BufferedReader(raw, buffering) if buffering else raw  # type: ignore[return-value]  # reads bytes as well


class _Reader(io.RawIOBase):
    """A position in an object."""

    def __init__(self, file: ObjectFile) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the interpreter gives a memoryview
        length = min(len(buffer), self._file.size - self._at)
        if length <= 0:
            return 0
        content = self._file.fetch(self._at, length)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
