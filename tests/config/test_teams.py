"""Files of teams: what is refused, and what overrides what."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from exporter.config import sources, teams
from exporter.config.options import Options, OutputOptions, Settings, options_of
from exporter.errors import ConfigError

KNOWN = options_of(Options, OutputOptions)
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def settings_in(
    path: Path, *, only: tuple[str, ...] = (), flags: dict[str, object] | None = None
) -> dict[str, Settings]:
    environ = {"BERLIN_KEY": "key-of-berlin-1234", "SAME": "key-of-berlin-1234", "EMPTY": ""}
    options = sources.choose(KNOWN, sources.command_line(flags or {}), sources.toml_file(path, KNOWN))
    found = teams.choose(options, teams.tables_in(path), config=path, environ=environ, only=only)
    made = {name: teams.settings_of(*each, team=name, now=NOW) for name, each in found.items()}
    teams.check_keys(made)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "shanghai").write_text("key-of-shanghai-5678\n")
    return tmp_path / "teams.toml"


GOOD = """
rate = 2
start = "2024-01-01"
[teams.berlin]
api-key-env = "BERLIN_KEY"
[teams.shanghai]
api-key-file = "keys/shanghai"
site = "mainland"
lang = "zh"
rate = 5
"""


def test_a_table_overrides_the_file_and_a_flag_overrides_both(path: Path) -> None:
    path.write_text(GOOD)
    made = settings_in(path)
    assert [one.rate for one in made.values()] == [2, 5]
    assert (made["berlin"].language, made["shanghai"].language) == ("en", "zh")
    assert made["shanghai"].base_url.endswith(".cn")
    assert made["shanghai"].api_key.reveal() == "key-of-shanghai-5678"
    assert made["berlin"].api_key.reveal() == "key-of-berlin-1234"
    assert [one.rate for one in settings_in(path, flags={"rate": "9"}).values()] == [9, 9]
    assert list(settings_in(path, only=("sh*",))) == ["shanghai"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\nrat=1', "team berlin: unknown key rat"),
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\nfresh=true', "team berlin: unknown key fresh"),
        ('[teams.berlin]\nlang="zh"', "team berlin: no key"),
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\napi-key-file="keys/shanghai"', "berlin: two sources of its key"),
        ('[teams.berlin]\napi-key-env="NOT_SET"', "team berlin: the variable NOT_SET is not set"),
        ('[teams.berlin]\napi-key-env="EMPTY"', "team berlin: the variable EMPTY is not set"),
        ('[teams.berlin]\napi-key-file="keys/none"', "team berlin: "),
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\nlang="tlh"', "team berlin: lang is "),
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\n[teams.b]\napi-key-env="SAME"', "berlin and b have the same key"),
        ('[teams.berlin]\napi-key-env="BERLIN_KEY"\n[teams.Berlin]\napi-key-env="SAME"', "Berlin: differs from berlin"),
        ('[teams.".b"]\napi-key-env="BERLIN_KEY"', "team '.b': a name is"),
        ('[teams."a/b"]\napi-key-env="BERLIN_KEY"', "team 'a/b': a name is"),
        ("teams = 3", "is no table"),
        ("[teams]\nberlin = 3", "team berlin: it is no table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_teams_name(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        settings_in(path)
    assert said in str(raised.value)
    assert "key-of-berlin" not in f"{raised.value}{raised.value.hint}"


def test_a_pattern_that_matches_no_team_is_refused(path: Path) -> None:
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match="--only tokyo matches no team") as raised:
        settings_in(path, only=("tokyo",))
    assert raised.value.hint == "teams are berlin, shanghai"


def test_one_key_file_for_all_teams_is_refused(path: Path) -> None:
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match="one key file for all teams"):
        settings_in(path, flags={"api_key_file": "keys/shanghai"})


def test_the_key_of_a_team_that_is_not_chosen_need_not_be_there(path: Path) -> None:
    path.write_text(GOOD + '[teams.tokyo]\napi-key-env="NOT_SET"\n')
    assert list(settings_in(path, only=("berlin",))) == ["berlin"]
