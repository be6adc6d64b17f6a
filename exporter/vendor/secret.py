"""A key that does not show itself: not in a repr, not in a message, not among the variables of a traceback. Pure.

Nor does it travel: what holds it can't be pickled, so no worker of a cluster is ever sent one.
"""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A text that only `reveal` gives; everything else shows it masked."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text itself: for the header, for a hash, never for a message."""
        return self.__text

    @property
    def masked(self) -> str:
        """What may be shown: the last four characters, and of a short text nothing."""
        return f"…{self.__text[-4:]}" if len(self.__text) >= 12 else "…"

    def __str__(self) -> str:
        return self.masked

    def __repr__(self) -> str:
        return f"Secret({self.masked})"

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.__text == other.__text

    def __hash__(self) -> int:
        return hash(self.__text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled")
