"""Everything that the page says of one result, ready to be written down."""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from exporter.delivery.report import charts
from exporter.delivery.report.evidence import Certified, Pace, Proof, certificates, changes, condensed, pace
from exporter.delivery.report.extra_kinds import ExtraKind
from exporter.delivery.report.figures import OTHER, Figures, Sums, total
from exporter.delivery.report.tables import Limits, Matrix, matrix, period_name, periods_of
from exporter.delivery.report.text import number
from exporter.result import Result
from exporter.store.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One line of the verdict. `holds` is None where it could not be looked at."""

    text: str
    holds: bool | None = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrencyTable:
    """The money of one currency by period, with its picture."""

    currency: str
    sums: Sequence[Sums]
    whole: Sums
    picture: Markup | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What the page says of one result; `name` is its team's."""

    id: str
    name: str | None
    out: str
    complete: bool
    checks: Sequence[Check]
    rows: int
    start: str
    end: str
    zone: str
    first: str | None
    last: str | None
    query: Mapping[str, Any]
    currencies: Mapping[str, Sums]
    period: str
    periods: Sequence[str]
    period_orders: Sequence[int]
    orders_picture: Markup | None
    money: Sequence[CurrencyTable]
    kinds: Matrix
    kinds_picture: Markup | None
    type_money: Matrix
    status_money: Matrix
    product_money: Matrix
    certificates: Sequence[Certified]
    segments: int
    repairs: int
    special: Sequence[Certified]
    proofs: Mapping[Proof, int]
    certificates_picture: Markup | None
    pace: Pace
    pace_picture: Markup | None
    changes: Mapping[str, int]
    extra: Sequence[ExtraKind]
    extra_values: int
    parts: Sequence[Mapping[str, Any]]
    parts_count: int
    bytes: int
    manifest_name: str
    manifest_sha256: str
    folder: str
    pattern: str
    when: Callable[[float], str]


