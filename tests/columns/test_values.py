"""Odd money, times and labels: what the columns make of each, and what they leave to `_extra`."""

import datetime as dt
import json
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.columns import extras, gather, records, typed
from exporter.columns.record_codec import unpack
from exporter.columns.text_formats import parse_money, parse_time, plain_money, plain_time
from exporter.vendor.orders import FIELDS, PlainRecords, Record
from tests.columns.hostile_records import NO_TIMES, ODD_MONEY, ODD_TIMES, PLAIN, RECORDS, USUAL, exactly


def row(change: dict[str, Any], *, language: str = "en") -> dict[str, Any]:
    """Return the row of a plain record with a change, made on a page with a plain one; check that nothing is lost."""
    page: list[Record] = [PLAIN, PLAIN | change]
    table = typed([gather(page)], timezone="UTC", language=language)
    assert exactly(list(records(table))) == exactly(page)
    made: dict[str, Any] = table.to_pylist()[1]
    return made


@pytest.mark.parametrize(
    ("text", "amount", "currency", "plain"),
    [
        ("-$21.91", "-21.91", "USD", True),
        ("$0.00", "0", "USD", True),
        ("-$1234.50", "-1234.5", "USD", True),
        ("¥12.00", "12", "CNY", True),
        ("-€0.01", "-0.01", "EUR", True),
        ("$99999999999999.99", "99999999999999.99", "USD", True),
        ("£5.00", "5", "£", True),
        ("GBP5.00", "5", "GBP", True),
        ("US$5.00", "5", "US$", True),
        ("5.00", "5", None, True),
        ("-$1,234.50", "-1234.5", "USD", False),
        ("¥0.5", "0.5", "CNY", False),
        ("￥5.00", "5", "CNY", False),
        ("+$1", "1", "USD", False),
        ("$-3", "-3", "USD", False),
        ("-0", "0", None, False),
        ("-$0.00", "0", "USD", False),
        ("$00.10", "0.1", "USD", False),
        ("USD 5.00", "5", "USD", False),
        ("5.00 EUR", "5", "EUR", False),
        ("EUR5.00", "5", "EUR", False),
        ("KWD1.2345", "1.2345", "KWD", False),
        ("$1.230000", "1.23", "USD", False),
    ],
)
def test_money_is_an_exact_decimal_whatever_its_spelling(
    text: str, amount: str, currency: str | None, plain: bool
) -> None:
    made = row({"total": text})
    assert made["total"] == Decimal(amount)
    assert made["currency"] == currency
    assert (made["_extra"] is None) == plain


@pytest.mark.parametrize(
    "text",
    [
        "",
        "free",
        "1e3",
        "1234567890" * 4,
        "100000000000000.00",
        "$1.23456",
        "--$5.00",
        "-$-5.00",
        "$5.00$",
        "$5.00 USD",
        "$12,34.00",
        "1,2345",
        "$５.00",
        "$5.00\n",
        "$5.",
        ".5",
        "#5.00",
        "\x005.00",
        "NaN",
        "Infinity",
    ],
)
def test_what_is_no_money_or_too_exact_is_null_and_kept(text: str) -> None:
    made = row({"total": text})
    assert made["total"] is None
    assert made["currency"] is None
    assert json.loads(made["_extra"]) == {"total": text}


@pytest.mark.parametrize(
    ("text", "instant", "plain"),
    [
        ("2026-02-12T11:34:55+08:00", "2026-02-12T03:34:55+00:00", True),
        ("9999-12-31T23:59:59+08:00", "9999-12-31T15:59:59+00:00", True),
        ("1969-12-31T23:59:59+08:00", "1969-12-31T15:59:59+00:00", True),
        ("2026-02-12T11:34:55.123456+08:00", "2026-02-12T03:34:55.123456+00:00", True),
        ("2026-02-12T11:34:55.5+08:00", "2026-02-12T03:34:55.500000+00:00", False),
        ("2026-02-12T11:34:55.1234567+08:00", "2026-02-12T03:34:55.123456+00:00", False),
        ("2026-02-12T11:34:55Z", "2026-02-12T11:34:55+00:00", False),
        ("2026-02-12T11:34:55-05:00", "2026-02-12T16:34:55+00:00", False),
        ("2026-02-12T11:34:55", "2026-02-12T03:34:55+00:00", False),
        ("2026-02-12 11:34:55+08:00", "2026-02-12T03:34:55+00:00", False),
        ("2026-02-12T11:34:55+0800", "2026-02-12T03:34:55+00:00", False),
        ("2026-02-12", "2026-02-11T16:00:00+00:00", False),
    ],
)
def test_times_are_instants_whatever_their_spelling(text: str, instant: str, plain: bool) -> None:
    for field in ("created_at", "expired_at"):
        made = row({field: text})
        assert made[field] == dt.datetime.fromisoformat(instant)
        assert (made["_extra"] is None) == plain


