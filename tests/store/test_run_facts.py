"""The facts of a run go through the manifest unchanged, and older manifests, which have fewer, still read."""

from __future__ import annotations

from pathlib import Path

from exporter.store import RunFacts
from exporter.store.layout import Layout
from exporter.store.manifest import Manifest, loads
from tests.store.orders import cuts, export, records, segments, table


def test_facts_come_back_as_they_were() -> None:
    facts = RunFacts(complete=False, requests=7, totals="capped", cap=10_000, uncertified=("[a, b)", "[c, d)"))
    assert facts.to_json()["uncertified"] == ["[a, b)", "[c, d)"]
    assert RunFacts.from_json(facts.to_json()) == facts


def test_an_older_manifest_has_defaults_and_a_newer_fact_is_left_out() -> None:
    assert RunFacts.from_json({}) == RunFacts(complete=True, totals="exact", uncertified=())
    assert RunFacts.from_json({"requests": 3, "not_known_here": 1}) == RunFacts(requests=3)


def test_a_manifest_without_facts_is_read_and_its_checksum_holds(tmp_path: Path) -> None:
    out = tmp_path / "orders"
    made = export(out, list(segments(table(records(20, seconds=60)), cuts(2, seconds=60))))
    older = Manifest.dumps(made).replace(b'"requests": 0,\n    ', b"", 1)
    path = Layout.of(out).manifest
    manifest, wrong = loads(older, path=path)
    assert manifest == made
    assert wrong == [f"{path.name}: its text was changed, its checksum is of another one"]
