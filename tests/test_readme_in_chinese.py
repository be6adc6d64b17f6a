"""The Chinese README says what the English one says: the same examples, options, commands, exit codes and hints."""

from __future__ import annotations

import json
import re
from itertools import takewhile
from pathlib import Path

import pytest

import exporter
from exporter.cli import app
from exporter.config import sources
from exporter.simulator import Quirks, SimulatorOptions
from exporter.simulator.child_process import serving_apart
from exporter.vendor.orders import SITES

ROOT = Path(__file__).parent.parent
NAMES = ("README.md", "README.zh-CN.md")
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in NAMES)
SAMPLE = ROOT / "tests" / "fixtures" / "sample_zh.json"
BLOCK = re.compile(r"^```\w+\n.*?^```$", re.MULTILINE | re.DOTALL)
DEFAULTS = {
    "all": "全部",
    "automatic": "自动",
    "none": "无",
    "the moment of the first start, less --settle": "首次启动的时刻减去 `--settle`",
    "the site's": "所选站点的地址",
}


def table(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading this is."""
    rows = takewhile(lambda line: line.startswith("|"), text.partition(f"\n| {heading} |")[2].splitlines()[1:])
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in [*rows][1:]]


def test_each_begins_with_a_link_to_the_other() -> None:
    assert ENGLISH.splitlines()[0] == "[简体中文](README.zh-CN.md)"
    assert CHINESE.splitlines()[0] == "[English](README.md)"


def test_the_chinese_readme_has_every_section_and_one_on_the_mainland_sample() -> None:
    english, chinese = (re.findall(r"^## (.+)$", text, re.MULTILINE) for text in (ENGLISH, CHINESE))
    assert "官方示例：国内站" in chinese
    assert len(chinese) == len(english) + 1
    assert all(re.search(r"[\u4e00-\u9fff]", heading) for heading in chinese)


def test_every_example_of_the_english_readme_is_in_the_chinese_one_in_its_order() -> None:
    examples = BLOCK.findall(CHINESE)
    places = [examples.index(example) for example in BLOCK.findall(ENGLISH)]
    assert places == sorted(places)
    assert len(places) > 10


def test_both_tell_the_same_options_with_the_same_defaults() -> None:
    english, chinese = table(ENGLISH, "option"), table(CHINESE, "选项")
    assert [row[0] for row in chinese] == [row[0] for row in english]
    assert len(chinese) > 25
    for (option, told), (_, translated) in zip(english, chinese, strict=True):
        default = re.search(r"\[default: (.+)\]$", told)
        shown = re.search(r"\[默认：(.+)\]$", translated)
        assert (shown and shown[1]) == (default and DEFAULTS.get(default[1], default[1])), option


@pytest.mark.parametrize(
    ("english", "chinese"),
    [("exit", "退出码"), ("hint", "提示（hint）"), ("needed", "依赖"), ("column", "列")],
)
def test_both_have_the_same_rows(english: str, chinese: str) -> None:
    rows = [row[0] for row in table(ENGLISH, english)]
    assert [row[0] for row in table(CHINESE, chinese)] == rows
    assert len(rows) > 6


def test_the_chinese_readme_names_every_command() -> None:
    for name in app.resolved_commands():
        if not name.startswith("-"):
            assert re.search(rf"`{name}\b|exporter {name}\b", CHINESE), name


def test_every_hint_that_is_documented_is_one_that_is_given() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "exporter").rglob("*.py"))
    hints = [row[0].strip("`") for row in table(ENGLISH, "hint")]
    assert [hint for hint in hints if hint not in sources] == []


def test_the_links_of_both_lead_to_the_same_pages() -> None:
    english, chinese = (set(re.findall(r"\]\(([^)#\s]+)", text)) for text in (ENGLISH, CHINESE))
    assert chinese - {"README.md"} == english - {"README.zh-CN.md"}


def test_the_sample_that_is_shown_is_that_of_the_mainland_document() -> None:
    shown = re.search(r"cat > sample\.json << 'END'\n(.*?)^END$", CHINESE, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert json.loads(shown[1]) == json.loads(SAMPLE.read_text(encoding="utf-8"))


def test_the_sample_is_exported_from_the_mainland_site_in_chinese(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SimulatorOptions(records=SAMPLE, end="2026-03-19", quirks=Quirks(totals="short"))
    with serving_apart(options) as url:
        monkeypatch.setattr(sources, "SITES", {**SITES, "mainland": url})
        result = exporter.run(tmp_path / "sample", site="mainland", lang="zh", api_key=options.key, rate=1e6)
    table = result.to_arrow()
    assert result.complete
    assert list(exporter.records(table)) == json.loads(SAMPLE.read_text(encoding="utf-8"))["data"]["list"]
    assert table["status"].to_pylist() == ["Unpaid", "Finished", "Expired"]
    assert table["type_code"].to_pylist() == [1, 1, 1]
    assert table["_extra"].null_count == len(table), "every label is known"
