"""Parse the API's times, money and labels in any format, and format them plainly. Pure.

Each value has one plain format. A text in it is given back by its columns alone; any other text is kept in `_extra`.
Times are microseconds since 1970 UTC.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from functools import cache

from exporter.vendor.orders import API_ZONE, STATUS_LABELS, TYPE_LABELS, TYPE_SYNONYMS, plain_language

LABELS: Mapping[str, Mapping[str, Mapping[int, str]]] = {"type": TYPE_LABELS, "status": STATUS_LABELS}
SYNONYMS: Mapping[str, Mapping[str, int]] = {"type": TYPE_SYNONYMS, "status": {}}
CURRENCIES: Mapping[str, str] = {"$": "USD", "¥": "CNY", "€": "EUR", "￥": "CNY"}
"""The currencies of known signs; any other sign is its own name."""
PLAIN_SIGNS: Mapping[str, str] = {"USD": "$", "CNY": "¥", "EUR": "€"}
MAX_WHOLE_DIGITS, MAX_FRACTION_DIGITS = 14, 4  # what decimal128(18, 4) holds

_SIGN = r"[A-Z]{3}|[A-Z]{0,2}[^\w\s+.,-]"
_MONEY = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>(?:{_SIGN})?) ?(?P<late_sign>[+-]?)"
    rf"(?P<number>(?:[0-9]+|[0-9]{{1,3}}(?:,[0-9]{{3}})+)(?:\.[0-9]+)?)(?: ?(?P<after>{_SIGN}))?"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_API_EPOCH = _EPOCH.astimezone(API_ZONE)
_MICROSECOND = dt.timedelta(microseconds=1)

EARLIEST = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
LATEST = (dt.datetime.max.replace(tzinfo=API_ZONE) - _EPOCH) // _MICROSECOND
"""The instants with a year that Python has, 1 to 9999, in UTC and in the API's zone alike; both ends inclusive."""


@cache
def codes(field: str, language: str) -> Mapping[str, int]:
    """Return the code of each known label of `type` or `status`, in any language; labels of `language` win."""
    known = dict(SYNONYMS[field])
    for each in (*LABELS[field], plain_language(language)):
        known |= {label: code for code, label in LABELS[field][each].items()}
    return known


def parse_time(text: str) -> int | None:
    """Return the instant of an ISO 8601 time, in GMT+08:00 if it has no offset; None if it is not a time."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=API_ZONE)
    microseconds = (moment - _EPOCH) // _MICROSECOND
    return microseconds if EARLIEST <= microseconds <= LATEST else None


def plain_time(microseconds: int) -> str:
    """Format an instant as the API does: ISO 8601 with `+08:00`, a fraction only where there is one."""
    return (_API_EPOCH + microseconds * _MICROSECOND).isoformat()


def parse_money(text: str) -> tuple[Decimal, str | None] | None:
    """Return the amount and the currency of a text such as `-$1,234.50`; None if no column can hold it exactly."""
    found = _MONEY.fullmatch(text)
    if not found:
        return None
    sign, before, late_sign, number, after = found.group("sign", "before", "late_sign", "number", "after")
    currency = before or after
    if (sign and late_sign) or (before and after) or (currency and not _is_currency(currency)):
        return None
    whole, _, fraction = number.replace(",", "").partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if len(whole) > MAX_WHOLE_DIGITS or len(fraction) > MAX_FRACTION_DIGITS:
        return None
    amount = Decimal(f"{sign or late_sign}{whole}.{fraction}")
    return amount, CURRENCIES.get(currency, currency) if currency else None


def plain_money(amount: Decimal, currency: str | None) -> str:
    """Format money as the API does: minus, currency, digits without separators, two decimals."""
    sign = "" if currency is None else PLAIN_SIGNS.get(currency, currency)
    # No column has a negative zero; copy_abs() is exact in any context of decimals, abs() is not.
    return f"{'-' if amount < 0 else ''}{sign}{amount.copy_abs():.2f}"


def _is_currency(text: str) -> bool:
    return text.isalpha() or unicodedata.category(text[-1]) == "Sc"
