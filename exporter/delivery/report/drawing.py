"""Set up matplotlib for the report: its style, its axes, and pictures as SVG whose text is text.

The page's style gives the colours: what is drawn here has stand-ins for its variables.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from exporter.delivery.report.evidence import Proof
from exporter.delivery.report.svg import inlined
from exporter.delivery.report.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, GRID, FAINT, PAPER = "#10204a", "#10204b", "#10204c", "#10204d"
INCOMING, OUTGOING, NET, ORDERS, ALARM = "#10205a", "#10205b", "#10205c", "#10205d", "#10205e"
SERIES = ("#10206a", "#10206b", "#10206c", "#10206d", "#10206e", "#10206f")
PROOFS = {
    Proof.PAGES: "#10207a",
    Proof.SEEK: "#10207b",
    Proof.HALVES: "#10207c",
    Proof.KEPT: "#10207d",
    Proof.OTHER: "#10207e",
    Proof.MISSING: "#10207f",
}
COLOURS: Mapping[str, str] = {
    INK: "var(--soft)",
    GRID: "var(--line)",
    FAINT: "var(--faint)",
    PAPER: "var(--card)",
    INCOMING: "var(--incoming)",
    OUTGOING: "var(--outgoing)",
    NET: "var(--ink)",
    ORDERS: "var(--orders)",
    ALARM: "var(--alarm)",
    **{colour: f"var(--series-{place})" for place, colour in enumerate(SERIES, start=1)},
    **{colour: f"var(--{proof})" for proof, colour in PROOFS.items()},
}
"""What each colour that is drawn here is called in the page's style; as colours they mean nothing."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "exporter",  # so that the same picture has the same bytes
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def picture(
    name: str, draw: Callable[[Figure], None], *, size: tuple[float, float], title: str, description: str
) -> Markup:
    """Draw a picture of `size` inches and return it as an element of the page; `name` is unique in the page."""
    with _styled():
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.12))
        FigureCanvasSVG(figure)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return inlined(text.getvalue(), name=name, title=title, description=description, colours=COLOURS)


def bar_width(periods: Sequence[str]) -> float:
    """Return the width of bars: without gaps where there are many."""
    return 0.76 if len(periods) < 100 else 1.0


def period_ticks(axes: Axes, periods: Sequence[str], at_most: int = 13) -> None:
    """Name those periods below the bars that there is space for."""
    step = math.ceil(len(periods) / at_most)
    axes.set_xticks(range(0, len(periods), step), periods[::step])
    axes.set_xlim(-0.6, len(periods) - 0.4)


def amount_grid(axes: Axes) -> None:
    """Draw a few lines across, with short figures beside them."""
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(compact_numbers())


def legend(axes: Axes) -> None:
    """Put the legend above the picture, in one line where it fits."""
    handles, labels = axes.get_legend_handles_labels()
    bars_first = sorted(range(len(labels)), key=lambda at: hasattr(handles[at], "get_linestyle"))
    handles, labels = [handles[at] for at in bars_first], [labels[at] for at in bars_first]
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(len(labels), 7),
        borderaxespad=0.2,
        handlelength=1.2,
    )


def compact_numbers() -> FuncFormatter:
    """Return a formatter of numbers such as 1.5M."""
    return FuncFormatter(lambda value, _: _compact(value))


def clock_times(span: float) -> FuncFormatter:
    """Return a formatter of seconds within `span` of them."""
    step, unit = next((step for step in _CLOCK if span >= 2 * step[0]), _CLOCK[-1])
    return FuncFormatter(lambda value, _: f"{value / step:g} {unit}")


def time_ticks(axes: Axes, zone: dt.tzinfo) -> None:
    """Name times, Unix seconds, below a picture, as the calendar divides them."""
    first, last = (int(second) for second in axes.get_xlim())
    years = (last - first) / _YEAR
    if years > 2:
        step = math.ceil(years / 11)
        moments = [dt.datetime(year, 1, 1, tzinfo=zone) for year in _numbers(first, last, step)]
        ticks = [(moment.timestamp(), str(moment.year)) for moment in moments]
    else:
        count = 7
        seconds = [first + (last - first) * place // count for place in range(count + 1)]
        pattern = "%Y-%m-%d" if last - first > 8 * 86_400 else "%m-%d %H:%M"
        ticks = [(second, moment.strftime(pattern)) for second in seconds if (moment := _moment(second, zone))]
    inside = [(second, text) for second, text in ticks if first <= second <= last]
    axes.set_xticks([second for second, _ in inside], [text for _, text in inside])


def extremes(periods: Sequence[str], values: Sequence[int] | Sequence[Decimal]) -> str:
    """Say between what a picture's values are, for those who can't see it."""
    low, high = (pick(range(len(values)), key=values.__getitem__) for pick in (min, max))
    return (
        f"{len(periods)} periods from {periods[0]} to {periods[-1]}; the least is {number(values[low])} in "
        f"{periods[low]}, the most {number(values[high])} in {periods[high]}. The table that follows has all figures."
    )


@contextmanager
def _styled() -> Iterator[None]:
    """Use our style; say nothing of glyphs that matplotlib's font lacks, since the page's fonts draw the text."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _compact(value: float) -> str:
    step, unit = next((step for step in _STEPS if abs(value) >= step[0]), (1, ""))
    return f"{value / step:g}{unit}"


def _numbers(first: int, last: int, step: int) -> range:
    begin, end = (dt.datetime.fromtimestamp(second, dt.UTC).year for second in (first, last))
    return range(max(1, begin), min(9999, end + 1) + 1, step)


def _moment(second: int, zone: dt.tzinfo) -> dt.datetime | None:
    try:
        return dt.datetime.fromtimestamp(second, zone)
    except (ValueError, OverflowError):  # a year that a calendar does not have
        return None


_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_CLOCK = ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"))
_YEAR = 365 * 86_400
