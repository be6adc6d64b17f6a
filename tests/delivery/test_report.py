"""The page: whole, harmless, small whatever the data, and of the same bytes for the same result."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter.cli import main
from exporter.delivery import report
from exporter.delivery.report import MOST_BYTES, page_of, write
from exporter.delivery.report.tables import FULL
from exporter.errors import CertificateError, ConfigError
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.vendor.orders import wire_time
from tests.delivery.html_pages import Page
from tests.delivery.results import LONG, SCRIPT, hostile_records, result_of, with_manifest
from tests.store.orders import BEGIN, records

PLAIN = [replace(FULL, pictures=False)]
"""A page without pictures, which take most of its time."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[exporter.Result]:
    with serving_apart(SimulatorOptions(rows=3_000, seed=3)) as url:
        out = tmp_path_factory.mktemp("report") / "orders"
        yield exporter.run(out, base_url=url, api_key="simulator", rate=900, segment_pages=2)


@pytest.fixture(scope="module")
def page(result: exporter.Result) -> Page:
    return Page(page_of([(None, result)]).decode())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> exporter.Result:
    return result_of(tmp_path_factory.mktemp("hostile") / "orders<b>", hostile_records())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> exporter.Result:
    return result_of(tmp_path_factory.mktemp("small") / "orders", records(200, seconds=60))


