"""Recognize the limits that the system sets a process: they are no bug of ours, and have a name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """What a process may not have more of, and the shell's command that shows and sets the limit."""

    name: str
    command: str


MEMORY = Limit("memory", "ulimit -v; in a container, its memory")
THREADS = Limit("threads", "ulimit -u; in a container, its processes")
FILES = Limit("open files", "ulimit -n")

_CODES = {errno.ENOMEM: MEMORY, errno.EMFILE: FILES, errno.ENFILE: FILES}


def limit_of(error: BaseException) -> Limit | None:
    """Return the limit that an error, or what caused it, ran into; None if it is something else."""
    for one in _causes(error):
        if isinstance(one, MemoryError):
            return MEMORY
        if isinstance(one, RuntimeError) and "start new thread" in str(one):
            return THREADS
        if isinstance(one, OSError) and one.errno in _CODES:
            return _CODES[one.errno]
        if isinstance(one, ImportError) and "Too many open files" in str(one):
            return FILES
        if isinstance(one, ImportError) and ("allocate memory" in str(one) or "failed to map" in str(one)):
            return MEMORY
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, those of a group too."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
