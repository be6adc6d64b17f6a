"""Whatever bytes a server sends or a disk gives back, they are read or refused: never a crash, never a wrong row.

`make storm` runs this with many more examples.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import parsers
from exporter.errors import ApiError, CertificateError, OutputError
from exporter.store.disk import Disk
from exporter.store.spool import Spool, _packed
from exporter.vendor import envelope
from exporter.vendor.http_times import retry_after
from exporter.vendor.orders import PageRequest, second_of
from exporter.vendor.secret import Secret
from tests.store.orders import cuts, open_store, records, segments, table, whole

REQUEST = PageRequest(first=0, last=10)
PIECES = list(segments(table(records(60, seconds=60)), cuts(6, seconds=60)))

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=6), inside, max_size=4),
    max_leaves=12,
)
pages = st.fixed_dictionaries(
    {},
    optional={
        "code": anything | st.sampled_from([200, "200", 160004, 401, 429, 500, 160007]),
        "message": anything,
        "data": anything
        | st.fixed_dictionaries(
            {},
            optional={
                "list": anything | st.lists(st.dictionaries(st.text(max_size=6), anything, max_size=3), max_size=3),
                "total": anything,
                "total_page": anything,
                "page": anything,
            },
        ),
    },
)
bodies = st.binary(max_size=60) | (anything | pages).map(lambda value: json.dumps(value).encode())


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A body of which a piece is cut out, doubled or replaced."""
    body = draw(bodies)
    start, stop = sorted(draw(st.tuples(st.integers(0, len(body)), st.integers(0, len(body)))))
    return body[:start] + draw(st.sampled_from([b"", body[start:stop] * 2, b"\xff", b"[" * 2000])) + body[stop:]


times = st.text(max_size=30) | st.datetimes().map(str) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")


@given(
    body=bodies | spoiled(),
    status=st.sampled_from([200, 200, 200, 204, 302, 401, 403, 404, 407, 408, 429, 500, 503]),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Content-Type", "Location", "Date"]), times, max_size=3),
)
def test_any_response_is_a_page_or_one_of_the_findings(body: bytes, status: int, headers: dict[str, str]) -> None:
    secret = "the-key-of-the-team"
    reply = envelope.HttpResponse(status=status, headers=headers, body=body)
    try:
        data = envelope.read(reply, REQUEST, now=1e9, secret=Secret(secret))
    except (ApiError, envelope.MayPass, envelope.TooFrequent) as error:
        finding = str(error)
    else:
        finding = "a page"
        assert status == 200
        assert all(type(record) is dict for record in data["list"])
    assert secret not in finding
    assert not [sign for sign in finding if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@given(value=anything | times)
def test_any_time_of_a_record_is_read_or_refused(value: Any) -> None:
    try:
        second = second_of({"created_at": value})
    except (ValueError, OverflowError):
        return
    assert isinstance(second, int)


@given(value=times)
def test_any_pause_that_a_header_asks_for_is_read_or_ignored(value: str) -> None:
    pause = retry_after({"Retry-After": value}, now=1e9)
    assert pause is None or 0 <= pause < 1e6


@given(
    value=times | st.integers() | st.dates().map(str), zone=st.sampled_from(["UTC", "Asia/Shanghai", "Pacific/Apia"])
)
def test_any_date_of_a_user_is_read_or_refused_with_a_reason(value: Any, zone: str) -> None:
    try:
        asked = parsers.moment(value)
        first, last = parsers.first_instant(asked, zone), parsers.last_instant(asked, zone)
    except ValueError as error:
        reason = str(error)
    else:
        reason = "none"
        assert first <= last
    assert reason


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("spool") / "orders"
    store = open_store(out, whole(60))
    for proof, rows in PIECES:
        store.commit(proof, rows)
    store.close()
    return (out.parent / ".orders.exporter" / "spool").read_bytes()


@st.composite
def damage(draw: st.DrawFn) -> Any:
    """What may happen to a file: bytes changed, cut out, doubled; frames added that no version ever wrote."""
    return draw(
        st.tuples(st.just("change"), st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
        | st.tuples(st.just("cut"), st.integers(0, 10**6), st.integers(1, 5000))
        | st.tuples(st.just("double"), st.integers(0, 10**6), st.integers(1, 5000))
        | st.tuples(
            st.just("frame"), st.dictionaries(st.sampled_from(FRAMES), anything, max_size=2), st.binary(max_size=9)
        )
    )


FRAMES = ["heading", "whole", "segment", "ready", "note"]


@given(damages=st.lists(damage(), min_size=1, max_size=3))
def test_any_spool_gives_back_segments_as_they_were_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, spool: bytes, damages: list[Any]
) -> None:
    content = spool
    for kind, first, second in damages:
        at = first % (len(content) + 1) if kind != "frame" else 0
        if kind == "change":
            content = content[:at] + second + content[at + len(second) :]
        elif kind == "cut":
            content = content[:at] + content[at + second :]
        elif kind == "double":
            content = content[: at + second] + content[at : at + second] + content[at + second :]
        else:
            try:
                content += b"".join(bytes(piece) for piece in _packed(first, [second] if second else []))
            except (orjson.JSONEncodeError, TypeError):
                continue
    path: Path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    kept = {proof.span: (proof, rows) for proof, rows in PIECES}
    with Disk().read_only(path) as file:
        try:
            found = Spool(file)
        except (CertificateError, OutputError):
            return
        for segment in found.segments:
            proof, rows = kept[segment.span]
            assert segment.certificate == proof
            assert found.read(segment.span).equals(rows)
