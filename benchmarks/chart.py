"""Draw bars as an SVG picture, with nothing but text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, BAR, GAP, LABELS, VALUES = 860, 22, 10, 260, 110
INK, OURS, OTHERS = "#1f2328", "#0969da", "#afb8c1"
FONT = 'font-family="sans-serif" font-size="14"'


def bars(title: str, values: Sequence[tuple[str, float]], *, highlight: str) -> str:
    """Return a picture of labelled values, one bar each; the label `highlight` stands out."""
    most = max(value for _, value in values)
    height = 48 + len(values) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT} fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(values):
        top = 44 + number * (BAR + GAP)
        colour = OURS if label == highlight else OTHERS
        length = value / most * (WIDTH - LABELS - VALUES)
        lines += [
            f'<text x="{LABELS - 10}" y="{top + 16}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{top + 16}">{value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
