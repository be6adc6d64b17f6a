"""Make what came from elsewhere fit to be shown. Pure.

Every text of a server, a proxy or a library passes `shown` or `quoted` before it becomes part of an error or an event,
and so of a log, of `--json`, of a terminal. What is done to it, in this order:
1. the key is removed, and parts of it: somebody may have cut the text, or shown half a key;
2. what is not printable is escaped: controls (ESC, C1, line ends), bidirectional and other format characters, halves of
   surrogate pairs. No text moves a cursor, sets a title, begins a line of its own or reorders what is read;
3. the rest is shortened.
"""

from __future__ import annotations

import json
import re
import unicodedata

from exporter.vendor.secret import Secret

SHOWN = 200
"""Characters of a foreign text that are shown."""
READ = 20 * SHOWN
"""Characters of it that are looked at."""
PART = 8
"""Characters in a row that give a part of the key away, wherever they are …"""
CUT_PART = 4
"""… and at the beginning or the end of a text, where a cut may have gone through the key."""
REMOVED = "***"

_USER = re.compile(r"(?<=://)[^\s\"'<>]*@")
_QUERY = re.compile(r"(://[^?#\s\"'<>]*[?#])[^\s\"'<>]+")


def shown(text: str | bytes, secret: Secret | None = None) -> str:
    """Return the beginning of a text as it may be shown."""
    start = text[:READ].decode("utf-8", "replace") if isinstance(text, bytes) else text[:READ]
    start = _escaped(start if secret is None else _without(start, secret.reveal()))
    return start if len(start) <= SHOWN else start[:SHOWN] + "…"


def without_credentials(text: str) -> str:
    """Return a text without the parts of URLs in which secrets are: before an `@`, and after a `?` or a `#`.

    A secret itself may have slashes, so all before the last `@` is removed.
    """
    return _QUERY.sub(rf"\1{REMOVED}", _USER.sub(f"{REMOVED}@", text))


def quoted(value: object, secret: Secret | None = None) -> str:
    """Return a JSON value as it may be shown: a text in quotes, anything else as JSON."""
    if isinstance(value, str):
        return f"'{shown(value, secret)}'"
    try:
        return shown(json.dumps(value, ensure_ascii=False), secret)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"


def _without(text: str, key: str) -> str:
    """Return a text in which nothing of a key is left."""
    if not key:
        return text
    hidden = bytearray(len(text))
    for at in range(max(1, len(key) - PART + 1)):
        part = key[at : at + PART]
        found = text.find(part)
        while found >= 0:
            hidden[found : found + len(part)] = b"\1" * len(part)
            found = text.find(part, found + 1)
    for size in range(len(key) - 1, CUT_PART - 1, -1):
        if text.startswith(key[-size:]):
            hidden[:size] = b"\1" * size
        if text.endswith(key[:size]):
            hidden[-size:] = b"\1" * size
    kept = (
        character if not hidden[at] else REMOVED if not at or not hidden[at - 1] else ""
        for at, character in enumerate(text)
    )
    return "".join(kept)


def _escaped(text: str) -> str:
    return "".join(
        character if _is_harmless(character) else character.encode("unicode_escape").decode() for character in text
    )


def _is_harmless(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"
