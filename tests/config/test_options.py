"""What a user says becomes settings, or an error that says what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import parsers, sources
from exporter.config.options import (
    EARLIEST,
    ConnectionOptions,
    Options,
    OutputOptions,
    RunOptions,
    Settings,
    options_of,
)
from exporter.errors import ConfigError
from exporter.vendor.orders import PRODUCT_LABELS, STATUS_LABELS, TYPE_LABELS
from exporter.vendor.secret import Secret

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
KEY = {"DUOPLUS_API_KEY": "0123456789abcdef"}
KNOWN = options_of(Options, OutputOptions)


def made(*places: sources.Source, environ: dict[str, str] | None = None) -> Settings:
    chosen = sources.choose(KNOWN, *places)
    return sources.settings(chosen, KEY if environ is None else environ, now=NOW)


def from_python(**options: Any) -> Settings:
    return made(sources.python(options, KNOWN))


def from_flags(**options: Any) -> Settings:
    return made(sources.command_line(options), sources.environment({}))


def test_the_defaults_are_those_of_the_settings() -> None:
    settings = from_python()
    start = dt.datetime.fromisoformat(f"{EARLIEST}T00:00:00+08:00")
    assert settings == Settings(
        api_key=Secret(KEY["DUOPLUS_API_KEY"]),
        start=int(start.timestamp()),
        end=None,
        start_asked=start.isoformat(),
        end_asked=None,
    )


def test_every_default_is_declared_once_with_its_option() -> None:
    settings = from_python()
    for name, option in options_of(RunOptions, ConnectionOptions).items():
        if hasattr(settings, name) and option.default is not None:
            assert getattr(settings, name) == option.parse(option.default), name
    declared = [field.name for field in dataclasses.fields(Settings) if field.default is not dataclasses.MISSING]
    assert declared == []


def test_every_option_parses_its_own_example_default_and_choices() -> None:
    for name, option in KNOWN.items():
        if option.example is not None:
            option.parse(option.example)
        if option.default is not None:
            option.parse(option.default)
        for choice in option.choices:
            option.parse(choice)
        assert option.described.rstrip("]"), name


def test_flag_goes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    file = tmp_path / "export.toml"
    file.write_text('rate = 2\nconcurrency = 2\ntimeout = 2\nstatus = ["paid", 7]\nstart = 2024-05-01\n')
    settings = made(
        sources.command_line({"rate": "4"}),
        sources.environment({"EXPORTER_RATE": "3", "EXPORTER_CONCURRENCY": "3", "EXPORTER_TIMEOUT": "", "OTHER": "9"}),
        sources.toml_file(file, KNOWN),
    )
    assert (settings.rate, settings.concurrency, settings.timeout, settings.max_attempts) == (4, 3, 2, 8)
    assert settings.filters.status == (3, 7)
    assert settings.start_asked == "2024-05-01T00:00:00+08:00"


@pytest.mark.parametrize(
    ("start", "end", "timezone", "asked"),
    [
        ("2024-02-28", "2024-02-29", None, ("2024-02-28T00:00:00+08:00", "2024-02-29T23:59:59+08:00")),
        ("2024-02-28", "2024-02-28", "Europe/Berlin", ("2024-02-28T00:00:00+01:00", "2024-02-28T23:59:59+01:00")),
        ("2024-07-01T10:00", "2024-07-01 11:00:01", "UTC", ("2024-07-01T10:00:00+00:00", "2024-07-01T11:00:01+00:00")),
        (
            "2024-07-01T10:00Z",
            "2024-07-01T10:00:00-03:30",
            None,
            ("2024-07-01T10:00:00+00:00", "2024-07-01T10:00:00-03:30"),
        ),
        # The hour that comes twice: a start means its first turn, an end its second.
        (
            "2024-10-27T02:30",
            "2024-10-27T02:30",
            "Europe/Berlin",
            ("2024-10-27T02:30:00+02:00", "2024-10-27T02:30:00+01:00"),
        ),
    ],
)
def test_times_are_read_with_their_offset_or_the_time_zone(
    start: str, end: str, timezone: str | None, asked: tuple[str, str]
) -> None:
    settings = from_python(start=start, end=end, timezone=timezone)
    assert (settings.start_asked, settings.end_asked) == asked
    assert settings.start == int(dt.datetime.fromisoformat(asked[0]).timestamp())
    assert settings.end == int(dt.datetime.fromisoformat(asked[1]).timestamp())


def test_python_takes_dates_and_times_as_such() -> None:
    settings = from_python(start=dt.date(2024, 1, 1), end=dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
    assert (settings.start_asked, settings.end_asked) == ("2024-01-01T00:00:00+08:00", "2024-01-02T03:04:05+00:00")


@pytest.mark.parametrize("labels", [STATUS_LABELS, TYPE_LABELS, PRODUCT_LABELS])
def test_every_code_is_known_by_number_and_by_every_label_in_any_case(labels: Any) -> None:
    read = parsers.Codes(labels)
    for table in labels.values():
        for code, label in table.items():
            spellings = [code, str(code), label, label.upper(), f" {label.lower()} ", label.replace(" ", "-"), [label]]
            assert {read(spelling) for spelling in spellings} == {(code,)}


def test_codes_may_be_joined_repeated_and_mixed() -> None:
    settings = from_flags(
        status=["paid,Refunded", "3", "待支付"], type=["购买"], product_type=["cloud phone", "AI-Credits"]
    )
    assert settings.filters.status == (1, 3, 7)
    assert settings.filters.type == (1,)
    assert settings.filters.product_type == (2, 11)


def test_texts_may_be_one_or_several() -> None:
    assert from_python(image_id="b").filters.image_ids == ("b",)
    assert from_flags(image_id=["b", "a", "b"]).filters.image_ids == ("a", "b")
    assert from_flags(image_id=["c, a", "b"]).filters.image_ids == ("a", "b", "c")


def test_flags_of_the_work_reach_the_settings() -> None:
    settings = from_flags(no_final_check=True, fresh="yes", overwrite=True, strict_values=True, allow_uncertified="1")
    assert not settings.final_check
    assert all((settings.fresh, settings.overwrite, settings.strict_values, settings.allow_uncertified))


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"rate": "fast"}, "--rate is 'fast': a number above zero is needed", "for example: --rate 1"),
        ({"rate": "0"}, "--rate is '0': a number above zero is needed", "for example: --rate 1"),
        ({"rate": "inf"}, "--rate is 'inf': a number above zero is needed", "for example: --rate 1"),
        (
            {"page_size": "501"},
            "--page-size is '501': a whole number from 1 to 500 is needed",
            "for example: --page-size 500",
        ),
        (
            {"concurrency": "0"},
            "--concurrency is '0': a whole number from 1 to 256 is needed",
            "for example: --concurrency 8",
        ),
        ({"windows": "1.5"}, "--windows is '1.5': a whole number from 1 to 256 is needed", "for example: --windows 4"),
        (
            {"start": "2024-13-01"},
            "--start is '2024-13-01': there is no such day in the calendar",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2024-02-30T12:00"},
            "--start is '2024-02-30T12:00': there is no such day in the calendar",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2024-02-28T25:00"},
            "--start is '2024-02-28T25:00': an ISO 8601 date, or date and time, is needed",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "yesterday"},
            "--start is 'yesterday': an ISO 8601 date, or date and time, is needed",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "0204-01-01"},
            "--start is '0204-01-01': a year from 1970 to 2100 is needed",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2024-01-01T00:00:00.5"},
            "--start is '2024-01-01T00:00:00.5': times go to the second here: fractions have no meaning for the API",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2026-03-02"},
            (
                "--start is '2026-03-02': that is in the future, and a range without an end goes up to now, "
                "2026-03-01 00:00:00+0000"
            ),
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2024-03-31T02:30", "timezone": "Europe/Berlin"},
            "--start is '2024-03-31T02:30': the clocks of Europe/Berlin were put forward then: there was no such time",
            "for example: --start 2024-01-31",
        ),
        (
            {"start": "2024-01-02", "end": "2024-01-01"},
            "--end is '2024-01-01': that is before the start, 2024-01-02T00:00:00+08:00",
            "for example: --end 2024-12-31T18:00:00+08:00",
        ),
        (
            {"status": ["piad"]},
            (
                "--status is 'piad': 'piad' is not one of 1 Unpaid, 2 Cancelled, 3 Paid, 4 Failed, 5 Finished, "
                "6 Expired, 7 Refunded (did you mean Paid?)"
            ),
            "for example: --status paid,finished",
        ),
        (
            {"status": ["paid", "piad"], "type": ["gift"]},
            (
                "--status is 'paid', 'piad': 'piad' is not one of 1 Unpaid, 2 Cancelled, 3 Paid, 4 Failed, 5 Finished, "
                "6 Expired, 7 Refunded (did you mean Paid?)"
            ),
            "for example: --status paid,finished",
        ),
        (
            {"timezone": "Asia/Beijing"},
            (
                "--timezone is 'Asia/Beijing': there is no time zone of this name (did you mean Asia/Shanghai?); "
                "an IANA name is needed"
            ),
            "for example: --timezone Europe/Berlin",
        ),
        (
            {"timezone": "Europe/Berlim"},
            (
                "--timezone is 'Europe/Berlim': there is no time zone of this name (did you mean Europe/Berlin?); "
                "an IANA name is needed"
            ),
            "for example: --timezone Europe/Berlin",
        ),
        (
            {"timezone": "+08:00"},
            "--timezone is '+08:00': the IANA name of a time zone is needed, not an offset",
            "for example: --timezone Europe/Berlin",
        ),
        (
            {"base_url": "openapi.duoplus.net"},
            (
                "--base-url is 'openapi.duoplus.net': scheme and host of the API are needed "
                "(http:// or https://, no user, no query)"
            ),
            "for example: --base-url https://openapi.duoplus.net",
        ),
        (
            {"base_url": "https://a.example", "site": "mainland"},
            "--base-url is 'https://a.example': a site was given too, and only one of the two can hold",
            "for example: --base-url https://openapi.duoplus.net",
        ),
        ({"lang": "fr"}, "--lang is 'fr': one of en, zh, zh-TW, ru is needed", "for example: --lang zh"),
        (
            {"compression": "zip"},
            "--compression is 'zip': one of zstd, snappy, gzip, lz4, none is needed",
            "for example: --compression snappy",
        ),
        (
            {"order_id": " "},
            "--order-id is ' ': a text that is not empty is needed",
            "for example: --order-id 202401010001",
        ),
        ({"patience": "-1"}, "--patience is '-1': a number of zero or more is needed", "for example: --patience 900"),
        (
            {"status": [["paid"], "gift"]},
            "--status is 'paid', 'gift': a label or a code is needed, or a list of them",
            "for example: --status paid,finished",
        ),
        (
            {"status": ""},
            (
                "--status is '': nothing is named, where at least one is needed of 1 Unpaid, 2 Cancelled, 3 Paid, "
                "4 Failed, 5 Finished, 6 Expired, 7 Refunded"
            ),
            "for example: --status paid,finished",
        ),
        ({"rate": {"eu": [1, "x"]}}, "--rate is eu = 1, 'x': a number above zero is needed", "for example: --rate 1"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed_and_an_example(
    options: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        from_flags(**options)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_an_error_names_the_option_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "export.toml"
    file.write_text("page-size = 501")
    tried = {
        "EXPORTER_PAGE_SIZE is '501'": (sources.environment({"EXPORTER_PAGE_SIZE": "501"}), "EXPORTER_PAGE_SIZE=500"),
        f"page-size in {file} is 501": (sources.toml_file(file, KNOWN), "page-size = 500"),
        "page_size= is 501": (sources.python({"page_size": 501}, KNOWN), "page_size=500"),
    }
    for start, (place, example) in tried.items():
        with pytest.raises(ConfigError) as caught:
            made(place)
        assert str(caught.value).startswith(start)
        assert caught.value.hint == f"for example: {example}"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("pagesize = 5", "has an unknown key: pagesize", "did you mean page-size?"),
        ("rate: 1", "is no TOML", "a line of it looks like: rate = 1"),
    ],
)
def test_a_wrong_file_of_settings_is_told(tmp_path: Path, content: str, message: str, hint: str) -> None:
    file = tmp_path / "export.toml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        sources.toml_file(file, KNOWN)
    assert caught.value.hint == hint


def test_a_file_of_settings_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        sources.toml_file(tmp_path / "none.toml", KNOWN)


def test_an_unknown_keyword_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no option statsu=") as caught:
        from_python(statsu="paid")
    assert caught.value.hint == "did you mean status=?"


def test_the_key_comes_from_argument_file_or_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\n")
    assert from_python(api_key="argument").api_key == Secret("argument")
    assert from_python(api_key_file=file).api_key == Secret("from-the-file")
    assert from_flags().api_key == Secret(KEY["DUOPLUS_API_KEY"])
    low = sources.environment({"EXPORTER_API_KEY_FILE": str(file)})
    assert made(sources.command_line({}), low).api_key == Secret(KEY["DUOPLUS_API_KEY"])
    assert made(sources.command_line({}), low, environ={}).api_key == Secret("from-the-file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no key"),
        ("two words", "characters that no key has"),
        ("ключ", "characters that no key has"),
        (None, "can't be read"),
    ],
)
def test_a_key_that_can_be_none_is_told_but_not_shown(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        from_flags(api_key_file=str(file))
    assert not content or content not in f"{caught.value} {caught.value.hint}"


def test_a_key_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        from_python(api_key=12345678)
    assert "12345678" not in str(caught.value)


def test_a_missing_key_is_told() -> None:
    with pytest.raises(ConfigError, match="there is no API key") as caught:
        made(sources.command_line({}), environ={})
    assert "DUOPLUS_API_KEY" in (caught.value.hint or "")


def test_no_representation_shows_the_key() -> None:
    assert KEY["DUOPLUS_API_KEY"] not in repr(from_python())
    assert Secret(KEY["DUOPLUS_API_KEY"]).masked == "…cdef"
    assert Secret("short").masked == "…"


def test_the_nearer_of_site_and_base_url_holds() -> None:
    flags, environment = sources.command_line, sources.environment
    by_site = made(flags({"site": "mainland"}), environment({"EXPORTER_BASE_URL": "http://localhost:1"}))
    assert by_site.base_url == "https://openapi.duoplus.cn"
    by_url = made(flags({"base_url": "http://localhost:1/"}), environment({"EXPORTER_SITE": "mainland"}))
    assert by_url.base_url == "http://localhost:1"


@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text())
    | st.dates()
    | st.datetimes()
)
def test_whatever_is_given_is_read_or_refused_in_words(value: object) -> None:
    for option in KNOWN.values():
        with contextlib.suppress(ValueError):
            option.parse(value)


def test_every_option_means_the_same_wherever_it_is_written(tmp_path: Path) -> None:
    examples = {name: option.example for name, option in KNOWN.items() if option.example is not None}
    file = tmp_path / "export.toml"
    file.write_text("\n".join(f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in examples.items()))
    texts = {name: str(value) for name, value in examples.items()}
    places = [
        sources.python(examples, KNOWN),
        sources.command_line(texts),
        sources.environment({f"EXPORTER_{name.upper()}": value for name, value in texts.items()}),
        sources.toml_file(file, KNOWN),
    ]
    first, *others = [sources.choose(KNOWN, place).values for place in places]
    assert all(values == first for values in others)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_key_file_that_others_can_read_is_a_warning(tmp_path: Path, mode: int, *, warned: bool) -> None:
    path = tmp_path / "key"
    path.write_text("file-key-1234567\n")
    path.chmod(mode)
    chosen = sources.choose(options_of(Options), sources.command_line({"api_key_file": str(path)}))
    found = list(sources.exposed(chosen, {}))
    assert [f"chmod 600 {path}" in one for one in found] == [True] * warned
    assert "file-key-1234567" not in str(found)