def test_every_odd_text_comes_back_from_one_table() -> None:
    page = [PLAIN | {"created_at": text} for text in ODD_TIMES]
    page += [PLAIN | {"expired_at": text} for text in [*ODD_TIMES, *NO_TIMES]]
    page += [PLAIN | {"total": text} for text in ODD_MONEY]
    values: list[Any] = [
        None,
        True,
        1.0,
        -0.0,
        0,
        2**63 - 1,
        2**63,
        -(2**63),
        10**40,
        "",
        "\ud800",
        "a\x1fb",
        "\x00",
        [],
        {"a": []},
    ]
    page += [PLAIN | {name: value} for name in (*FIELDS, "new", "", "~missing", "~", "\ud800") for value in values]
    page = [record for record in page if isinstance(record["created_at"], str) and parse_time(record["created_at"])]
    page += [{name: value for name, value in PLAIN.items() if name != gone} for gone in FIELDS if gone != "created_at"]
    for pages in ([page], [page[:7], [], page[7:]], [[record] for record in page]):
        table = typed([gather(each) for each in pages], timezone="Asia/Shanghai", language="en")
        table.validate(full=True)
        assert exactly(list(records(table))) == exactly(page)


def test_no_search_for_separators_changes_nothing_where_there_are_none() -> None:
    page = [PLAIN, PLAIN | {"description": "", "expired_seconds": 7}]
    assert gather(PlainRecords(page)) == gather(page)


@pytest.mark.parametrize(
    ("language", "label", "value", "code", "kept"),
    [
        ("en", "Renewal", "Renewal", 2, False),
        ("en", "续费", "Renewal", 2, True),
        ("en", "购买", "Purchase", 1, True),
        ("en", "renewal", "renewal", None, False),
        ("zh", "续费", "Renewal", 2, False),
        ("zh", "新购", "Purchase", 1, False),
        ("zh", "购买", "Purchase", 1, True),
        ("zh", "Renewal", "Renewal", 2, True),
        ("zh-TW", "續費", "續費", None, False),
        ("zh-TW", "续费", "Renewal", 2, True),
        ("ru", "Renewal", "Renewal", 2, False),
    ],
)
def test_a_label_maps_to_its_code_and_keeps_its_own_text_unless_plain(
    language: str, label: str, value: str, code: int | None, kept: bool
) -> None:
    plain_status = "待支付" if language == "zh" else "Unpaid"
    made = row({"type": label, "status": plain_status}, language=language)
    assert (made["type"], made["type_code"], made["status"], made["status_code"]) == (value, code, "Unpaid", 1)
    assert made["_extra"] == (f'{{"type":"{label}"}}' if kept else None)


@pytest.mark.parametrize(
    ("change", "column", "value", "extra"),
    [
        ({"order_id": 7}, "order_id", "", '{"order_id":7}'),
        ({"order_id": None}, "order_id", "", '{"order_id":null}'),
        ({"product": None}, "product", None, None),
        ({"product": "\ud800x"}, "product", None, '{"product":"\\ud800x"}'),
        ({"expired_at": ""}, "expired_at", None, None),
        ({"expired_at": None}, "expired_at", None, '{"expired_at":null}'),
        ({"expired_seconds": True}, "expired_seconds", None, '{"expired_seconds":true}'),
        ({"expired_seconds": 2**63}, "expired_seconds", None, '{"expired_seconds":9223372036854775808}'),
        ({"expired_seconds": -1}, "expired_seconds", -1, None),
        ({"new": {"b": 1, "a": "é"}}, "product", "Cloud phone", '{"new":{"a":"é","b":1}}'),
        ({"~missing": 1}, "product", "Cloud phone", '{"~~missing":1}'),
        ({"_extra": "x"}, "product", "Cloud phone", '{"_extra":"x"}'),
    ],
)
def test_extra_holds_what_the_columns_cannot_give_back(
    change: dict[str, Any], column: str, value: Any, extra: str | None
) -> None:
    made = row(change)
    assert made[column] == value
    assert made["_extra"] == extra


