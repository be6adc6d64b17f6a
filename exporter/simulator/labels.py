"""Translate a record into the language of `Lang`. Those of zh-TW and ru are made up: they are not documented (?)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from exporter.vendor.orders import PRODUCT_LABELS, STATUS_LABELS, TYPE_LABELS


def _made_up(labels: str) -> Mapping[int, str]:
    return dict(enumerate(labels.split(), start=1))


_TYPES = {
    **TYPE_LABELS,
    "zh-TW": _made_up("新購 續訂 儲值 扣款 兌獎 禮贈 退費 轉讓 領取"),
    "ru": _made_up("Покупка Продление Пополнение Списание Обмен Подарок Возврат Перевод Получение"),
}
_STATUSES = {
    **STATUS_LABELS,
    "zh-TW": _made_up("待付款 已取消 已付款 失敗 已完成 已過期 已退款"),
    "ru": _made_up("Ожидает Отменён Оплачен Ошибка Завершён Истёк Возвращён"),
}
_WORDINGS = {"Cloud Phone": "Cloud phone"}  # D: a record's wording is not the filter's, word for word
_PRODUCTS = {**PRODUCT_LABELS, "en": {code: _WORDINGS.get(text, text) for code, text in PRODUCT_LABELS["en"].items()}}
_TABLES: Mapping[str, Mapping[str, Mapping[int, str]]] = {"type": _TYPES, "product": _PRODUCTS, "status": _STATUSES}


UNPAID, EXPIRED = 1, 6  # codes of `status`
STATUSES = tuple(STATUS_LABELS["en"])
LATER: Mapping[int, tuple[int, ...]] = {1: (3, 3, 3, 2, 6), 3: (5, 5, 5, 2, 4), 5: (7,)}
"""What a status may become, by its code, as often as it is listed; the others are final."""


def label(field: str, code: int, language: str = "en") -> str:
    """Return the word for a code of `type`, `status` or `product`; English where the language has none."""
    tables = _TABLES[field]
    return tables.get(language, tables["en"])[code]


def code_of(field: str, text: object) -> int:
    """Return the code of a label in any language, whatever its case; 0 if no table knows it."""
    wanted = str(text).casefold()
    return next(
        (code for table in _TABLES[field].values() for code, known in table.items() if known.casefold() == wanted), 0
    )


def translated(row: bytes, language: str, type_code: int, product_code: int, status_code: int) -> bytes:
    """Return an English record with the labels of its codes in `language`; any other text stays."""
    for english, text in _replacements(language, type_code, product_code, status_code):
        row = row.replace(english, text, 1)
    return row


@cache
def _replacements(language: str, type_code: int, product_code: int, status_code: int) -> list[tuple[bytes, bytes]]:
    texts = [
        (field, label(field, code), label(field, code, language))
        for field, code in (("type", type_code), ("product", product_code), ("status", status_code))
        if code
    ]
    if language == "zh" and type_code == product_code == 1:  # D: 新购 in the Chinese sample, 购买 in the Chinese list
        texts[0] = (*texts[0][:2], "购买")
    return [(f'"{field}":"{old}"'.encode(), f'"{field}":"{new}"'.encode()) for field, old, new in texts if old != new]
