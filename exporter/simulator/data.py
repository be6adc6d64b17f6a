"""Make orders from a seed: encoded records, and the columns that a server filters and sorts by.

An order is a moment and 64 random bits; tables turn the bits into its fields. A million take seconds and 300 MB.
"""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import orjson

from exporter.simulator.labels import UNPAID, code_of, label
from exporter.simulator.timestamps import ZONE_SECONDS
from exporter.vendor.orders import API_ZONE, Record

IMAGES = 10_000  # cloud phones `image-0000` to `image-9999`
REFUND = 7  # code of `type`
_REFUNDABLE = 500  # a refund refunds one of this many latest orders
_INCOME = frozenset({3, 5, 6, 7, 9})  # types whose amount has no minus: recharge, redeem, gift, refund, receive

_TYPE_WEIGHTS = (30, 40, 8, 8, 2, 3, 4, 3, 2)
_PRODUCT_WEIGHTS = (12, 50, 10, 3, 4, 6, 3, 4, 3, 3, 2)
_STATUS_WEIGHTS = (6, 5, 6, 2, 76, 4, 1)
_TIME_TO_PAY = (
    1800,
    1800,
    1800,
    3 * 86_400,
)  # seconds that an unpaid order can wait: half an hour (D), or a bank transfer
_CURRENCIES = ("$",) * 13 + ("¥", "￥", "€")


@dataclass(slots=True)
class OrderColumns:
    """Orders as columns, ascending by `moments`; `rows` are the records as JSON in English."""

    rows: list[bytes] = field(default_factory=list)
    moments: array[int] = field(default_factory=lambda: array("q"))
    """Milliseconds since 1970."""
    deadlines: array[int] = field(default_factory=lambda: array("I"))
    """Unix seconds until which an order can be paid; 0: it has no countdown."""
    amounts: array[int] = field(default_factory=lambda: array("q"))
    """Hundredths of the currency."""
    images: array[int] = field(default_factory=lambda: array("H"))
    types: bytearray = field(default_factory=bytearray)
    products: bytearray = field(default_factory=bytearray)
    statuses: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.rows)

    def insert(self, index: int, other: OrderColumns) -> None:
        """Put the orders of `other` before the order at `index`."""
        for name in self.__slots__:
            getattr(self, name)[index:index] = getattr(other, name)

    def delete(self, index: int) -> None:
        """Remove the order at `index`."""
        for name in self.__slots__:
            del getattr(self, name)[index]


class _Kind(NamedTuple):
    type: int
    product: int
    status: int
    before_number: str
    """The record up to the digits of its number."""
    before_image: str
    """After the number, up to the digits of the image."""
    before_amount: str
    """After the image, up to the amount."""
    income: bool
    unpaid: bool


def _kind(random: Random) -> _Kind:
    (type_code,) = random.choices(range(1, 10), _TYPE_WEIGHTS)
    (product_code,) = random.choices(range(1, 12), _PRODUCT_WEIGHTS)
    (status_code,) = random.choices(range(1, 8), _STATUS_WEIGHTS)
    type_label, days = label("type", type_code), random.choice((7, 30, 90, 180, 360))
    return _Kind(
        type=type_code,
        product=product_code,
        status=status_code,
        before_number=f'{{"type":"{type_label}","order_id":"DP',
        before_image=f'","product":"{label("product", product_code)}","description":"{type_label} for image-',
        before_amount=f', {days} days","status":"{label("status", status_code)}","total":"',
        income=type_code in _INCOME,
        unpaid=status_code == UNPAID,
    )


def _amounts(random: Random) -> list[tuple[int, str]]:
    prices = [random.choice((0, 50, 80, 199, 690, 2191, 4999, random.randrange(1, 100_000))) for _ in range(1024)]
    return [
        (hundredths := price * random.randint(1, 12), f"{random.choice(_CURRENCIES)}{hundredths / 100:,.2f}")
        for price in prices
    ]


