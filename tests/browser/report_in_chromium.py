"""The report as Chromium shows it: `make test-browser`.

The file's name keeps it out of `make test`, which needs no browser. What it looks like is left in build/browser/.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
import pytest_asyncio

import exporter
from exporter.delivery.report import write
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.simulator.quirks import Quirks
from tests.browser.chromium import Tab, browser
from tests.delivery.results import hostile_records, result_of

PICTURES = Path(__file__).parents[2] / "build" / "browser"
WORLD = SimulatorOptions(
    rows=20_000, seed=5, ties=40, shape="bursty", quirks=Quirks(inserts=(9, 18, 27), changes=(5, 8))
)
TABLE = """caption => [...[...document.querySelectorAll("table")]
    .find(table => table.caption.textContent === caption).querySelectorAll("tbody tr")]
    .map(row => [...row.cells].map(cell => cell.textContent.trim()))"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[exporter.Result]:
    with serving_apart(WORLD) as url:
        out = tmp_path_factory.mktemp("browser") / "orders"
        yield exporter.run(out, base_url=url, api_key="simulator", rate=1e6, segment_pages=3)


@pytest.fixture(scope="module")
def page(result: exporter.Result) -> Path:
    file = result.out.with_name("report.html")
    write([(None, result)], file)
    return file


@pytest_asyncio.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser() as opened:
        await opened.resize(1280, 900)
        yield opened


async def table(tab: Tab, caption: str) -> list[list[str]]:
    rows: list[list[str]] = await tab.value(f"({TABLE})({caption!r})")
    return rows


async def test_it_opens_without_a_complaint_and_asks_for_nothing(tab: Tab, page: Path) -> None:
    await tab.open(page)
    await tab.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tab.complaints == []
    assert tab.requests == [page.as_uri()]
    assert await tab.value("document.scripts.length") == 0


async def test_its_policy_forbids_scripts_styles_and_requests(tab: Tab, page: Path) -> None:
    """The counterpart of the test before: what it forbids would be heard."""
    await tab.open(page)
    await tab.value(
        """(() => {
            document.body.insertAdjacentHTML("beforeend", '<p id="styled" style="color: rgb(1, 2, 3)">styled</p>');
            const script = document.createElement("script");
            script.textContent = "document.title = 'run'";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/picture.png";
            document.body.append(image);
            return new Promise(done => image.addEventListener("error", () => done(1)));
        })()"""
    )
    assert len(tab.complaints) == 3, tab.complaints
    assert all("Content Security Policy" in complaint for complaint in tab.complaints)
    assert await tab.value("document.title") != "run"
    assert await tab.value("getComputedStyle(document.getElementById('styled')).color") != "rgb(1, 2, 3)"


async def test_its_pictures_are_there_in_the_pages_colours(tab: Tab, page: Path) -> None:
    await tab.open(page)
    boxes = await tab.value(
        """[...document.querySelectorAll("figure svg")].map(svg => {
            const box = svg.getBoundingClientRect();
            const fills = [...svg.querySelectorAll("path, use")].map(path => getComputedStyle(path).fill);
            return [box.width, box.height, new Set(fills).size, svg.querySelectorAll("text").length];
        })"""
    )
    assert len(boxes) == 7
    assert all(width > 400 and height > 100 and fills > 1 and texts > 4 for width, height, fills, texts in boxes), boxes
    orders = "getComputedStyle(document.querySelector('#s1-time ~ figure svg [fill=\"var(--orders)\"]')).fill"
    assert await tab.value(orders) == "rgb(59, 111, 181)"
    await tab.dark(on=True)
    assert await tab.value(orders) == "rgb(109, 159, 224)"
    assert await tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(17, 22, 29)"


async def test_its_figures_are_those_of_duckdb(tab: Tab, page: Path, result: exporter.Result) -> None:
    await tab.open(page)
    source = f"read_parquet('{result.out}/*.parquet')"
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'Asia/Shanghai'")
        months = connection.sql(
            f"""SELECT currency, strftime(created_at, '%Y-%m') AS month, count(*), sum(greatest(total, 0)),
            sum(least(total, 0)), sum(total) FROM {source} GROUP BY ALL ORDER BY month"""
        ).fetchall()
        kinds = connection.sql(f"SELECT type, status, count(*) FROM {source} GROUP BY ALL").fetchall()
    for currency in ("USD", "CNY", "EUR"):
        shown = await table(tab, f"{currency} by month")
        exact = [(row[0], int(row[1].replace(",", "")), *map(amount, row[2:])) for row in shown if row[1] != "0"]
        assert exact == [row[1:] for row in months if row[0] == currency]
    heads = await tab.value("[...document.querySelectorAll('#s1-kinds ~ thead th')].map(cell => cell.textContent)")
    shown = await table(tab, "Orders by type and status")
    counted = {
        (row[0], status): int(count.replace(",", ""))
        for row in shown
        for status, count in zip(heads[1:-1], row[1:-1], strict=True)
        if count != "0"
    }
    assert counted == {(kind, status): count for kind, status, count in kinds}


def amount(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


async def test_hostile_texts_do_nothing(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "hostile.html"
    write([("<b>team</b>", result_of(tmp_path / "orders", hostile_records()))], file)
    await tab.open(file)
    assert tab.complaints == []
    assert tab.requests == [file.as_uri()]
    assert (await tab.value("document.title")).startswith("Order export: ")
    assert await tab.value("document.querySelectorAll('script, img, b, main style').length") == 0
    products = [row[0] for row in await table(tab, "Net by product, as the orders word it")]
    assert any("<script>" in name for name in products)


async def test_a_narrow_window_never_scrolls_sideways(tab: Tab, page: Path) -> None:
    await tab.resize(360, 740)
    await tab.open(page)
    assert await tab.value("document.documentElement.scrollWidth") <= 360


async def test_it_is_read_and_walked_without_a_mouse(tab: Tab, page: Path) -> None:
    await tab.open(page)
    for kind in ("keyDown", "keyUp"):
        await tab.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert await tab.value("document.activeElement.textContent") == "To the content"
    assert await tab.value("document.activeElement.getBoundingClientRect().left") >= 0
    nodes = (await tab.send("Accessibility.getFullAXTree"))["nodes"]
    roles = [(node.get("role", {}).get("value"), node.get("name", {}).get("value", "")) for node in nodes]
    assert sum(role == "main" for role, _ in roles) == 1
    assert ("navigation", "Sections") in roles
    images = [name for role, name in roles if role in {"img", "image"} and len(name) > 5]
    assert len(images) >= 7
    assert all(name for role, name in roles if role in {"table", "region", "link", "heading"})


async def test_an_auditors_print_has_few_pages(tab: Tab, page: Path) -> None:
    await tab.open(page)
    await tab.dark(on=True)  # paper is white all the same
    content = await tab.printed()
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "report.pdf").write_bytes(content)
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 7


async def test_what_it_looks_like_is_kept_for_a_look(tab: Tab, page: Path) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    await tab.open(page)
    for name, dark in (("light", False), ("dark", True)):
        await tab.dark(on=dark)
        picture = await tab.screenshot(captureBeyondViewport=True)
        (PICTURES / f"report-{name}.png").write_bytes(picture)
        assert len(picture) > 50_000
