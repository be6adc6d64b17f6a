"""Tables of orders: their schema, their order, who is who in them."""

import subprocess
import sys
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.columns import gather, identities, identity_keys, ordered, records, schema, seconds, typed
from exporter.columns.record_codec import canonical
from exporter.errors import ConfigError
from exporter.vendor.orders import IDENTITY_FIELDS, Record, second_of
from tests.columns.hostile_records import PAGES, PLAIN, RECORDS, TIMEZONES, exactly

SAME = PLAIN | {"description": "another"}


def table(page: list[Record], *, timezone: str = "Asia/Shanghai", language: str = "en") -> pa.Table:
    return typed([gather(page)], timezone=timezone, language=language)


def test_the_schema_is_the_documented_one_whatever_the_data() -> None:
    made = schema(timezone="Asia/Shanghai", language="zh")
    assert [(field.name, str(field.type), field.nullable) for field in made] == [
        ("order_id", "string", False),
        ("created_at", "timestamp[us, tz=Asia/Shanghai]", False),
        ("type", "string", True),
        ("type_code", "int8", True),
        ("status", "string", True),
        ("status_code", "int8", True),
        ("product", "string", True),
        ("description", "string", True),
        ("total", "decimal128(18, 4)", True),
        ("currency", "string", True),
        ("expired_at", "timestamp[us, tz=Asia/Shanghai]", True),
        ("expired_seconds", "int64", True),
        ("_extra", "string", True),
    ]
    assert made.metadata == {b"exporter.format": b"1", b"exporter.language": b"zh"}
    for page in ([], [PLAIN], [PLAIN | {"new": 1}], [PLAIN, {"created_at": PLAIN["created_at"]}]):
        assert table(page, language="zh").schema.equals(made, check_metadata=True)


@given(pages=PAGES, timezone=TIMEZONES)
def test_ordered_is_sorted_by_time_then_number_then_canonical_json(pages: list[list[Record]], timezone: str) -> None:
    made = typed([gather(page) for page in pages], timezone=timezone, language="en")
    columns = zip(
        made["created_at"].cast(pa.int64()).to_pylist(), made["order_id"].to_pylist(), records(made), strict=True
    )
    expected = [record for *_, record in sorted(columns, key=lambda row: (row[0], row[1].encode(), canonical(row[2])))]
    result = ordered(made)
    assert exactly(list(records(result))) == exactly(expected)
    assert all(column.num_chunks <= 1 for column in result.columns)
    assert ordered(result).equals(result)


def test_an_identity_is_the_same_whatever_else_the_table_holds() -> None:
    page = [PLAIN, PLAIN | {"order_id": "another", "new": 1}]
    assert identity_keys(table(page))[:1] == identity_keys(table(page[:1]))


def test_ties_are_told_apart_by_their_canonical_json() -> None:
    page = [PLAIN, SAME, PLAIN | {"order_id": "DP0"}, SAME | {"new": 1}, PLAIN, PLAIN | {"expired_seconds": 3}]
    expected = exactly(list(records(ordered(table(page)))))
    for turned in (page[at:] + page[:at] for at in range(len(page))):
        assert exactly(list(records(ordered(table(turned))))) == expected


@given(page=st.lists(RECORDS, max_size=6), copies=st.lists(st.integers(0, 5), max_size=6))
@example(page=[PLAIN, PLAIN | {"total": "-$21.910"}, PLAIN | {"total": "-￥21.91"}], copies=[0, 1, 2])
@example(page=[PLAIN | {"order_id": value} for value in ("", None, 1, 1.0, True, "\ud800")], copies=[*range(6)])
@example(page=[PLAIN, PLAIN | {"total": "-¥21.91"}], copies=[1])
@example(page=[PLAIN, {k: v for k, v in PLAIN.items() if k != "status"}], copies=[])
@example(page=[PLAIN, PLAIN | {"status": 1}, PLAIN | {"expired_seconds": None}, PLAIN | {"new": 1}], copies=[])
@example(page=[PLAIN | {"product": None}, {k: v for k, v in PLAIN.items() if k != "product"}], copies=[0, 1])
@example(page=[PLAIN | {"created_at": "2026-02-12T03:34:55Z"}, PLAIN | {"type": "续费"}], copies=[0, 1])
def test_identities_are_equal_where_what_never_changes_came_the_same(page: list[Record], copies: list[int]) -> None:
    page = [*page, *(page[at] for at in copies if at < len(page))]
    numbers = identities(table(page))
    assert numbers.type == pa.int64()
    assert numbers.null_count == 0
    came = [exactly({name: record[name] for name in IDENTITY_FIELDS if name in record}) for record in page]
    assert [numbers.to_pylist().index(number) for number in numbers.to_pylist()] == [came.index(text) for text in came]


def test_records_does_not_guess_the_language_of_a_table_that_lost_it() -> None:
    bare = table([PLAIN]).replace_schema_metadata(None)
    with pytest.raises(ConfigError, match="language") as caught:
        next(records(bare))
    assert caught.value.hint
    assert list(records(bare.replace_schema_metadata({"exporter.language": "en"}))) == [PLAIN]


@given(page=st.lists(RECORDS, min_size=1, max_size=4))
def test_seconds_are_those_of_the_endpoint(page: list[Record]) -> None:
    made = seconds(table(page))
    assert made.type == pa.int64()
    assert made.to_pylist() == [second_of(record) for record in page]


def test_seconds_before_1970_are_floored() -> None:
    page = [PLAIN | {"created_at": f"1969-12-31T23:59:{text}Z"} for text in ("58.999999", "59", "59.000001")]
    assert seconds(table(page)).to_pylist() == [-2, -1, -1]


def test_work_on_chunked_tables_is_that_on_contiguous_ones() -> None:
    page = [PLAIN | {"order_id": f"DP{number % 3}"} for number in range(7)]
    chunked = pa.concat_tables([table(page[:3]), table([]), table(page[3:])])
    assert chunked["order_id"].num_chunks > 1
    assert identities(chunked).equals(identities(table(page)))
    assert seconds(chunked).equals(seconds(table(page)))
    assert ordered(chunked).equals(ordered(table(page)))
    assert list(records(chunked)) == page
    numbers = ordered(chunked)["order_id"].to_pylist()
    assert all(one <= other for one, other in pairwise(numbers))


@pytest.mark.parametrize("change", ["", ", expired_at='', expired_seconds=0", ", total='-$1,234.50', type='续费'"])
def test_well_formed_pages_do_not_import_pandas(change: str) -> None:
    """Arrow's conversion of Python values would: 0.2 s and 40 MB that an export has no use for."""
    script = f"""
import sys
from exporter.columns import extras, gather, identities, ordered, seconds, typed
pages = [gather([dict({PLAIN!r}, order_id=number{change})]) for number in "3211"]
table = ordered(typed(pages, timezone="Asia/Shanghai", language="en"))
assert table["order_id"].to_pylist() == ["1", "1", "2", "3"]
identities(table), seconds(table), extras(table)
nothing = ordered(typed([gather([])], timezone="Asia/Shanghai", language="en"))
assert (len(nothing), nothing.schema) == (0, table.schema)
identities(nothing), seconds(nothing), extras(nothing)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
