"""Columns lose nothing: whatever JSON object comes with a time, its row gives it back."""

import io
import json
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.columns import decode, deep_json, extras, gather, last_of, records, schema, seconds, seconds_of, typed
from exporter.columns.record_codec import canonical, cells_of, row_of
from exporter.columns.table import with_times_as
from exporter.columns.text_formats import parse_time
from exporter.errors import CertificateError
from exporter.vendor.orders import Record, second_of
from tests.columns.hostile_records import (
    ANYTHING,
    LANGUAGES,
    NO_TIMES,
    PAGES,
    PLAIN,
    TIMELIKE,
    TIMEZONES,
    USUAL,
    exactly,
)

CHANGES: st.SearchStrategy[Record] = st.sampled_from(
    [
        {},
        {"new": 1},
        {"new": "\x1f\ud800"},
        {"expired_at": None},
        {"expired_seconds": ...},
        {"expired_seconds": "0"},
        {"description": None, "order_id": 7},
        {"total": ..., "type": [], "status": None},
        {"expired_at": ..., "product": ..., "~missing": {}},
    ]
)
"""What an API may change in all of its records; `...` stands for a field that is missing."""


def table(*page: Record, language: str = "en", timezone: str = "Asia/Shanghai") -> pa.Table:
    return typed([gather(page)], timezone=timezone, language=language)


@given(pages=PAGES, language=LANGUAGES, timezone=TIMEZONES)
def test_every_record_is_given_back_as_it_came(pages: list[list[Record]], language: str, timezone: str) -> None:
    came = exactly([record for page in pages for record in page])
    made = typed([gather(page) for page in pages], timezone=timezone, language=language)
    made.validate(full=True)
    assert exactly(list(records(made))) == came


@given(pages=PAGES, language=LANGUAGES, timezone=TIMEZONES)
def test_the_fast_way_gives_the_rows_that_plain_python_gives(
    pages: list[list[Record]], language: str, timezone: str
) -> None:
    target = schema(timezone=timezone, language=language)
    rows = [row_of(cells_of(record), language=language) for page in pages for record in page]
    expected = pa.Table.from_pylist(rows, schema=with_times_as(pa.int64(), target)).cast(target)
    made = typed([gather(page) for page in pages], timezone=timezone, language=language)
    assert made.equals(expected, check_metadata=True)


@given(pages=PAGES, count=st.integers(1, 4))
def test_the_last_records_of_a_page_are_those_of_a_page_of_them(pages: list[list[Record]], count: int) -> None:
    for page in pages:
        count = min(count, len(page))
        if count:
            ending = last_of(gather(page), count)
            assert len(ending) == count
            assert list(records(typed([ending], timezone="Asia/Shanghai", language="en"))) == page[-count:]


@given(page=st.lists(USUAL, min_size=1, max_size=6), change=CHANGES, language=LANGUAGES)
@example(page=[PLAIN, PLAIN | {"total": "-$1,234.50"}, PLAIN | {"total": "￥9.99"}], change={}, language="en")
@example(page=[PLAIN | {"total": "-$0.00", "type": "购买"}, PLAIN], change={"new": 1}, language="zh")
def test_no_row_is_made_by_itself_for_a_spelling_or_a_change_to_all(
    page: list[Record], change: Record, language: str
) -> None:
    page = [{name: value for name, value in (record | change).items() if value is not ...} for record in page]
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(decode, "row_of")
        made = table(*page, language=language)
    expected = pa.Table.from_pylist(
        [row_of(cells_of(record), language=language) for record in page],
        schema=with_times_as(pa.int64(), made.schema),
    )
    assert made.equals(expected.cast(made.schema), check_metadata=True)
    assert exactly(list(records(made))) == exactly(page)


@given(pages=PAGES, language=LANGUAGES)
def test_parquet_keeps_the_law(pages: list[list[Record]], language: str) -> None:
    file = io.BytesIO()
    pq.write_table(typed([gather(page) for page in pages], timezone="UTC", language=language), file)
    assert exactly(list(records(pq.read_table(file)))) == exactly([record for page in pages for record in page])


@given(page=st.lists(USUAL, max_size=6) | PAGES.map(lambda pages: pages[0] if pages else []))
@example(page=[])
@example(page=[PLAIN | {"created_at": "2026-02-12T11:34:55.999999+08:00"}])
@example(page=[PLAIN | {"created_at": "1969-12-31T23:59:58.5+00:00"}, PLAIN | {"new": 1}, PLAIN | {"total": None}])
def test_the_seconds_of_a_page_are_those_of_its_table(page: list[Record]) -> None:
    where = {"timezone": "Asia/Shanghai", "language": "en"}
    cells = gather(page)
    assert seconds_of(cells, **where).equals(seconds(typed([cells], **where)))


