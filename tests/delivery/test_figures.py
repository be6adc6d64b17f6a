"""The figures of a report are those that DuckDB adds up, whatever the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.delivery.report import figures as module
from exporter.delivery.report.evidence import Certified, Proof, condensed
from exporter.delivery.report.extra_kinds import Reason
from exporter.delivery.report.figures import NONE, OTHER, Figures, Sums, figures_of, total
from exporter.delivery.report.tables import matrix, period_name, periods_of
from exporter.delivery.report.text import clipped, money, shown
from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart
from tests.delivery.results import hostile_records, result_of
from tests.store.orders import BEGIN, record


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[exporter.Result]:
    with serving_apart(SimulatorOptions(rows=4_000, seed=3)) as url:
        out = tmp_path_factory.mktemp("figures") / "orders"
        yield exporter.run(out, base_url=url, api_key="simulator", rate=1e6, timezone="America/New_York")


@pytest.fixture(scope="module")
def figures(result: exporter.Result) -> Figures:
    return figures_of(result.paths)


def summed(result: exporter.Result, *keys: str) -> dict[object, tuple[object, ...]]:
    """Add the result up with DuckDB."""
    named = ", ".join(f"{key} AS k{place}" for place, key in enumerate(keys))
    query = f"""SELECT {named}, count(*), count(*) - count(total), coalesce(sum(greatest(total, 0)), 0),
        coalesce(sum(total), 0) FROM read_parquet('{result.out}/*.parquet') GROUP BY ALL"""
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'America/New_York'")
        rows = connection.sql(query).fetchall()
    names = len(keys)
    return {
        tuple(NONE if key is None else key for key in row[:names]) if names > 1 else row[0]: row[names:] for row in rows
    }


def plain(sums: Mapping[Any, Sums]) -> dict[object, tuple[object, ...]]:
    return {key: (each.orders, each.unread, each.incoming, each.net) for key, each in sums.items()}


def test_sums_by_month_kind_and_product_are_those_of_duckdb(result: exporter.Result, figures: Figures) -> None:
    month = "year(created_at) * 12 + month(created_at) - 1"
    assert plain(figures.by_month) == summed(result, month, "currency")
    assert plain(figures.by_kind) == summed(result, "type", "status", "currency")
    assert plain(figures.by_product) == summed(result, "product", "currency")
    assert sum(each.orders for each in figures.by_currency.values()) == result.rows


def test_months_are_those_of_the_results_zone(tmp_path: Path) -> None:
    midnight = BEGIN - (BEGIN + 8 * 3600) % 86_400  # in the zone of the result, GMT+08:00
    rows = [record(midnight + 86_400 * 16 + shift, number) for number, shift in enumerate((-1, 0, 1))]
    assert [row["created_at"][:10] for row in rows] == ["2023-11-30", "2023-12-01", "2023-12-01"]
    from exporter.certify.spans import Span
    from tests.store.orders import certificate, export, table

    out = tmp_path / "orders"
    export(out, [(certificate(Span(midnight, midnight + 86_400 * 20), 3), table(rows))])
    months = figures_of(exporter.open(out).paths).by_month
    assert {period_name(month, 1): sums.orders for (month, _), sums in months.items()} == {"2023-11": 1, "2023-12": 2}


def test_the_kinds_of_extra_add_up_to_the_certificates_count(result: exporter.Result, figures: Figures) -> None:
    counted = sum(segment["values_in_extra"] for segment in result.manifest["segments"])
    assert counted > 0
    assert sum(kind.values for kind in figures.extra) == counted
    assert {(kind.name, kind.reason) for kind in figures.extra} == {("total", Reason.SPELLED)}


def test_each_reason_of_extra_is_named(tmp_path: Path) -> None:
    rows = [record(BEGIN + number, number) for number in range(5)]
    rows[0]["total"] = "$1,234.50"
    rows[1]["total"] = "free"
    rows[2]["product"] = 7
    rows[3]["coupon"] = "SPRING"
    del rows[4]["description"]
    kinds = figures_of(result_of(tmp_path / "orders", rows).paths).extra
    assert {(kind.name, kind.reason, kind.values, kind.example) for kind in kinds} == {
        ("total", Reason.SPELLED, 1, '"$1,234.50"'),
        ("total", Reason.UNREAD, 1, '"free"'),
        ("product", Reason.OTHER_TYPE, 1, "7"),
        ("coupon", Reason.UNKNOWN, 1, '"SPRING"'),
        ("description", Reason.MISSING, 1, None),
    }


def test_sums_beyond_a_decimal_of_28_digits_stay_exact(tmp_path: Path) -> None:
    rows = [record(BEGIN + number, number, total="$99999999999999.9999") for number in range(40)]
    rows += [record(BEGIN + 100 + number, 100 + number, total="-$0.0001") for number in range(3)]
    (sums,) = figures_of(result_of(tmp_path / "orders", rows).paths).by_currency.values()
    assert (sums.incoming, sums.outgoing) == (40 * Decimal("99999999999999.9999"), Decimal("-0.0003"))
    assert money(sums.net) == "3,999,999,999,999,999.9957"


def test_labels_without_end_are_added_up_as_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LABELS", 2)
    rows = [{**record(BEGIN + number, number), "product": f"product {number}"} for number in range(6)]
    products = total(figures_of(result_of(tmp_path / "orders", rows).paths).by_product, lambda key: key[0])
    assert {name: sums.orders for name, sums in products.items()} == {"product 0": 1, "product 1": 1, OTHER: 4}


def test_hostile_labels_are_counted_apart(tmp_path: Path) -> None:
    rows = hostile_records()
    found = figures_of(result_of(tmp_path / "orders", rows).paths)
    products = total(found.by_product, lambda key: key[0])
    assert {name: sums.orders for name, sums in products.items()} == {clipped(row["product"]): 3 for row in rows}
    assert all(len(name) < 300 for name in products)


@given(st.text(), st.text())
def test_what_is_shown_has_no_hidden_character_and_differs_where_texts_do(one: str, other: str) -> None:
    import unicodedata

    assert {unicodedata.category(character) for character in shown(one)} & {"Cc", "Cf", "Cs", "Co", "Cn"} == set()
    assert (clipped(one * 40) == clipped(other * 40)) == (one * 40 == other * 40)


@given(st.lists(st.integers(12, 9999 * 12 + 11), max_size=8), st.integers(6, 240))
def test_periods_cover_all_months_without_a_gap(months: list[int], limit: int) -> None:
    _, length, starts = periods_of(months, limit)
    assert len(starts) <= limit
    assert all(month // length * length in starts for month in months)
    assert [start - starts.start for start in starts] == [length * place for place in range(len(starts))]


@given(
    st.lists(
        st.tuples(st.sampled_from(["pages", "seek", "missing"]), st.integers(0, 9), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_condensed_certificates_cover_the_same_and_count_the_same(
    given_rows: list[tuple[str, int, bool]], limit: int
) -> None:
    rows = [
        Certified(
            start=at, stop=at + 1, proof=Proof(proof), rows=count, requests=2, repair="doubt" if repaired else None
        )
        for at, (proof, count, repaired) in enumerate(given_rows)
    ]
    fewer = condensed(rows, limit)
    assert len(fewer) <= max(limit, 1)
    assert [row.start for row in fewer] == [0, *(row.stop for row in fewer[:-1])]
    assert fewer[-1].stop == len(rows)
    for name in ("rows", "requests", "segments"):
        assert sum(getattr(row, name) for row in fewer) == sum(getattr(row, name) for row in rows)
    assert any(row.repair for row in fewer) == any(row.repair for row in rows)
    assert any(row.proof is Proof.MISSING for row in fewer) == any(row.proof is Proof.MISSING for row in rows)


@given(
    st.dictionaries(st.tuples(st.sampled_from("abcdefg"), st.sampled_from("xyz")), st.integers(1, 9), min_size=1),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_a_matrix_loses_no_order(counts: dict[tuple[str, str], int], rows: int, columns: int) -> None:
    made = matrix(
        {key: Sums(orders=count) for key, count in counts.items()},
        row_of=lambda key: key[0],
        column_of=lambda key: key[1],
        rows=rows,
        columns=columns,
    )
    everything = sum(counts.values())
    assert sum(cell.orders for line in made.cells for cell in line if cell) == everything
    assert sum(sums.orders for sums in made.row_totals) == sum(sums.orders for sums in made.column_totals) == everything
    assert len(made.rows) <= rows + 1
    assert len(made.columns) <= columns + 1
