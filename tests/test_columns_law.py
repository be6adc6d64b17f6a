"""Columns lose nothing: whatever JSON object comes with a time, its row gives it back."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.columns import extras, gather, records, schema, seconds, typed
from exporter.columns.rows import canonical, row_of
from exporter.columns.table import with_times_as
from exporter.columns.values import parse_time
from exporter.errors import CertificateError
from exporter.orders import Record, second_of
from tests.hostile_records import ANYTHING, LANGUAGES, NO_TIMES, PAGES, PLAIN, TIMELIKE, TIMEZONES, exactly


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
    rows = [row_of(record, language=language) for page in pages for record in page]
    expected = pa.Table.from_pylist(rows, schema=with_times_as(pa.int64(), target)).cast(target)
    made = typed([gather(page) for page in pages], timezone=timezone, language=language)
    assert made.equals(expected, check_metadata=True)


@given(pages=PAGES, language=LANGUAGES)
def test_parquet_keeps_the_law(pages: list[list[Record]], language: str) -> None:
    file = io.BytesIO()
    pq.write_table(typed([gather(page) for page in pages], timezone="UTC", language=language), file)
    assert exactly(list(records(pq.read_table(file)))) == exactly([record for page in pages for record in page])


@given(text=TIMELIKE)
def test_created_at_is_read_as_the_endpoint_reads_it_or_refused(text: str) -> None:
    record = PLAIN | {"created_at": text}
    if parse_time(text) is None or text in NO_TIMES:
        with pytest.raises(CertificateError, match="'DP1'") as caught:
            table(record, PLAIN)
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


def test_well_formed_records_need_nothing_beside_the_columns() -> None:
    later = PLAIN | {"expired_at": "", "expired_seconds": 0, "status": "Finished", "total": "$1234.50"}
    assert extras(table(PLAIN, later)).values == 0
    chinese = PLAIN | {"type": "新购", "status": "待支付", "product": "云手机", "total": "-¥21.91"}
    assert extras(table(chinese, language="zh")).values == 0
    russian = PLAIN | {"type": "Продление", "status": "Не оплачен"}
    assert extras(table(russian, PLAIN, language="ru")).values == 0


def test_a_page_leaves_no_well_formed_record_alive() -> None:
    irregular = PLAIN | {"new": 1}
    assert gather([PLAIN, irregular, PLAIN]).irregular == {1: irregular}
    assert gather([PLAIN]).irregular == {}
