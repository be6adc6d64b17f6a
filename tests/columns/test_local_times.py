"""Times as clocks in a zone show them, held against Python's own."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import columns
from exporter.columns.text_formats import EARLIEST, LATEST

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = st.sampled_from(["Asia/Shanghai", "UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


def times(instants: list[int | None]) -> pa.TimestampArray:
    return pa.array(instants, pa.int64()).view(pa.timestamp("us", "UTC"))


@given(
    instants=st.lists(st.none() | st.integers(EARLIEST + 10**12, LATEST - 10**12) | st.integers(0, 2 * 10**15)),
    zone=ZONES,
)
def test_times_are_written_as_python_writes_them(instants: list[int | None], zone: str) -> None:
    expected = [
        None if instant is None else (EPOCH + dt.timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).isoformat()
        for instant in instants
    ]
    assert columns.iso(times(instants), zone).to_pylist() == expected


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Africa/Monrovia", "Asia/Shanghai"])
def test_the_moments_when_clocks_were_changed_are_exact(zone: str) -> None:
    moments = [
        dt.datetime(*day, hour, minute, tzinfo=dt.UTC) + dt.timedelta(microseconds=shift)
        for day in [(1900, 12, 31), (1972, 1, 7), (2024, 3, 10), (2024, 3, 31), (2024, 11, 3)]
        for hour in range(24)
        for minute in (0, 44, 54)
        for shift in (-1, 0, 17_000_000, 30_000_000)
    ]
    shown = columns.iso(times([(moment - EPOCH) // dt.timedelta(microseconds=1) for moment in moments]), zone)
    assert shown.to_pylist() == [moment.astimezone(ZoneInfo(zone)).isoformat() for moment in moments]


def test_a_time_without_a_year_in_the_zone_is_shown_in_utc() -> None:
    assert columns.iso(times([EARLIEST]), "America/New_York").to_pylist() == ["0001-01-01T00:00:00+00:00"]
    assert columns.iso(times([]), "UTC").to_pylist() == []