_TABLES = Random(0)  # the same tables for every seed
_KINDS = [_kind(_TABLES) for _ in range(1024)]
_AMOUNTS = _amounts(_TABLES)
_CLOCK = [f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]


def image_number(name: str) -> int:
    """Return the number of a cloud phone's name, -1 if no phone has the name."""
    digits = name.removeprefix("image-")
    return int(digits) if name == f"image-{digits:0>4}" and digits.isdecimal() else -1


def _number(index: int) -> int:
    """Return 18 digits that are unique to the order at `index` and don't ascend with it."""
    return 10**17 + (index * 0x9E3779B97F4A7C15 & 0xFF_FFFF_FFFF_FFFF)


def make_orders(moments: array[int], random: Random, *, first_index: int = 0) -> OrderColumns:
    """Return an order for each of the ascending `moments` (milliseconds, kept as they are)."""
    columns = OrderColumns(moments=moments)
    words = array("Q", random.randbytes(8 * len(moments)))
    recent: deque[int] = deque(maxlen=_REFUNDABLE)
    days: dict[int, str] = {}
    rows, amounts, images = columns.rows, columns.amounts, columns.images
    types, products, statuses, deadlines = columns.types, columns.products, columns.statuses, columns.deadlines
    for index, (moment, word) in enumerate(zip(moments, words, strict=True)):
        kind_type, product, status, before_number, before_image, before_amount, income, unpaid = _KINDS[word & 1023]
        amount, amount_text = _AMOUNTS[word >> 10 & 1023]
        image = (word >> 20) % IMAGES
        number = _number(first_index + index)
        if kind_type == REFUND and recent:
            number = recent[(word >> 40) % len(recent)]
        second = moment // 1000
        day, rest = divmod(second + ZONE_SECONDS, 86_400)
        if (date := days.get(day)) is None:
            date = days[day] = dt.date.fromordinal(719_163 + day).isoformat()
        deadline, expired_at = 0, ""
        if unpaid:
            deadline = second + _TIME_TO_PAY[word >> 60 & 3]
            expired_at = dt.datetime.fromtimestamp(deadline, API_ZONE).isoformat()
        sign = "" if income or not amount else "-"
        rows.append(
            f"{before_number}{number:018}{before_image}{image:04}{before_amount}{sign}{amount_text}"
            f'","created_at":"{date}{_CLOCK[rest // 60]}{rest % 60:02}+08:00"'
            f',"expired_at":"{expired_at}","expired_seconds":0}}'.encode()
        )
        recent.append(number)
        amounts.append(amount if income else -amount)
        images.append(image)
        types.append(kind_type)
        products.append(product)
        statuses.append(status)
        deadlines.append(deadline)
    return columns


def read_records(file: Path) -> list[Record]:
    """Return the records of a JSON file: a list of them, or a response of the API that has one.

    Raise ValueError if there are none.
    """
    try:
        content = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} can't be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    records = content
    for name in ("data", "list"):
        records = records.get(name) if isinstance(records, dict) else records
    if not isinstance(records, list) or not all(isinstance(one, dict) and "created_at" in one for one in records):
        raise ValueError(f"{file} is neither a list of records with created_at nor a response with one in data.list")
    return records


def given_orders(records: Iterable[Record], moments: Sequence[int]) -> OrderColumns:
    """Return columns that hold the given records as they are; labels that no table knows have the code 0."""
    columns = OrderColumns(moments=array("q", moments))
    for record in records:
        columns.rows.append(orjson.dumps(record))
        columns.deadlines.append(0)
        columns.amounts.append(_hundredths(record.get("total")))
        columns.images.append(0)
        columns.types.append(code_of("type", record.get("type")))
        columns.products.append(code_of("product", record.get("product")))
        columns.statuses.append(code_of("status", record.get("status")))
    return columns


def _hundredths(text: object) -> int:
    digits = re.sub(r"[^\d.]", "", str(text))
    try:
        amount = min(round(float(digits) * 100), 1 << 62)
    except (ValueError, OverflowError):
        return 0
    return -amount if "-" in str(text) else amount
