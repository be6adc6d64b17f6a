"""Nothing foreign steers a terminal, floods a message or shows the key; and the key shows itself nowhere."""

from __future__ import annotations

import traceback
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.vendor.foreign_text import PART, SHOWN, quoted, shown
from exporter.vendor.secret import Secret

KEY = "dp-4f7A9c21b8E6d3507fA2c9"


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("done\r\nerror: forged", "done\\r\\nerror: forged"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("a\u202egpj.exe\u2066", "a\\u202egpj.exe\\u2066"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\ud800", "\\ud800"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("请求过于频繁\u3000请稍后", "请求过于频繁\u3000请稍后"),
        (b"\xff\x00", "\ufffd\\x00"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str | bytes, harmless: str) -> None:
    assert shown(text) == harmless


@given(st.text(st.characters(), max_size=3 * SHOWN))
def test_no_text_steers_a_terminal_or_is_longer_than_shown(text: str) -> None:
    safe = shown(text)
    assert not {unicodedata.category(character) for character in safe} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert len(safe) <= SHOWN + 1
    assert safe.encode().decode() == safe


def test_a_text_is_escaped_before_it_is_shortened() -> None:
    assert shown("\x1b" * SHOWN) == "\\x1b" * (SHOWN // 4) + "…"


@given(st.text(max_size=50), st.text(max_size=50), st.integers(0, len(KEY)), st.integers(0, len(KEY)))
def test_no_part_of_the_key_is_shown(before: str, after: str, start: int, stop: int) -> None:
    part = KEY[start:stop]
    for text in (before + part + after, before + part, part + after):
        safe = shown(text, Secret(KEY))
        assert not any(KEY[at : at + PART] in safe for at in range(len(KEY) - PART + 1))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (f"who sent {KEY}?", "who sent ***?"),
        (f"{KEY}{KEY}", "***"),
        (f"the key is {KEY[:4]}", "the key is ***"),
        (f"{KEY[-5:]} is the key", "*** is the key"),
        (f"it begins with {KEY[:8]} and so on", "it begins with *** and so on"),
        (("x" * (SHOWN - 4)) + KEY, ("x" * (SHOWN - 4)) + "***"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_the_key_and_its_parts_at_a_cut_are_removed(text: str, safe: str) -> None:
    assert shown(text, Secret(KEY)) == safe


def test_any_json_value_can_be_quoted() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert quoted("a\nb") == "'a\\nb'"
    assert quoted({"a": ["\x1b", None]}) == '{"a": ["\\u001b", null]}'
    assert quoted(deep) == "a deeply nested list"
    assert quoted(None) == "null"


def test_a_secret_shows_itself_only_on_demand() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"{secret} {secret!r} %s" % secret)

    secret = Secret(KEY)
    with pytest.raises(ValueError, match="Secret") as caught:
        fail(secret)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(frames.format()).replace(f"KEY = {KEY!r}", "")
    assert secret.reveal() == KEY
    assert secret.masked == "…A2c9"
    assert Secret("short").masked == "…"
    assert secret == Secret(KEY)
    assert secret != KEY
    assert len({secret, Secret(KEY)}) == 1
    assert not Secret("")