def assert_harmless(page: Page) -> None:
    """The page runs nothing, fetches nothing, and has no style but the one that its policy names."""
    forbidden = {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "img",
        "base",
        "form",
        "input",
        "foreignobject",
        "image",
    }
    for element in page.elements():
        assert element.tag not in forbidden
        for name, value in element.attributes.items():
            assert name != "style"
            assert not name.startswith("on")
            if name in {"href", "src"}:
                assert value is not None
                assert value.startswith("#")
    (style,) = page.root.all("style")
    digest = base64.b64encode(hashlib.sha256(style.content.encode()).digest()).decode()
    (policy,) = (one for one in page.root.all("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style.content
    assert "@import" not in style.content


def test_the_page_has_its_sections_in_order(page: Page) -> None:
    headings = [one.content for one in page.elements() if one.tag in {"h1", "h2"}]
    assert headings == [
        "Completeness report",
        "Complete and certified",
        "Orders and money by month and currency",
        "By type and status",
        "Certificates along time",
        "Pace and requests",
        "What only _extra holds",
        "Files, and how to check them without this tool",
    ]


def test_the_page_is_harmless_and_made_for_keyboard_and_screen_reader(page: Page) -> None:
    assert_harmless(page)
    ids = [one.attributes["id"] for one in page.elements() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements():
        for name in (element.attributes.get("aria-labelledby") or "").split():
            assert name in ids
        if (element.attributes.get("href") or "").startswith("#"):
            assert element.attributes["href"].removeprefix("#") in ids  # type: ignore[union-attr]
    assert page.root.all("html")[0].attributes["lang"] == "en"
    assert len(page.root.all("main")) == 1
    levels = [int(one.tag[1]) for one in page.elements() if re.fullmatch("h[1-6]", one.tag)]
    assert all(after <= before + 1 for before, after in zip([0, *levels], levels, strict=False))
    for table in page.root.all("table"):
        assert table.all("caption")[0].content.strip()
        assert all(cell.attributes.get("scope") in {"col", "row"} for cell in table.all("th"))
    pictures = page.root.all("figure")
    assert len(pictures) == 7  # orders, three currencies, kinds, certificates, pace
    for picture in pictures:
        (svg,) = picture.all("svg")
        assert svg.attributes["role"] == "img"
        assert len(svg.all("title")[0].content) > 5
        assert len(svg.all("desc")[0].content) > 20
        assert svg.all("path")


def test_the_certificates_on_the_page_are_the_manifests(page: Page, result: exporter.Result) -> None:
    rows = page.table("All spans in order of time, with the totals that the server stated")
    segments = result.manifest["segments"]
    assert len(segments) > 3
    assert [(row[0].replace(" ", "T"), row[1].replace(" ", "T"), row[2], row[4], row[5]) for row in rows] == [
        (one["start"], one["stop"], f"{one['rows']:,}", f"{one['requests']:,}", one["way"]) for one in segments
    ]


def test_pace_and_requests_are_those_of_the_run(page: Page, result: exporter.Result) -> None:
    run = result.manifest["run"]
    assert (run["rate"], run["requests"] > 5) == (900, True)
    assert 0 < run["sending_seconds"] <= run["elapsed_seconds"]
    assert 0 < run["latency_seconds"] < 5
    share = (run["requests"] - 1) / (run["sending_seconds"] * 900)
    facts = {
        one.all("dt")[0].content: one.all("dd")[0].content
        for one in page.root.all("div")
        if one.all("dt") and len(one.all("dt")) == 1
    }
    assert facts["Allowed rate"].startswith("900")
    assert facts["Share of the rate used"] == f"{share:.1%}"
    assert facts["Duration of the last run"] == f"{run['elapsed_seconds']:.1f} s"


def test_the_checksums_hold_by_the_command_that_the_page_shows(page: Page, result: exporter.Result) -> None:
    command = next(one.content for one in page.root.all("pre") if "sha256sum" in one.content)
    done = subprocess.run(["bash", "-c", command], cwd=result.out, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["part-00000.parquet: OK", "_manifest.json: OK"]


def test_the_query_that_the_page_shows_gives_the_money_that_it_shows(page: Page, result: exporter.Result) -> None:
    import duckdb

    query = next(one.content for one in page.root.all("pre") if "SELECT" in one.content)
    with duckdb.connect() as connection:
        rows = connection.sql(query).fetchall()
    shown = page.table("All periods, by currency")
    assert [(row[0], row[1].replace(",", ""), row[5].replace(",", "")) for row in shown] == [
        (currency, str(orders), f"{net:.2f}") for currency, orders, net in rows
    ]


def test_the_same_result_gives_the_same_page(result: exporter.Result, page: Page) -> None:
    assert page_of([(None, result)]) == page_of([(None, exporter.open(result.out))])


def test_hostile_texts_are_shown_as_texts(hostile: exporter.Result) -> None:
    content = page_of([("<team>", hostile)])
    assert len(content) < 400_000
    page = Page(content.decode())
    assert_harmless(page)
    for character in "\u202e\u2066\x07\x1b":
        assert character not in content.decode()
    products = [row[0] for row in page.table("Net by product, as the orders word it")]
    assert SCRIPT in products
    assert "invoice ⟨U+202E⟩gnp.exe⟨U+2066⟩ ⟨U+0007⟩⟨U+001B⟩[31m" in products
    assert any(name.startswith("mmmm") and "1,000,000 characters" in name for name in products)
    assert any("{{ 7 * 7 }}" in name for name in products)
    assert LONG[:1000] not in content.decode()


def test_many_teams_and_many_segments_stay_below_the_limit(small: exporter.Result) -> None:
    segment = small.manifest["segments"][0]
    many = [
        {
            **segment,
            "start": wire_time(BEGIN + at),
            "stop": wire_time(BEGIN + at + 1),
            "reason": "the total changed while it was asked" if at % 3 else None,
        }
        for at in range(20_000)
    ]
    parts = [{**small.manifest["parts"][0], "name": f"part-{number:05}.parquet"} for number in range(3_000)]
    large = with_manifest(small, segments=many, parts=parts)
    content = page_of([(None, large)])
    assert 200_000 < len(content) <= MOST_BYTES
    teams = page_of([(f"team-{number}", small) for number in range(250)])
    assert b'<section class="team"' in teams
    assert len(teams) <= MOST_BYTES
    names = [row[0] for row in Page(teams.decode()).table("The teams")]
    assert names == [*(f"team-{number}" for number in range(250)), "All"]


def test_a_page_without_room_for_sections_lists_the_teams(
    small: exporter.Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_BYTES", 20_000)
    monkeypatch.setattr(report, "MOST_LISTED", 4)
    page = Page(page_of([(f"team-{number}", small) for number in range(6)], details=PLAIN).decode())
    assert_harmless(page)
    assert [row[0] for row in page.table("The teams")] == ["team-0", "team-1", "team-2", "team-3", "All"]
    assert "the first 4 are listed" in page.root.content
    assert "By type and status" not in page.root.content


def test_a_page_of_teams_has_a_summary_and_a_section_for_each(result: exporter.Result, small: exporter.Result) -> None:
    failed = with_manifest(
        small, missing=[{"start": wire_time(BEGIN), "stop": wire_time(BEGIN + 9)}], run={"complete": False}
    )
    page = Page(page_of([("berlin", result), ("shanghai", failed)], details=PLAIN).decode())
    assert_harmless(page)
    rows = page.table("The teams")
    assert [row[:3] for row in rows] == [
        ["berlin", "✓ certified", "3,000"],
        ["shanghai", "✗ not complete", "200"],
        ["All", "", "3,200"],
    ]
    assert [one.content for one in page.root.all("h2")][1:] == ["berlin", "shanghai"]
    assert "1 of 2 teams are complete and certified" in page.root.content
    assert "1 span(s) of the range have no certificate" in page.root.content
    ids = [one.attributes["id"] for one in page.elements() if "id" in one.attributes]
    assert len(ids) == len(set(ids))


def test_kept_repaired_and_missing_spans_and_changes_are_marked(result: exporter.Result) -> None:
    first, second, third, *rest = result.manifest["segments"]
    kept = {**first, "confirmed": {"time": "2026-01-05T00:00:00+08:00", "counts": {}}}
    repaired = {**second, "way": "halves", "reason": "the records did not come in order of time"}
    missing = [{"start": third["start"], "stop": third["stop"]}]
    run = {**result.manifest["run"], "added": 12, "changed": 3, "vanished": 1, "segments_kept": 4}
    changed = with_manifest(result, segments=[kept, repaired, *rest], missing=missing, run=run)
    page = Page(page_of([(None, changed)]).decode())
    rows = page.table("All spans in order of time, with the totals that the server stated")
    assert [(row[5], row[6]) for row in rows[:3]] == [
        ("kept", "confirmed 2026-01-05T00:00:00+08:00"),
        ("halves", "repaired: the records did not come in order of time"),
        ("missing", ""),
    ]
    assert len(page.table("Repaired spans and spans without certificate")) == 2
    headings = [one.content for one in page.root.all("h2")]
    assert headings[0] == "Not complete: not all of it is certified"
    assert "Changes since the export before" in headings
    colours = {one.attributes.get("fill") for one in page.elements()}
    assert {"var(--kept)", "var(--halves)", "var(--alarm)"} <= colours


def test_a_manifest_of_an_older_version_has_no_facts_of_pace(small: exporter.Result) -> None:
    run = {name: value for name, value in small.manifest["run"].items() if name not in PACE}
    content = Page(page_of([(None, with_manifest(small, run=run))], details=PLAIN).decode()).root.content
    assert "Refused for pace" in content
    assert "Share of the rate used" not in content


PACE = {"rate", "elapsed_seconds", "sending_seconds", "latency_seconds"}


def test_a_result_without_orders_has_a_page(tmp_path: Path) -> None:
    page = Page(page_of([(None, result_of(tmp_path / "none", []))]).decode())
    assert "0 orders from" in page.root.content
    assert_harmless(page)


@pytest.mark.parametrize(
    ("file", "message"),
    [("orders/page.html", "is inside"), ("page.txt", "no name for a page"), ("sub.html", "a folder")],
)
def test_a_page_is_put_nowhere_where_it_would_harm(
    file: str, message: str, small: exporter.Result, tmp_path: Path
) -> None:
    shutil.copytree(small.out, tmp_path / "orders")
    (tmp_path / "sub.html").mkdir()
    with pytest.raises(ConfigError, match=message):
        write([(None, exporter.open(tmp_path / "orders"))], tmp_path / file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["orders", "sub.html"]


def test_no_page_is_written_of_a_result_that_was_changed(small: exporter.Result, tmp_path: Path) -> None:
    shutil.copytree(small.out, tmp_path / "orders")
    part = tmp_path / "orders" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[100] ^= 1
    part.write_bytes(content)
    with pytest.raises(CertificateError, match="its bytes were changed"):
        write([(None, exporter.open(tmp_path / "orders"))], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def run_report(capsys: pytest.CaptureFixture[str], *tokens: str, code: int = 0) -> Any:
    assert main(["report", *tokens]) == code
    return capsys.readouterr()


def test_the_command_writes_the_page_beside_out(
    small: exporter.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small.out, tmp_path / "orders")
    monkeypatch.chdir(tmp_path)
    assert run_report(capsys, "orders/").out.startswith("orders.html: 200 orders, complete and certified, ")
    facts = json.loads(run_report(capsys, "orders", "--output", "audit.html", "--json").out)
    assert (facts["report"], facts["complete"]) == ("audit.html", True)
    assert facts["bytes"] == (tmp_path / "audit.html").stat().st_size
    assert (tmp_path / "audit.html").read_bytes() == (tmp_path / "orders.html").read_bytes().replace(
        b"orders/", b"orders/"
    )
    assert "there is no finished export" in run_report(capsys, "nothing", code=5).err


def test_the_command_shows_all_teams_of_a_folder(
    small: exporter.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for team in ("berlin", "shanghai"):
        shutil.copytree(small.out, tmp_path / "orders" / f"team={team}")
    monkeypatch.chdir(tmp_path)
    facts = json.loads(run_report(capsys, "orders", "--json").out)
    assert (facts["rows"], facts["complete"]) == (400, True)
    rows = Page((tmp_path / "orders.html").read_text(encoding="utf-8")).table("The teams")
    assert [row[0] for row in rows] == ["berlin", "shanghai", "All"]
    assert "is inside" in run_report(capsys, "orders", "--output", "orders/page.html", code=2).err


def test_the_command_names_the_extra_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, small: exporter.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("exporter.delivery.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    error = run_report(capsys, str(small.out), code=2).err
    assert "a report needs matplotlib" in error
    assert "pip install jinja2 matplotlib" in error
