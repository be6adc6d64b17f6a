"""Make any text of the data harmless and short, and format figures for people. Pure.

Escaping for HTML is the template's job (autoescape). Here is what escaping leaves: control characters, marks that turn
the direction of reading, and texts without end.
"""

from __future__ import annotations

import hashlib
import unicodedata
from decimal import Decimal

LABEL_LENGTH = 160
"""Characters that a label keeps; what follows is replaced by the start of the text's SHA-256, so that labels differ."""

SHOWN_LENGTH = 240
"""Characters that are shown of any other text: more than a clipped label has."""

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def clipped(text: str, length: int = LABEL_LENGTH) -> str:
    """Return a text of bounded length; two texts that differ stay different."""
    if len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{text[:length]}… ({len(text):,} characters, SHA-256 {digest[:12]})"


def shown(text: object, length: int = SHOWN_LENGTH) -> str:
    """Return a text whose characters can all be seen: each control and direction mark is named in its place."""
    short = clipped(str(text), length)
    if short.isascii() and short.isprintable():
        return short
    return "".join(
        f"⟨U+{ord(character):04X}⟩" if unicodedata.category(character) in _HIDDEN else character for character in short
    )


def number(value: int | Decimal) -> str:
    """Return a count with thousands separators."""
    return f"{value:,}"


def money(value: Decimal) -> str:
    """Return an exact amount with thousands separators and at least two decimals."""
    text = f"{value:,.4f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def percent(share: float) -> str:
    """Return a share of 1 as a percentage."""
    return f"{share:.1%}"
