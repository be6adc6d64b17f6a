"""Strategies for records as the API gives them, or as it well might: plain and hostile fields, mixed."""

import json
from typing import Any

from hypothesis import strategies as st

from exporter.vendor.orders import FIELDS, STATUS_LABELS, TYPE_LABELS, TYPE_SYNONYMS, Record

PLAIN: Record = {
    "type": "Renewal",
    "order_id": "DP1",
    "product": "Cloud phone",
    "description": "30 days",
    "status": "Unpaid",
    "total": "-$21.91",
    "created_at": "2026-02-12T11:34:55+08:00",
    "expired_at": "2026-02-12T12:04:55+08:00",
    "expired_seconds": 1795,
}


LANGUAGES = st.sampled_from(["en", "zh", "zh-TW", "ru"])
TIMEZONES = st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York", "Asia/Kathmandu"])

TEXTS = st.text(st.characters(exclude_categories=()), max_size=6) | st.sampled_from(
    ["", "\x00", "a\x1fb", "\x1f", "line\nline", "\ud800", "云手机", "Cloud phone", "~missing", "null"]
)
NUMBERS = (
    st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**40]) | st.floats(allow_nan=False, allow_infinity=False)
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)

_labels = [
    label for table in (TYPE_LABELS, STATUS_LABELS) for labels in table.values() for label in labels.values()
] + [*TYPE_SYNONYMS, "續費", "Продление", "renewal", ""]
LABELS = st.sampled_from(_labels)


@st.composite
def _blurred(draw: st.DrawFn, texts: st.SearchStrategy[str], alphabet: str) -> str:
    """Draw a text with at most two places replaced by another character, or by none."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", *alphabet])) + text[at + draw(st.integers(0, 1)) :]
    return text


PLAIN_TIMES = (
    st.datetimes()
    .filter(lambda moment: moment.year > 1)
    .map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S}+08:00".rjust(25, "0"))
)
ODD_TIMES = [
    "2026-02-12T11:34:55Z",
    "2026-02-12T11:34:55",
    "2026-02-12 11:34:55+08:00",
    "2026-02-12T11:34:55.5+08:00",
    "2026-02-12T11:34:55.123456+08:00",
    "2026-02-12T11:34:55.1234567+08:00",
    "1969-12-31T23:59:59.999999Z",
    "2026-02-12T11:34:55+05:45",
    "2026-02-12T11:34:55-00:00",
    "2026-02-12T11:34:55+08:00:00",
    "2026-02-12T11:34:55+0800",
    "2026-02-12",
    "9999-12-31T23:59:59+08:00",
    "0001-01-01T08:00:00+08:00",
    "2024-02-29T00:00:00+08:00",
]
NO_TIMES = [
    "",
    "never",
    "2026-13-01T00:00:00+08:00",
    "2026-02-30T00:00:00+08:00",
    "2026-02-12T24:30:00+08:00",
    "0000-01-01T00:00:00+08:00",
    "0001-01-01T00:00:00+08:00",
    "9999-12-31T23:59:59-08:00",
    "2026-02-12T11:34:60+08:00",
    "\ud800",
]
TIMES = PLAIN_TIMES | st.sampled_from(ODD_TIMES)
TIMELIKE = TIMES | st.sampled_from(NO_TIMES) | _blurred(PLAIN_TIMES, "0123456789-+:. TZ\x00年")

PLAIN_MONEY = st.builds(
    "{}{}{}.{:02}".format, *map(st.sampled_from, (["", "-"], "$¥€")), st.integers(0, 10**15), st.integers(0, 99)
)
USUAL_MONEY = st.builds(
    "{}{}{:{}}.{:02}".format,
    *map(st.sampled_from, (["", "-"], ["", *"$¥€￥"])),
    st.sampled_from([0, 1, 999, 1000]) | st.integers(0, 10**12 - 1),
    st.sampled_from(["", ","]),
    st.integers(0, 99),
)
ODD_MONEY = [
    "-$1,234.50",
    "¥0.5",
    "+$1",
    "$-3",
    "1e3",
    "",
    "free",
    "1234567890" * 4,
    "-$0.00",
    "-0",
    "$00.10",
    "$12,34.00",
    "￥5.00",
    "£5.00",
    "US$5.00",
    "USD 5.00",
    "5.00 EUR",
    "EUR5.00",
    "KWD1.2345",
    "$1.23456",
    "$1.230000",
    "--$5.00",
    "-$-5.00",
    "$5.00$",
    "$５.00",
    "$ 5.00",
    "$5.00\n",
]
MONEY = (
    PLAIN_MONEY
    | USUAL_MONEY
    | st.sampled_from(ODD_MONEY)
    | _blurred(PLAIN_MONEY | USUAL_MONEY, "0123456789-+., $¥￥€£eAUSD\x00")
)

_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "type": LABELS,
    "order_id": st.sampled_from(["A1", "A2", "A3", ""]),
    "product": st.sampled_from(["Cloud phone", "云手机"]),
    "description": st.sampled_from(["", "30 days"]),
    "status": LABELS,
    "total": MONEY,
    "created_at": TIMES,
    "expired_at": st.just("") | TIMELIKE,
    "expired_seconds": st.integers(0, 1800),
}
USUAL: st.SearchStrategy[Record] = st.fixed_dictionaries(
    _PLAIN | {"total": USUAL_MONEY, "created_at": PLAIN_TIMES, "expired_at": st.just("") | PLAIN_TIMES}
)
"""Records in the usual formats of an API: none of their rows needs the slow path."""
WELL_FORMED: st.SearchStrategy[Record] = st.fixed_dictionaries(_PLAIN)


@st.composite
def _hostile(draw: st.DrawFn) -> Record:
    record = draw(WELL_FORMED)
    for name in draw(st.lists(st.sampled_from(FIELDS) | TEXTS, max_size=3)):
        if name != "created_at":
            record[name] = draw(ANYTHING)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        if name != "created_at":
            record.pop(name, None)
    return record


RECORDS = WELL_FORMED | _hostile()
PAGES = st.lists(st.lists(RECORDS, max_size=4), max_size=3)


def exactly(value: Any) -> str:
    """Return a text that is equal for values that are the same JSON, types distinct, and for no others."""
    return json.dumps(value, sort_keys=True)
