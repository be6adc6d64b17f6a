"""Write a page that shows what a result holds and what proves it: HTML in one file, for people and auditors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from exporter.delivery.output_file import check_place
from exporter.delivery.report.figures import figures_of
from exporter.delivery.report.page import render
from exporter.delivery.report.section import section_of
from exporter.delivery.report.tables import FULL, LEAST, SHORT, Limits
from exporter.errors import ConfigError
from exporter.store.disk import Disk
from exporter.store.finished import Results
from exporter.store.layout import unusable
from exporter.store.verify import verify

MOST_BYTES = 3_000_000
"""A page's size at most, whatever the data: where it would be larger, each result is shown in less detail."""

MOST_PICTURED = 20
"""Results that get pictures: those of more would not fit, and each takes a second to draw."""

MOST_LISTED = 5_000
"""Teams in the summary of a page that has no room for their sections."""

SUFFIXES = frozenset({".html", ".htm"})


def write(results: Results, file: Path) -> int:
    """Verify results, each with its team's name, write a page of them to `file`, and return the page's size in bytes.

    Raise CertificateError if a result is not what was certified, ConfigError if `file` can't be a page.
    """
    _check_place(file, results)
    for _, result in results:
        verify(result.out)
    content = page_of(results)
    Disk().write_whole(file, content)
    return len(content)


def page_of(results: Results, *, details: Sequence[Limits] = (FULL, SHORT, LEAST)) -> bytes:
    """Return the page in the first of `details` that `MOST_BYTES` allows; if none does, with the summary alone."""
    version = importlib.metadata.version("duoplus-exporter")
    figures = [figures_of(result.paths) for _, result in results]
    for limits in details:
        if limits.pictures and len(results) > MOST_PICTURED:
            continue
        sections = [
            section_of(place, name, result, each, limits)
            for place, ((name, result), each) in enumerate(zip(results, figures, strict=True), start=1)
        ]
        content = render(sections, version=version)
        if len(content) <= MOST_BYTES:
            return content
    return render(sections, version=version, listed=MOST_LISTED)


def _folder(name: str | None, out: Path) -> Path:
    """Return the folder of a result, of a team's the folder of all teams."""
    return out.parent if out.name == f"team={name}" else out


def _check_place(file: Path, results: Results) -> None:
    if file.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{file} is no name for a page", hint="choose one that ends in .html, such as orders.html")
    with unusable(file, role="FILE"):
        target = file.resolve()
    for out in (_folder(name, result.out) for name, result in results):
        if out.resolve() in target.parents:
            raise ConfigError(
                f"{file} is inside {out}, which holds the files of the result alone", hint="put it beside"
            )
    check_place(target, results)
