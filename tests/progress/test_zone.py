"""Times are shown in the zone that the user asked for, whatever text they are in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from exporter.events import Repaired
from exporter.progress.reporter import ProgressReporter, log
from exporter.progress.text import API_TIMEZONE, in_zone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "[2026-01-01T00:00:00+08:00, 2026-07-01T12:30:00+08:00)",
            "[2025-12-31T17:00:00+01:00, 2026-07-01T06:30:00+02:00)",
        ),
        ("at 2023-11-15T06:13:20.250000+08:00.", "at 2023-11-14T23:13:20.250000+01:00."),
        ("beyond: 0001-01-01T00:00:00+08:00", "beyond: 0001-01-01T00:00:00+08:00"),
        ("no day: 2026-02-30T00:00:00+08:00", "no day: 2026-02-30T00:00:00+08:00"),
        ("process 7, since 2026-01-01T00:00:00+00:00", "process 7, since 2026-01-01T00:00:00+00:00"),
    ],
)
def test_moments_of_the_api_are_moved_and_all_else_stays(text: str, shown: str) -> None:
    assert in_zone(text, "Europe/Berlin") == shown
    assert in_zone(text, API_TIMEZONE) == text


def test_messages_log_and_repairs_are_in_the_zone(tmp_path: Path) -> None:
    shown: list[str] = []

    class Recorder:
        def show(self, *_: object) -> None: ...
        def close(self) -> None: ...
        def say(self, text: str) -> None:
            shown.append(text)

    reporter = ProgressReporter(Recorder(), log_file=tmp_path / "log", timezone="UTC")
    reporter(Repaired(start=1_767_196_800, stop=1_767_196_860, reason="ties", by="seek"))
    assert shown == ["repaired [2025-12-31T16:00:00+00:00, 2025-12-31T16:01:00+00:00) by seek: ties"]
    assert reporter.repairs == [shown[0].removeprefix("repaired ")]
    assert shown[0] in (tmp_path / "log").read_text()


def test_a_new_log_is_private_and_one_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "old").touch(mode=0o644)
    for name in ("new", "old"):
        log(tmp_path / name, "it began")
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")}
    assert modes == {"new": 0o600, "old": 0o644}
