"""Read and write JSON that is nested deeper than the interpreter recurses, without recursion. Slow, and seldom needed.

For anything that the standard library takes, the results are those of `json.loads(text)` and of
`json.dumps(value, sort_keys=True, separators=(",", ":"))`.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PIECE = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)\s*', re.DOTALL)
_NO_NAME = object()


class _Written(str):
    """A piece of JSON, not a text that is still to be written."""

    __slots__ = ()


def dumps(value: object) -> str:
    """Return the JSON of a value, keys sorted."""
    written: list[str] = []
    left = [value]  # what is still to be written, the next at the end
    while left:
        part = left.pop()
        if isinstance(part, _Written):
            written.append(part)
        elif isinstance(part, dict):
            members = [(json.dumps(name) + ":", part[name]) for name in sorted(part)]
            left += _enclosed("{", members, "}")
        elif isinstance(part, list):
            left += _enclosed("[", [("", member) for member in part], "]")
        else:
            written.append(json.dumps(part))
    return "".join(written)


def _enclosed(opening: str, members: list[tuple[str, object]], closing: str) -> list[object]:
    """Return what is to be written of a container, the last piece first."""
    pieces: list[object] = [_Written(closing)]
    for place in reversed(range(len(members))):
        name, member = members[place]
        pieces += [member, _Written(("," if place else "") + name)]
    return [*pieces, _Written(opening)]


def loads(text: str) -> Any:
    """Return the value of a text that is valid JSON."""
    open_ones: list[Any] = [[]]  # the containers that are not closed yet, around them a list for the result
    names: list[Any] = [_NO_NAME]  # for each of them the name that waits for its value
    for match in _PIECE.finditer(text):
        piece = match[1]
        if piece in ",:":
            continue
        if piece in "[{":
            open_ones.append([] if piece == "[" else {})
            names.append(_NO_NAME)
            continue
        if piece in "]}":
            value = open_ones.pop()
            names.pop()
        else:
            value = json.loads(piece)
        holder = open_ones[-1]
        if isinstance(holder, list):
            holder.append(value)
        elif names[-1] is _NO_NAME:
            names[-1] = value
        else:
            holder[names[-1]] = value
            names[-1] = _NO_NAME
    return open_ones[0][0]
