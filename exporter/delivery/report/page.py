"""Write sections down as one HTML page that runs nothing, asks for nothing, and escapes every text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from exporter.delivery.report.evidence import Proof
from exporter.delivery.report.extra_kinds import Reason
from exporter.delivery.report.figures import OTHER
from exporter.delivery.report.section import Section
from exporter.delivery.report.text import money, number, percent, shown
from exporter.progress.text import duration, size

POLICY = "default-src 'none'; style-src '{hash}'; base-uri 'none'; form-action 'none'"
"""The page's Content-Security-Policy: no script, no request, no style but the page's own."""


def render(sections: Sequence[Section], *, version: str, listed: int | None = None) -> bytes:
    """Return the page of some results; the same sections give the same bytes.

    With `listed` it is a summary of at most that number of them, without their sections.
    """
    environment = _environment()
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = environment.get_template("page.html").render(
        sections=sections,
        listed=listed,
        version=version,
        style=Markup(style),  # noqa: S704  # our own file
        policy=Markup(POLICY.format(hash=f"sha256-{digest}")),  # noqa: S704  # base64 and our own text
        Proof=Proof,
        Reason=Reason,
        OTHER=OTHER,
    )
    return text.encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FileSystemLoader(_FOLDER),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": shown,
        "number": number,
        "money": money,
        "percent": percent,
        "size": size,
        "duration": duration,
    }
    return environment


_FOLDER = Path(__file__).parent
