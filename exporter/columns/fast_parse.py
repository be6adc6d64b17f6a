"""Parse times, money and labels in their usual formats, all rows of many pages at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.acero import Step, evaluate, project
from exporter.columns.arrays import EMPTY, NULL, integers, strings
from exporter.columns.gather import SCHEMA
from exporter.columns.text_formats import CURRENCIES, EARLIEST, LABELS, MAX_WHOLE_DIGITS, PLAIN_SIGNS, codes
from exporter.vendor.orders import plain_language


def parse_usual(texts: pa.Table, *, time: pa.DataType, language: str) -> pa.Table | None:
    """Parse times and labels of a table in `gather.SCHEMA` and `priced`, the `parsed` of `parse_money_column`.

    The table is in one chunk. Return None if a time does not exist, such as 30 February. The result has `created_at`
    and `expired_at` as times, and further columns: `parsed`, whether a row could be parsed; where it is false, the
    others hold anything. `type_known` and `status_known` are the label's index in the `vocabulary`, null where it has
    no such label.
    """
    try:
        return evaluate(texts, _steps(time, language))
    except pa.ArrowInvalid:
        return None


def parse_money_column(texts: pa.StringArray) -> pa.Table:
    """Parse `total`, each distinct text once: there are few.

    The result has `total` and `currency`; `member`, a member of `_extra` where these two don't give the text back, else
    null; `alone`, an `_extra` with no other member; and `parsed`: where it is false, the others hold anything.
    """
    encoded = texts.dictionary_encode(null_encoding="encode")
    parsed = evaluate(pa.table({"text": encoded.dictionary}), _money_steps())
    return parsed.select(["total", "currency", "member", "alone", "parsed"]).take(encoded.indices)


@cache
def vocabulary(field: str, language: str) -> pa.Table:
    """Return what the known labels of `type` or `status` mean, a row each, in the order of `codes`.

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
def _steps(time: pa.DataType, language: str) -> Sequence[Step]:
    created_at, expired_at = pc.field("created_at"), pc.field("expired_at")
    return project(
        [*SCHEMA.names, "priced"],
        {
            "created_at": pc.if_else(_is_plain_time(created_at), created_at, NULL),
            "expired_at": pc.if_else(_is_plain_time(expired_at), expired_at, NULL),
            "endless": expired_at == EMPTY,
        },
        {"created_at": created_at.cast(time), "expired_at": expired_at.cast(time)},
        {
            "parsed": pc.field("priced") & _has_year(created_at) & (_has_year(expired_at) | pc.field("endless")),
            **{f"{field}_known": _index(pc.field(field), strings(codes(field, language))) for field in LABELS},
        },
    )


@cache
def _money_steps() -> Sequence[Step]:
    text, given, ungrouped = pc.field("text"), pc.field("given"), pc.field("ungrouped")
    sign, minus, total = pc.field("sign"), pc.field("minus"), pc.field("total")
    otherwise = pc.if_else(
        # no column knows a negative zero
        (given == ungrouped) & pc.is_in(sign, value_set=_PLAIN_SIGNS) & ~(minus & (total == _ZERO)),
        NULL,
        given,
    )
    return project(
        ["text"],
        {"given": pc.if_else(pc.match_substring_regex(text, _MONEY), text, NULL)},
        {
            "ungrouped": pc.replace_substring(given, pattern=",", replacement=""),
            "minus": pc.starts_with(given, pattern="-"),
            "parsed": given.is_valid() | text.is_null(),
        },
        {
            "total": pc.utf8_ltrim(ungrouped, characters="-" + "".join(CURRENCIES)).cast(pa.decimal128(18, 4)),
            "sign": pc.ascii_trim(ungrouped, characters="-.0123456789"),
        },
        {
            "total": pc.if_else(minus, pc.negate(total), total),
            "currency": pc.choose(_index(sign, strings(CURRENCIES)), *strings(CURRENCIES.values())),
            "member": pc.binary_join_element_wise(_BEFORE, otherwise, _AFTER, _NOTHING),
        },
        {"alone": pc.binary_join_element_wise(_BRACE, pc.field("member"), _END_BRACE, _NOTHING)},
    )


def _index(text: pc.Expression, texts: pa.StringArray) -> pc.Expression:
    return pc.index_in(text, value_set=texts)


def _is_plain_time(text: pc.Expression) -> pc.Expression:
    """Return which of the texts that Arrow can parse as a time have the format `YYYY-MM-DDTHH:MM:SS+08:00`."""
    # Of the 25 bytes that end so, only the separator of date and time is left open.
    is_ours = (pc.binary_length(text) == _TIME_LENGTH) & pc.ends_with(text, pattern="+08:00")
    return is_ours & pc.match_substring(text, pattern="T")


def _has_year(time: pc.Expression) -> pc.Expression:
    """Return which times exist and have a year that Python knows: Arrow has a year 0."""
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
