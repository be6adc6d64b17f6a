"""The sample responses of the vendor's documents, character for character but for comments and a trailing comma."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import main
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.world import World
from tests.simulator.asking import NOON, ask

FIXTURES = Path(__file__).parents[1] / "fixtures"


def sample(language: str) -> dict[str, Any]:
    response: dict[str, Any] = json.loads((FIXTURES / f"sample_{language}.json").read_text(encoding="utf-8"))
    return response


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_world_holds_the_sample_records_as_they_are(language: str) -> None:
    listed = sample(language)["data"]["list"]
    world = World.holding(listed, now=NOON)
    assert ask(world, language=language)["list"] == listed == world.oracle(language=language)


def test_a_world_answers_with_the_whole_english_sample() -> None:
    world = World.holding(sample("en")["data"]["list"], now=NOON)
    body = {"created_at_start": "2026-02-10T00:00:00+08:00", "created_at_end": "2026-03-18T23:59:59+08:00"}
    body |= {"sort_by": "created_at", "order": "asc"}
    assert world.response({**body, "page": 1, "pagesize": 200}) == sample("en")


def test_the_filters_of_the_example_find_their_sample_record() -> None:
    world = World.holding(sample("zh")["data"]["list"], now=NOON)
    renewals = ask(world, language="zh", status=["1", "2"], product_type=["2"], type=["1"])
    assert [record["status"] for record in renewals["list"]] == ["待支付"]


@pytest.mark.parametrize("whole", [True, False], ids=["a response", "a list"])
def test_records_of_a_file_are_served_as_they_are(tmp_path: Path, *, whole: bool) -> None:
    file = tmp_path / "records.json"
    listed = sample("zh")["data"]["list"]
    file.write_text(json.dumps(sample("zh") if whole else listed[::-1]), encoding="utf-8")
    world = World.of(SimulatorOptions(records=file, end="2026-03-19"))
    assert ask(world, language="zh")["list"] == listed


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "can't be read: No such file"),
        ("[1", "is not JSON"),
        ("[1]", "is neither a list of records"),
        ('[{"order_id": "1"}]', "is neither a list of records"),
        ('{"code": 160004, "message": "too frequent"}', "is neither a list of records"),
        ('{"data": null}', "is neither a list of records"),
        ('[{"created_at": "yesterday"}]', "yesterday"),
        ('[{"created_at": 5}]', "created_at is 5"),
    ],
)
def test_a_file_without_records_is_an_error_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    file = tmp_path / "records.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert main(["simulate", "--records", str(file)]) == 2
    assert said in capsys.readouterr().err
