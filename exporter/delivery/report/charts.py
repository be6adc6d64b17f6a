"""Draw the report's pictures: orders, money, kinds, certificates, pace."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from exporter.delivery.report.drawing import (
    ALARM,
    INCOMING,
    INK,
    NET,
    ORDERS,
    OUTGOING,
    PAPER,
    PROOFS,
    SERIES,
    amount_grid,
    bar_width,
    clock_times,
    compact_numbers,
    extremes,
    legend,
    period_ticks,
    picture,
    time_ticks,
)
from exporter.delivery.report.evidence import Certified, Proof
from exporter.delivery.report.figures import Sums
from exporter.delivery.report.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL = 26
"""Characters of a label in a picture."""

_SHORT = 1e-5
"""Spans shorter than this share of the picture are not drawn by height: a second's orders a day mean nothing."""


def orders_by_period(name: str, periods: Sequence[str], orders: Sequence[int]) -> Markup:
    """Draw the orders of each period as bars."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(range(len(periods)), orders, width=bar_width(periods), color=ORDERS)
        period_ticks(axes, periods)
        amount_grid(axes)

    return picture(name, draw, size=(8.6, 2.2), title="Orders", description=extremes(periods, orders))


def money_by_period(
    name: str, currency: str, periods: Sequence[str], sums: Sequence[Sums], *, narrow: bool = False
) -> Markup:
    """Draw what came in and went out in each period as bars up and down, and the net as a line."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(periods))
        axes.bar(places, [float(each.incoming) for each in sums], width=bar_width(periods), color=INCOMING, label="in")
        axes.bar(places, [float(each.outgoing) for each in sums], width=bar_width(periods), color=OUTGOING, label="out")
        mark = "o" if len(periods) <= 40 else None
        net = [float(each.net) for each in sums]
        axes.plot(places, net, color=NET, linewidth=1.4, marker=mark, markersize=3, label="net")
        axes.axhline(0, color=INK, linewidth=0.8)
        period_ticks(axes, periods, 6 if narrow else 13)
        amount_grid(axes)
        legend(axes)

    return picture(
        name,
        draw,
        size=(5.2, 2.4) if narrow else (8.6, 2.5),
        title=f"Money in {shown(currency)}",
        description=extremes(periods, [each.net for each in sums]),
    )


def kinds(name: str, types: Sequence[str], statuses: Mapping[str, Sequence[int]]) -> Markup:
    """Draw the orders of each type as a bar, in the colours of their statuses."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        left = [0] * len(types)
        for place, (status, orders) in enumerate(statuses.items()):
            colour = SERIES[min(place, len(SERIES) - 1)]
            axes.barh(range(len(types)), orders, left=left, height=0.68, color=colour, label=shown(status, _LABEL))
            left = [one + more for one, more in zip(left, orders, strict=True)]
        axes.set_yticks(range(len(types)), [shown(each, _LABEL) for each in types])
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.xaxis.set_major_formatter(compact_numbers())
        axes.spines["bottom"].set_visible(False)
        legend(axes)

    return picture(
        name,
        draw,
        size=(8.6, 0.9 + 0.3 * len(types)),
        title="Orders by type and status",
        description="The table that follows has the same figures.",
    )


def certificates(
    name: str, rows: Sequence[Certified], *, orders: tuple[float, float] | None, zone: dt.tzinfo
) -> Markup:
    """Draw the spans along time in the colours of their proofs: over the whole range, and as high as orders came a day.

    `orders` are the Unix seconds of the first and the last order, None if there are none.
    """

    def draw(figure: Figure) -> None:
        whole, dense = figure.subplots(2, 1, height_ratios=[1, 5])
        for proof in Proof:
            spans = [(row.start, row.stop - row.start) for row in rows if row.proof is proof]
            whole.broken_barh(spans, (0, 1), **_span_style(proof))
        whole.vlines([row.start for row in rows[1:]], 0, 1, colors=PAPER, linewidths=0.4)
        marks = [(row.start + row.stop) / 2 for row in rows if row.repair]
        if marks:
            whole.plot(marks, [1.3] * len(marks), "v", color=ALARM, markersize=5, clip_on=False)
        whole.set_ylim(0, 1)
        whole.set_yticks([])
        whole.set_xlim(rows[0].start, rows[-1].stop)
        time_ticks(whole, zone)
        whole.set_title("the whole range", loc="left", fontsize=9, pad=9)
        dense.set_visible(orders is not None)
        if orders is not None:
            _draw_dense(dense, rows, *orders)
            time_ticks(dense, zone)

    counts = {proof: sum(max(1, row.segments) for row in rows if row.proof is proof) for proof in Proof}
    said = ", ".join(f"{count:,} {proof}" for proof, count in counts.items() if count)
    repaired = sum(1 for row in rows if row.repair)
    return picture(
        name,
        draw,
        size=(8.6, 3.3 if orders else 1.0),
        title="Certificates along time",
        description=f"Spans by proof: {said}; {repaired} repaired. The table that follows has the same spans.",
    )


def _draw_dense(axes: Axes, rows: Sequence[Certified], first: float, last: float) -> None:
    length = max(1.0, last - first)
    cut = [(row, max(row.start, first), min(row.stop, last + 1)) for row in rows]
    seen = [(row, start, stop) for row, start, stop in cut if stop > start]
    for proof in Proof:
        of_proof = [(row.rows, start, stop - start) for row, start, stop in seen if row.proof is proof]
        if proof is Proof.MISSING:
            for _, start, width in of_proof:
                axes.axvspan(start, start + width, **_span_style(proof))
        elif drawn := [each for each in of_proof if each[2] > _SHORT * length or len(rows) == 1]:
            orders, starts, widths = zip(*drawn, strict=True)
            heights = [count / width * 86_400 for count, width in zip(orders, widths, strict=True)]
            axes.bar(starts, heights, width=widths, align="edge", **_span_style(proof))
    marks = [(start + stop) / 2 for row, start, stop in seen if row.repair]
    if marks:
        axes.plot(marks, [0] * len(marks), "^", color=ALARM, markersize=6, clip_on=False, zorder=5)
    axes.set_xlim(first, first + length)
    axes.set_title("orders a day, from the first order to the last", loc="left", fontsize=9)
    amount_grid(axes)


def _span_style(proof: Proof) -> dict[str, Any]:
    if proof is Proof.MISSING:
        return {"facecolor": PAPER, "edgecolor": PROOFS[proof], "hatch": "/////", "linewidth": 0.8}
    return {"color": PROOFS[proof], "linewidth": 0}


def progress(name: str, arrivals: Sequence[tuple[float, int]], *, rate: float | None, began: float) -> Markup:
    """Draw how the responses that the certificates rest on came along the clock, and the rate that was allowed."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        seconds = [moment - began for moment, _ in arrivals]
        counts = [count for _, count in arrivals]
        axes.plot([0, *seconds], [0, *counts], color=ORDERS, linewidth=1.6, label="responses", drawstyle="default")
        span = seconds[-1]
        if rate is not None and span > 0 and rate * span < 3 * counts[-1]:
            axes.plot([0, span], [0, rate * span], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="allowed rate")
        axes.set_xlim(0, max(span, 1e-3))
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(clock_times(span))
        amount_grid(axes)
        legend(axes)

    return picture(
        name,
        draw,
        size=(8.6, 2.2),
        title="Responses along the time of the export",
        description=f"{arrivals[-1][1]:,} responses in {arrivals[-1][0] - began:,.1f} seconds.",
    )
