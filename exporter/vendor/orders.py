"""The endpoint as a value: codes and labels, questions and answers, times as the API writes them.

Facts carry the source that the project's API notes give them: D the vendor's documents, I its introduction
page, P seen in public clients, ? unknown. Nothing here does I/O.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from exporter.vendor.foreign_text import quoted

Record = dict[str, Any]
"""One order as the API gave it: parsed JSON, nothing added, nothing taken away."""

ENDPOINT = "/api/v1/team/order"  # D
SITES: Mapping[str, str] = MappingProxyType(
    {"international": "https://openapi.duoplus.net", "mainland": "https://openapi.duoplus.cn"}  # I, P
)
KEY_HEADER = "DuoPlus-API-Key"  # I
LANGUAGES = ("en", "zh", "zh-TW", "ru")  # I
SUCCESS = 200  # I, P: in the body, with HTTP 200
UNAUTHORIZED = 401  # I
TOO_FREQUENT = 160004  # P: comes with HTTP 200
UNKNOWN_PATH = 160007  # P
DEFAULT_PAGE_SIZE = 10  # D
MAX_PAGE_SIZE = 500  # D
API_ZONE = dt.timezone(dt.timedelta(hours=8))  # D: GMT+08:00

FIELDS = (
    "type",
    "order_id",
    "product",
    "description",
    "status",
    "total",
    "created_at",
    "expired_at",
    "expired_seconds",
)
"""The fields of a record, in the documents' order (D)."""

IDENTITY_FIELDS = ("order_id", "type", "product", "description", "total", "created_at")
"""What never changes of an order; the other fields may differ between two looks at it."""

SEPARATOR = "\x1f"
"""Stands between texts that are joined to be split again. JSON holds it only escaped."""


def _codes(*labels: str) -> Mapping[int, str]:
    return MappingProxyType(dict(enumerate(labels, start=1)))


STATUS_LABELS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "en": _codes("Unpaid", "Cancelled", "Paid", "Failed", "Finished", "Expired", "Refunded"),
        "zh": _codes("待支付", "取消订单", "已支付", "交易失败", "交易完成", "已失效", "退款完成"),
    }
)
"""Labels of `status` by language and code (D); those of zh-TW and ru are not documented."""

TYPE_LABELS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "en": _codes("Purchase", "Renewal", "Recharge", "Deduction", "Redeem", "Gift", "Refund", "Transfer", "Receive"),
        "zh": _codes("新购", "续费", "充值", "扣费", "兑换", "赠送", "退款", "转移", "接收"),
    }
)
"""Labels of `type` by language and code (D). The Chinese sample says 新购 where the Chinese list says 购买."""

TYPE_SYNONYMS: Mapping[str, int] = MappingProxyType({"购买": 1})
"""Further labels of `type` that the documents use for a code."""

PRODUCT_LABELS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "en": _codes(
            "Subscription Startup",
            "Cloud Phone",
            "Balance",
            "Gift",
            "Reset Device Times",
            "Temporary Startup",
            "Change Cloud Drive Plan",
            "Renew Cloud Drive Plan",
            "Technical Service Fee",
            "Cloud Number",
            "AI Credits",
        ),
        "zh": _codes(
            "包月开机",
            "云手机",
            "余额",
            "礼包",
            "一键新机次数",
            "临时开机",
            "云盘变更套餐",
            "续费云盘套餐",
            "技术服务费",
            "云号码",
            "AI 积分",
        ),
    }
)
"""Labels of the filter `product_type` by language and code (D); a record's `product` is worded freely."""


def plain_language(language: str) -> str:
    """Return the language whose labels count as plain in an export made with `Lang: language`."""
    return language if language in TYPE_LABELS else "en"


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which orders are asked for, apart from their time; an empty field asks for all."""

    status: tuple[int, ...] = ()
    type: tuple[int, ...] = ()
    product_type: tuple[int, ...] = ()
    image_ids: tuple[str, ...] = ()
    order_id: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the filters as the request's JSON has them: codes as strings (D), empty ones left out."""
        body: dict[str, Any] = {
            name: [str(code) for code in codes]
            for name in ("status", "type", "product_type")
            if (codes := getattr(self, name))
        }
        if self.image_ids:
            body["image_ids"] = list(self.image_ids)
        if self.order_id is not None:
            body["order_id"] = self.order_id
        return body


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """One page of one span. `first` and `last` are Unix seconds, both inclusive."""

    first: int
    last: int
    page: int = 1
    page_size: int = MAX_PAGE_SIZE
    filters: Filters = field(default_factory=Filters)

    def body(self) -> dict[str, Any]:
        """Return the request's JSON: everything said, nothing left to the server's defaults."""
        return {
            "page": self.page,
            "pagesize": self.page_size,
            "created_at_start": wire_time(self.first),
            "created_at_end": wire_time(self.last),
            "sort_by": "created_at",
            "order": "asc",
            **self.filters.body(),
        }

    def __str__(self) -> str:
        return f"page {self.page} of [{wire_time(self.first)}, {wire_time(self.last)}]"


class PlainRecords(list[Record]):
    """Records of which no text contains SEPARATOR, as most pages are: it need not be searched for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageResponse:
    """One page as it came. A number that is missing or not an integer is None.

    `number` counts the responses to one client in the order of their arrival; `date` is the `Date` header in Unix
    seconds; `received` is the local clock in Unix seconds; `latency` is in seconds, from the request's departure.
    """

    request: PageRequest
    records: Sequence[Record]
    total: int | None
    page: int | None = None
    page_size: int | None = None
    total_page: int | None = None
    number: int = 0
    date: int | None = None
    received: float = 0.0
    latency: float = 0.0


def count_in(data: Mapping[str, Any], name: str) -> int | None:
    """Return a number of a response that is an integer from zero on, or a text of its digits; else None."""
    number = data.get(name)
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < MAX_DIGITS:
        return int(number)
    return number if type(number) is int and number >= 0 else None


MAX_DIGITS = 16
"""A text with as many digits is no count."""


@lru_cache(maxsize=1024)  # the pages of a segment are asked for with the same two
def wire_time(second: int) -> str:
    """Return a Unix second as the API writes it: ISO 8601 with `+08:00`."""
    return dt.datetime.fromtimestamp(second, API_ZONE).isoformat(timespec="seconds")


def second_of(record: Record) -> int:
    """Return the Unix second at which an order was made, fractions cut off; raise ValueError if it has no time.

    A time without offset is in GMT+08:00, the API's own.
    """
    text = record.get("created_at")
    if not isinstance(text, str):
        raise ValueError(f"created_at is {quoted(text)}, no ISO 8601 time")
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=API_ZONE)
    return (moment - _EPOCH) // _SECOND


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
