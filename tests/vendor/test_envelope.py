"""What a response means, whatever its body and headers hold."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ApiError, ExportError, RejectedError, UnauthorizedError
from exporter.vendor.envelope import LARGEST_PAGE, HttpResponse, MayPass, TooFrequent, read
from exporter.vendor.orders import PageRequest
from exporter.vendor.secret import Secret

KEY = "dp-4f7A9c21b8E6d3507fA2c9"


def reading(response: HttpResponse, **changes: Any) -> dict[str, Any]:
    return read(response, PageRequest(first=0, last=1, **changes), now=0.0, secret=Secret(KEY))


def page(records: int) -> HttpResponse:
    return HttpResponse(200, {}, orjson.dumps({"code": 200, "data": {"list": [{}] * records}}))


@pytest.mark.parametrize("page_size", [1, 500])
def test_a_page_may_be_larger_than_asked_but_not_larger_than_any(page_size: int) -> None:
    assert len(reading(page(LARGEST_PAGE), page_size=page_size)["list"]) == LARGEST_PAGE == 2_000
    with pytest.raises(ApiError, match=f"holds 2,001 records where {page_size} were asked for") as caught:
        reading(page(LARGEST_PAGE + 1), page_size=page_size)
    assert type(caught.value) is ApiError


HOSTILE = f"\x1b]0;owned\x07\r\nerror: forged \u202e {KEY}"
ECHOES = [
    HttpResponse(200, {}, orjson.dumps({"code": 160001, "message": HOSTILE})),
    HttpResponse(200, {}, orjson.dumps({"code": 401, "message": HOSTILE})),
    HttpResponse(200, {}, orjson.dumps({"code": 500, "message": HOSTILE})),
    HttpResponse(200, {}, orjson.dumps({"code": 160001, "message": [HOSTILE]})),
    HttpResponse(302, {"Location": HOSTILE}, b""),
    HttpResponse(500, {"Content-Type": HOSTILE}, HOSTILE.encode()),
    HttpResponse(200, {"Content-Type": HOSTILE}, HOSTILE.encode()),
    HttpResponse(404, {"Content-Type": "text/plain"}, HOSTILE.encode()),
    HttpResponse(200, {}, HOSTILE.encode() * 100),
    HttpResponse(200, {}, HOSTILE.encode()[:-3]),
    HttpResponse(200, {}, HOSTILE.encode("utf-16")),
]


@pytest.mark.parametrize("echo", ECHOES)
def test_no_foreign_text_shows_the_key_or_steers_a_terminal(echo: HttpResponse) -> None:
    with pytest.raises((ExportError, MayPass)) as caught:
        reading(echo)
    told = str(caught.value) + getattr(caught.value, "text", "")
    assert told.isprintable()
    assert KEY[:8] not in told
    assert KEY[-8:] not in told


@pytest.mark.parametrize("depth", [100, 990, 100_000])
@pytest.mark.parametrize("where", ["message", "code", "data", "list", "total"])
def test_nesting_of_any_depth_is_met(where: str, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    envelope = {
        "message": b'{"code": 3, "message": %b}',
        "code": b'{"code": %b}',
        "data": b'{"code": 200, "data": %b}',
        "list": b'{"code": 200, "data": {"list": [%b]}}',
        "total": b'{"code": 200, "data": {"list": [], "total": %b}}',
    }[where]
    with suppress(MayPass, RejectedError):
        reading(HttpResponse(200, {}, envelope % deep))


@given(
    st.integers(100, 599),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.sampled_from(["200", 200, 429]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["code", "data", "list", "message"]), inner),
    ),
    st.binary(max_size=5),
)
def test_every_response_is_a_page_or_one_of_our_errors(status: int, value: Any, tail: bytes) -> None:
    try:
        data = reading(HttpResponse(status, {}, orjson.dumps(value) + tail))
    except (ApiError, UnauthorizedError, MayPass, TooFrequent):
        return
    assert isinstance(data["list"], list)
    assert status == 200


@pytest.mark.parametrize("status", [400, 405, 451])
def test_a_refusal_in_no_envelope_may_come_from_somebody_else(status: int) -> None:
    with pytest.raises(RejectedError, match="no page but 1 byte of text/html") as caught:
        reading(HttpResponse(status, {"Content-Type": "text/html"}, b"x"))
    assert "this is not the API" in (caught.value.hint or "")