def test_missing_fields_are_named() -> None:
    table = typed([gather([{"created_at": PLAIN["created_at"], "order_id": "A"}])], timezone="UTC", language="en")
    assert list(records(table)) == [{"created_at": PLAIN["created_at"], "order_id": "A"}]
    assert table["_extra"].to_pylist() == [
        '{"~missing":["description","expired_at","expired_seconds","product","status","total","type"]}'
    ]


def test_extras_counts_values_and_those_that_no_column_holds() -> None:
    page = [
        PLAIN,
        PLAIN | {"total": "-$1,234.50", "new": 1},
        PLAIN | {"total": "free", "expired_seconds": "soon", "product": None},
        PLAIN | {"order_id": 7, "expired_at": None},
        {name: value for name, value in PLAIN.items() if name not in ("type", "total")},
    ]
    found = extras(typed([gather(page)], timezone="UTC", language="en"))
    assert (found.values, found.unparsed) == (8, 3)
    assert found.example == "order 'DP1': expired_seconds is 'soon'"
    reformatted = extras(typed([gather(page[:2])], timezone="UTC", language="en"))
    assert (reformatted.values, reformatted.unparsed, reformatted.example) == (2, 0, None)
    assert extras(typed([gather([PLAIN])], timezone="UTC", language="en")).example is None


NEW = st.dictionaries(
    st.text('":,~ab', max_size=4), st.text('":,{}\\~', max_size=4) | st.integers() | st.none() | st.just([{"a": ":"}])
)
"""Fields that no column has, with names and texts that are hard to distinguish from JSON's own syntax."""


@given(page=st.lists(RECORDS | USUAL, max_size=5), new=st.lists(NEW, min_size=5, max_size=5))
def test_extras_counts_as_plain_python_does(page: list[Record], new: list[Record]) -> None:
    assert_extras_of([added | record for added, record in zip(new, page, strict=False)])


@pytest.mark.parametrize("value", [5, True, None, "never", ...])
@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"created_at"}))
def test_extras_tells_what_one_column_lost(name: str, value: Any) -> None:
    changed = PLAIN | {"new": 1, name: value}
    assert_extras_of([PLAIN, {name: value for name, value in changed.items() if value is not ...}])


def assert_extras_of(page: list[Record]) -> None:
    table = typed([gather(page)], timezone="UTC", language="en")
    assert list(records(table)) == page
    values = unparsed = 0
    for row in table.to_pylist():
        kept, missing = unpack(row["_extra"] or "{}")
        values += len(kept) + len(missing)
        unparsed += sum(kept[name] is not None and row[name] in (None, "") for name in kept.keys() & FIELDS)
    found = extras(table)
    assert (found.values, found.unparsed) == (values, unparsed)
    assert (found.example is None) == (unparsed == 0)


@pytest.mark.parametrize("text", ["-$21.91", "$0.00", "5.00", "KWD1.00"])
def test_plain_money_is_spelled_as_it_came(text: str) -> None:
    parsed = parse_money(text)
    assert parsed is not None
    assert plain_money(*parsed) == text


def test_plain_times_are_spelled_as_they_came() -> None:
    for text in ("2026-02-12T11:34:55+08:00", "9999-12-31T23:59:59+08:00", "1000-01-01T00:00:00+08:00"):
        microseconds = parse_time(text)
        assert microseconds is not None
        assert plain_time(microseconds) == text


def test_money_is_exact_in_any_context_of_decimals() -> None:
    with localcontext(prec=3, rounding=ROUND_DOWN):
        assert row({"total": "-$99999999999999.99"})["total"] == Decimal("-99999999999999.99")
        assert row({"total": "-$12,345.678"})["total"] == Decimal("-12345.678")
