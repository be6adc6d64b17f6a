"""Read times, money and labels that are spelled as an API may well do, all rows of many pages at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow._acero import Declaration

from exporter.columns.acero import evaluated, projections
from exporter.columns.arrays import EMPTY, NULL, integers, strings
from exporter.columns.gather import SCHEMA
from exporter.columns.text_formats import CURRENCIES, EARLIEST, LABELS, MAX_WHOLE_DIGITS, PLAIN_SIGNS, codes
from exporter.vendor.orders import plain_language


def read_spelled(texts: pa.Table, *, time: pa.DataType, language: str) -> pa.Table | None:
    """Read times and labels of `cells.SCHEMA`, in one chunk, and what `read_money` gave as `priced` in it.

    None if a time is none, such as 30 February. The result has `created_at` and `expired_at` as times, and further
    columns: `read` tells which rows could be read; where it is false, they hold anything. `type_known` and
    `status_known` are the label's place in the `vocabulary`; null where it is none of them.
    """
    try:
        return evaluated(texts, _steps(time, language))
    except pa.ArrowInvalid:
        return None


def read_money(texts: pa.StringArray) -> pa.Table:
    """Read `total`, each text that differs from the others once: there are few.

    The result has `total` and `currency`; `member`, a member of `_extra` where these two don't give the text back, else
    null; `alone`, an `_extra` with no other member; and `read`: where it is false, the others hold anything.
    """
    encoded = texts.dictionary_encode(null_encoding="encode")
    read = evaluated(pa.table({"text": encoded.dictionary}), _money_steps())
    return read.select(["total", "currency", "member", "alone", "read"]).take(encoded.indices)


@cache
def vocabulary(field: str, language: str) -> pa.Table:
    """Return what the known labels of `type` or `status` stand for, a row each, in the order of `codes`.

    `value` and `code` are what the columns hold for it, `member` is a member of `_extra` where these two don't give it
    back, else null.
    """
    known = codes(field, language)
    plain = LABELS[field][plain_language(language)]
    members = strings("" if plain[code] == label else f'"{field}":"{label}"' for label, code in known.items())
    return pa.table(
        {
            "value": strings(LABELS[field]["en"][code] for code in known.values()),
            "code": integers(known.values()).cast(pa.int8()),
            "member": pc.if_else(pc.equal(members, EMPTY), NULL, members),
        }
    )


@cache
def _steps(time: pa.DataType, language: str) -> Sequence[Declaration]:
    created_at, expired_at = pc.field("created_at"), pc.field("expired_at")
    return projections(
        [*SCHEMA.names, "priced"],
        {
            "created_at": pc.if_else(_is_plain_time(created_at), created_at, NULL),
            "expired_at": pc.if_else(_is_plain_time(expired_at), expired_at, NULL),
            "endless": expired_at == EMPTY,
        },
        {"created_at": created_at.cast(time), "expired_at": expired_at.cast(time)},
        {
            "read": pc.field("priced") & _has_year(created_at) & (_has_year(expired_at) | pc.field("endless")),
            **{f"{field}_known": _place(pc.field(field), strings(codes(field, language))) for field in LABELS},
        },
    )


@cache
def _money_steps() -> Sequence[Declaration]:
    text, given, ungrouped = pc.field("text"), pc.field("given"), pc.field("ungrouped")
    sign, minus, total = pc.field("sign"), pc.field("minus"), pc.field("total")
    otherwise = pc.if_else(
        # no column knows a negative zero
        (given == ungrouped) & pc.is_in(sign, value_set=_PLAIN_SIGNS) & ~(minus & (total == _ZERO)),
        NULL,
        given,
    )
    return projections(
        ["text"],
        {"given": pc.if_else(pc.match_substring_regex(text, _MONEY), text, NULL)},
        {
            "ungrouped": pc.replace_substring(given, pattern=",", replacement=""),
            "minus": pc.starts_with(given, pattern="-"),
            "read": given.is_valid() | text.is_null(),
        },
        {
            "total": pc.utf8_ltrim(ungrouped, characters="-" + "".join(CURRENCIES)).cast(pa.decimal128(18, 4)),
            "sign": pc.ascii_trim(ungrouped, characters="-.0123456789"),
        },
        {
            "total": pc.if_else(minus, pc.negate(total), total),
            "currency": pc.choose(_place(sign, strings(CURRENCIES)), *strings(CURRENCIES.values())),
            "member": pc.binary_join_element_wise(_BEFORE, otherwise, _AFTER, _NOTHING),
        },
        {"alone": pc.binary_join_element_wise(_BRACE, pc.field("member"), _END_BRACE, _NOTHING)},
    )


def _place(text: pc.Expression, texts: pa.StringArray) -> pc.Expression:
    return pc.index_in(text, value_set=texts)


def _is_plain_time(text: pc.Expression) -> pc.Expression:
    """Tell of texts that Arrow takes for a time whether they are spelled `YYYY-MM-DDTHH:MM:SS+08:00`."""
    # Of the 25 bytes that end so, only the separator of date and time is left open.
    is_ours = (pc.binary_length(text) == _TIME_LENGTH) & pc.ends_with(text, pattern="+08:00")
    return is_ours & pc.match_substring(text, pattern="T")


def _has_year(time: pc.Expression) -> pc.Expression:
    """Tell whether there is a time, of a year that Python knows: Arrow has a year 0."""
    return pc.coalesce(time.cast(pa.int64()) >= _EARLIEST, _FALSE)


_MONEY = (
    rf"^-?[{''.join(CURRENCIES)}]?"
    rf"(?:0|[1-9][0-9]{{0,{MAX_WHOLE_DIGITS - 1}}}|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}}){{1,3}})\.[0-9]{{2}}$"
)
_BEFORE, _AFTER, _BRACE, _END_BRACE = map(pc.scalar, strings(['"total":"', '"', "{", "}"]))
_NOTHING = pc.scalar(EMPTY)
_PLAIN_SIGNS = strings([*PLAIN_SIGNS.values(), ""])
_FALSE = integers([0]).cast(pa.bool_())[0]
_ZERO = integers([0]).cast(pa.decimal128(19, 0)).cast(pa.decimal128(18, 4))[0]
_TIME_LENGTH = integers([len("2026-02-12T11:34:55+08:00")]).cast(pa.int32())[0]
_EARLIEST = integers([EARLIEST])[0]