def section_of(place: int, name: str | None, result: Result, figures: Figures, limits: Limits) -> Section:
    """Gather what the page says of a result; `place` makes its ids unique in the page."""
    manifest, layout = result.manifest, Layout.of(result.out)
    zone = zoneinfo.ZoneInfo(manifest["timezone"])
    spans, prefix = certificates(manifest), f"s{place}"
    drawn = condensed(spans, _DRAWN)
    pictured = limits.pictures and result.rows > 0
    parts = manifest["parts"]
    first, last = parts[0]["min_created_at"], parts[-1]["max_created_at"]
    period, length, starts = periods_of([month for month, _ in figures.by_month], limits.periods)
    names = [period_name(month, length) for month in starts]
    by_period = total(figures.by_month, lambda key: (key[0] // length * length if length > 1 else key[0], key[1]))
    orders = total(by_period, lambda key: key[0])
    kinds = matrix(
        figures.by_kind,
        row_of=lambda key: key[0],
        column_of=lambda key: key[1],
        rows=limits.labels,
        columns=limits.statuses,
    )
    most = [(currency, whole) for currency, whole in figures.by_currency.items() if currency != OTHER]
    draw = partial(charts.money_by_period, narrow=len(most) > 1) if pictured else None
    money = [
        _currency_table(
            f"{prefix}-money-{at}", currency, whole=whole, by_period=by_period, starts=starts, names=names, draw=draw
        )
        for at, (currency, whole) in enumerate(most[: limits.currencies])
    ]
    run = pace(manifest)
    both = {"columns": limits.currencies, "rows": limits.labels}
    return Section(
        id=prefix,
        name=name,
        out=str(result.out),
        complete=result.complete,
        checks=_checks(manifest, result, spans),
        rows=result.rows,
        start=_when(_second(manifest["range"]["start"]), zone),
        end=_when(_second(manifest["range"]["stop"]) - 1, zone),
        zone=manifest["timezone"],
        first=first and _when(_second(first), zone),
        last=last and _when(_second(last), zone),
        query={key: value for key, value in manifest["query"].items() if value not in (None, [], "", False)},
        currencies=dict(list(figures.by_currency.items())[: limits.labels]),
        period=period,
        periods=names,
        period_orders=[orders[month].orders if month in orders else 0 for month in starts],
        orders_picture=charts.orders_by_period(
            f"{prefix}-orders", names, [orders[month].orders if month in orders else 0 for month in starts]
        )
        if pictured
        else None,
        money=money,
        kinds=kinds,
        kinds_picture=_kinds_picture(f"{prefix}-kinds", kinds) if pictured else None,
        type_money=matrix(figures.by_kind, row_of=lambda key: key[0], column_of=lambda key: key[2], **both),
        status_money=matrix(figures.by_kind, row_of=lambda key: key[1], column_of=lambda key: key[2], **both),
        product_money=matrix(figures.by_product, row_of=lambda key: key[0], column_of=lambda key: key[1], **both),
        certificates=condensed(spans, limits.certificates),
        segments=len(manifest["segments"]),
        repairs=sum(1 for span in spans if span.repair),
        special=[span for span in spans if span.repair or span.proof is Proof.MISSING][: limits.certificates],
        proofs={proof: sum(1 for span in spans if span.proof is proof) for proof in Proof},
        certificates_picture=charts.certificates(
            f"{prefix}-certificates",
            drawn,
            orders=(_second(first), _second(last)) if first and last else None,
            zone=zone,
        )
        if limits.pictures and drawn
        else None,
        pace=run,
        pace_picture=charts.progress(
            f"{prefix}-pace", _thinned(run.arrivals), rate=run.rate, began=run.fetched_from or 0.0
        )
        if limits.pictures and len(run.arrivals) > 1
        else None,
        changes=changes(manifest),
        extra=figures.extra[: limits.labels],
        extra_values=sum(kind.values for kind in figures.extra),
        parts=parts[: limits.parts],
        parts_count=len(parts),
        bytes=manifest["counts"]["bytes"],
        manifest_name=layout.manifest.name,
        manifest_sha256=hashlib.sha256(layout.manifest.read_bytes()).hexdigest(),
        folder=str(result.out.parent if layout.is_file else result.out),
        pattern=str(result.out if layout.is_file else result.out / "*.parquet"),
        when=lambda second: _when(second, zone),
    )


def _checks(manifest: Mapping[str, Any], result: Result, spans: Sequence[Certified]) -> list[Check]:
    """Return the verdict's lines: what was shown, what was not."""
    run, missing = manifest["run"], manifest["missing"]
    totals, repeated = run.get("totals"), sum(span.repeated for span in spans)
    checks = [
        Check(
            text=f"Every second of the range is in one of {number(len(manifest['segments']))} certified segments"
            if not missing
            else f"{number(len(missing))} span(s) of the range have no certificate",
            holds=not missing,
        ),
        Check(text=f"The certificates count {number(result.rows)} orders, and the files hold as many"),
        Check(
            text="The server's total of the whole range, asked last, is the number of orders"
            if run.get("final_check")
            else "The server's total of the whole range was not compared at the end",
            holds=True if run.get("final_check") else None,
        ),
        Check(
            text="Checked for this page: the files' checksums, columns, order of rows, and the span that each row is in"
        ),
    ]
    if totals == "capped":
        checks.append(Check(text=f"The server's totals stop at {number(run['cap'] or 0)}; spans were proven without"))
    elif totals == "ignored":
        checks.append(Check(text="The server's totals are of no use; nothing rests on them", holds=None))
    if repeated:
        checks.append(
            Check(text=f"{number(repeated)} order(s) are like another one in all that never changes; both were shown")
        )
    checks += [Check(text=str(what), holds=False) for what in run.get("uncertified") or () if not result.complete][:20]
    return checks


def _currency_table(
    name: str,
    currency: str,
    *,
    whole: Sums,
    by_period: Mapping[tuple[int, str], Sums],
    starts: range,
    names: Sequence[str],
    draw: Callable[..., Markup] | None,
) -> CurrencyTable:
    sums = [by_period.get((month, currency), Sums()) for month in starts]
    picture = draw and draw(name, currency, names, sums)
    return CurrencyTable(currency=currency, sums=sums, whole=whole, picture=picture)


def _kinds_picture(name: str, kinds: Matrix) -> Markup:
    return charts.kinds(
        name,
        kinds.rows,
        {
            status: [cell.orders if cell else 0 for cell in (row[at] for row in kinds.cells)]
            for at, status in enumerate(kinds.columns)
        },
    )


def _thinned(arrivals: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
    step = -(-len(arrivals) // _DRAWN)
    return [*arrivals[:-1:step], arrivals[-1]]


def _second(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()


def _when(second: float, zone: dt.tzinfo) -> str:
    try:
        return dt.datetime.fromtimestamp(int(second), zone).isoformat(sep=" ")
    except (ValueError, OverflowError):  # beyond the years of the calendar in this zone
        return dt.datetime.fromtimestamp(int(second), dt.UTC).isoformat(sep=" ")


_DRAWN = 400
"""Spans and moments that a picture shows at most."""
