"""Whatever a server writes into `Date` and `Retry-After`: a bounded number of seconds, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.vendor.http_times import LATEST, LONGEST_RETRY_AFTER, http_date, retry_after
from exporter.vendor.orders import wire_time

NOW = 1_445_412_480.0
"""Wed, 21 Oct 2015 07:28:00 GMT."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("9", 9.0),
        ("1.5", 1.5),
        ("600", 600.0),
        ("601", 600.0),
        ("999999999", 600.0),
        ("1445412520", 40.0),
        ("1445412520000", 40.0),
        ("1445412000", 0.0),
        ("1735689600", 600.0),
        ("9" * 5_000, 600.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:20:00 GMT", 0.0),
        ("Wed, 21 Oct 2099 07:28:30 GMT", 600.0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2020 00:00:00 +99999999", None),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_and_bounded(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}, now=NOW) == seconds


def test_a_moment_is_compared_with_the_server_s_own_clock() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:20 GMT"}
    assert retry_after(headers, now=0.0) == 10.0
    assert retry_after(headers | {"Retry-After": "1445412520"}, now=0.0) == 20.0


TEXTS = st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,25} Jan [0-9]{1,25} [0-9:]{1,9} ([+-][0-9]{1,12}|GMT)\Z")


@given(TEXTS | st.integers().map(str), TEXTS)
def test_no_header_raises_or_leaves_the_calendar(text: str, date: str) -> None:
    seconds = retry_after({"Retry-After": text, "Date": date}, now=NOW)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER
    moment = http_date(date)
    assert moment is None or (0 <= moment < LATEST and wire_time(moment))