@given(text=TIMELIKE)
def test_created_at_is_read_as_the_endpoint_reads_it_or_refused(text: str) -> None:
    record = PLAIN | {"created_at": text}
    if parse_time(text) is None or text in NO_TIMES:
        with pytest.raises(CertificateError, match="'DP1'") as caught:
            table(record, PLAIN)
        with pytest.raises(CertificateError) as of_seconds:
            seconds_of(gather([PLAIN, record]), timezone="UTC", language="en")
        assert str(of_seconds.value) == str(caught.value)
        assert repr(text) in str(caught.value)
        assert caught.value.hint
    else:
        assert seconds(table(record, PLAIN))[0].as_py() == second_of(record)


@pytest.mark.parametrize("text", NO_TIMES)
def test_created_at_that_is_no_time_is_an_error_and_expired_at_is_kept(text: str) -> None:
    with pytest.raises(CertificateError, match="'DP1': created_at is"):
        table(PLAIN, PLAIN | {"created_at": text})
    made = table(PLAIN, PLAIN | {"expired_at": text})
    assert made["expired_at"].to_pylist()[1] is None
    assert list(records(made)) == [PLAIN, PLAIN | {"expired_at": text}]


@given(value=ANYTHING.filter(lambda value: not isinstance(value, str)))
def test_created_at_of_another_type_is_an_error(value: Any) -> None:
    with pytest.raises(CertificateError, match="'DP1': created_at is"):
        table(PLAIN | {"created_at": value})


def test_created_at_that_is_missing_is_an_error() -> None:
    record = dict(PLAIN)
    del record["created_at"]
    with pytest.raises(CertificateError, match="'DP1': created_at is missing"):
        table(PLAIN, record)


@pytest.mark.parametrize("value", [None, 7, "text", ["type"], []])
def test_what_is_no_object_is_an_error(value: Any) -> None:
    for page in ([value], [PLAIN, value]):
        with pytest.raises(CertificateError, match="in place of an order"):
            table(*page)


@given(one=ANYTHING, other=ANYTHING)
@example(one=1, other=1.0)
@example(one=1, other=True)
@example(one=0.0, other=-0.0)
@example(one={"a": 1, "b": 2}, other={"b": 2, "a": 1})
def test_canonical_json_is_the_same_for_the_same_values_alone(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (exactly(one) == exactly(other))
    assert exactly(json.loads(canonical(one))) == exactly(one)


@given(depth=st.integers(200, 400))
def test_deep_nesting_is_kept(depth: int) -> None:
    record = PLAIN | {"deep": json.loads("[" * depth + "]" * depth)}
    assert list(records(table(record))) == [record]


@pytest.mark.parametrize("text", ["[" * 1000 + "%s" + "]" * 1000, '{"a":' * 1000 + "%s" + "}" * 1000])
@pytest.mark.parametrize("inner", ["7", '"\\ud800"'])
def test_nesting_beyond_the_recursion_limit_is_kept(text: str, inner: str) -> None:
    record = PLAIN | {"deep": deep_json.loads(text % inner), "total": ["no price"]}
    made = table(record, PLAIN)
    first, second = records(made)
    assert deep_json.dumps(first) == deep_json.dumps(record)
    assert second == PLAIN
    assert extras(made).example == f"order '{PLAIN['order_id']}': total is [\"no price\"]"
    with pytest.raises(CertificateError, match="created_at is a deeply nested"):
        table(record | {"created_at": record["deep"]})


def test_well_formed_records_need_nothing_beside_the_columns() -> None:
    later = PLAIN | {"expired_at": "", "expired_seconds": 0, "status": "Finished", "total": "$1234.50"}
    assert extras(table(PLAIN, later)).values == 0
    chinese = PLAIN | {"type": "新购", "status": "待支付", "product": "云手机", "total": "-¥21.91"}
    assert extras(table(chinese, language="zh")).values == 0
    russian = PLAIN | {"type": "Продление", "status": "Не оплачен"}
    assert extras(table(russian, PLAIN, language="ru")).values == 0


def test_a_page_leaves_no_record_alive() -> None:
    for page in ([dict(PLAIN)], [dict(PLAIN), PLAIN | {"new": 1}]):
        alive = sys.getrefcount(page[0])
        cells = gather(page)
        left = sys.getrefcount(page[0])
        assert len(cells) == len(page)
        assert left == alive
