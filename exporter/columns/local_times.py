"""Show instants as clocks in a zone show them. The zones are Python's, which need not be installed on the system."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from exporter.columns.arrays import integers, strings

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_QUARTER = 900_000_000  # microseconds; since 1973 no clock was changed but at a quarter of an hour
_REGULAR = 94_694_400_000_000  # 1973-01-01


def local(times: pa.TimestampArray, timezone: str) -> tuple[pa.TimestampArray, pa.StringArray]:
    """Return what clocks showed, without a zone, and the offset of each as ISO 8601 writes it.

    An instant that has no year from 1 to 9999 in the zone is shown in UTC.
    """
    instants = times.view(pa.int64())
    quarter = integers([_QUARTER])[0]
    begins = pc.multiply(pc.divide(instants, quarter), quarter)
    begins = pc.if_else(pc.greater_equal(instants, integers([_REGULAR])[0]), begins, instants).dictionary_encode()
    if not len(begins.dictionary):
        return times.view(pa.timestamp("us")), pa.nulls(len(times), pa.string())
    zone = ZoneInfo(timezone)
    offsets = [_offset(instant, zone) for instant in begins.dictionary.to_pylist()]
    seconds = integers(offset // dt.timedelta(microseconds=1) for offset in offsets).take(begins.indices)
    texts = strings(_text(offset) for offset in offsets).take(begins.indices)
    return pc.add(instants, seconds).view(pa.timestamp("us")), texts


def iso(times: pa.TimestampArray, timezone: str) -> pa.StringArray:
    """Return instants as ISO 8601 with the zone's offset, a fraction only where there is one."""
    clocks, offsets = local(times, timezone)
    texts = pc.replace_substring(clocks.cast(pa.string()), " ", "T", max_replacements=1)
    texts = pc.replace_substring(texts, ".000000", "", max_replacements=1)
    return pc.binary_join_element_wise(texts, offsets, strings([""])[0])


def _offset(instant: int, zone: ZoneInfo) -> dt.timedelta:
    try:
        return (_EPOCH + dt.timedelta(microseconds=instant)).astimezone(zone).utcoffset() or dt.timedelta()
    except OverflowError:
        return dt.timedelta()


def _text(offset: dt.timedelta) -> str:
    return dt.datetime(2000, 1, 1, tzinfo=dt.timezone(offset)).isoformat()[len("2000-01-01T00:00:00") :]
