"""Where teams run, and what of them travels there."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from exporter.config import sources
from exporter.config.cluster import Cluster, cluster_of
from exporter.config.options import ClusterOptions, options_of
from exporter.config.travel import Keyless, KeySource, check_sources
from exporter.errors import ConfigError, RejectedError
from tests.http.fake_transport import settings

KNOWN = options_of(ClusterOptions)


def chosen(flags: dict[str, object], environ: dict[str, str]) -> sources.Chosen:
    return sources.choose(KNOWN, sources.command_line(flags), sources.environment(environ))


@pytest.mark.parametrize(
    ("flags", "environ", "cluster"),
    [
        ({}, {}, None),
        ({"workers": "1"}, {}, None),
        ({"workers": "3"}, {}, Cluster(workers=3)),
        ({"scheduler": "tcp://a:1"}, {}, Cluster(scheduler="tcp://a:1")),
        ({"scheduler": "tcp://a:1"}, {"EXPORTER_WORKERS": "3"}, Cluster(scheduler="tcp://a:1")),
        ({"workers": "3"}, {"EXPORTER_SCHEDULER": "tcp://a:1"}, Cluster(workers=3)),
        ({"workers": "1"}, {"EXPORTER_SCHEDULER": "tcp://a:1"}, None),
    ],
)
def test_of_workers_and_a_scheduler_the_nearer_to_the_user_holds(
    flags: dict[str, object], environ: dict[str, str], cluster: Cluster | None
) -> None:
    assert cluster_of(chosen(flags, environ), teams=True) == cluster


@pytest.mark.parametrize(
    ("flags", "said"),
    [({"workers": "2"}, "--workers is '2': workers share"), ({"scheduler": "a:1"}, "--scheduler is 'a:1': workers")],
)
def test_workers_need_teams(flags: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        cluster_of(chosen(flags, {}), teams=False)
    assert cluster_of(chosen({"workers": "1"}, {}), teams=False) is None


def test_both_in_one_place_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="only one of the two can hold"):
        cluster_of(chosen({"workers": "2", "scheduler": "a:1"}, {}), teams=True)


def test_what_travels_has_no_key_and_what_has_a_key_does_not_travel() -> None:
    made = settings(api_key="the-secret-key-1234")
    sent = pickle.dumps(Keyless.of(made, KeySource(variable="BERLIN_KEY")))
    assert b"the-secret-key" not in sent
    arrived: Keyless = pickle.loads(sent)
    assert arrived.with_key({"BERLIN_KEY": " the-secret-key-1234\n"}) == made
    assert arrived.with_key({"BERLIN_KEY": "k"}, fresh=True).fresh
    with pytest.raises(TypeError, match="a key is never pickled"):
        pickle.dumps(made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: No such file"),
        ("", "there is no API key in"),
        ("two words", "characters that no key has"),
    ],
)
def test_a_key_that_is_not_where_it_should_be_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=said) as raised:
        KeySource(file=file).read({})
    assert str(file) in str(raised.value)
    with pytest.raises(ConfigError, match="there is no API key in the variable KEY"):
        KeySource(variable="KEY").read({"KEY": " "})


def test_two_teams_with_one_place_of_a_key_are_refused() -> None:
    def team(**changes: Any) -> Keyless:
        return Keyless.of(settings(**changes), KeySource(variable="KEY"))

    check_sources({"a": team(), "b": team(base_url="http://127.0.0.1:1")})
    with pytest.raises(ConfigError, match="teams a and b have the same key, the variable KEY"):
        check_sources({"a": team(), "b": team()})


def test_errors_arrive_as_they_left() -> None:
    left = RejectedError("no", code=160007, text="unknown path", hint="look")
    arrived = pickle.loads(pickle.dumps(left))
    assert type(arrived) is RejectedError
    assert (str(arrived), arrived.code, arrived.text, arrived.hint) == ("no", 160007, "unknown path", "look")
    assert arrived.__notes__ == left.__notes__
