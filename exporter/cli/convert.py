"""`exporter convert`: a finished result as a file for spreadsheets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import chosen, command
from exporter.cli.reporting import warn
from exporter.config.options import OutputOptions
from exporter.progress.text import counted, size

EXAMPLES = """\
Examples:
  exporter convert orders/ orders.xlsx
  exporter convert orders/ orders.csv --bom

A text of a CSV that a spreadsheet would run as a formula has a ' before it.
"""


@command(OutputOptions, without=("log_file",), epilogue=EXAMPLES)
def convert(
    out: str | Path,
    file: str | Path,
    /,
    *,
    overwrite: Annotated[bool, Parameter(help="Replace FILE if it is there.", negative="")] = False,
    bom: Annotated[bool, Parameter(help="Begin a CSV with the byte order mark that Excel wants.", negative="")] = False,
    **given: Any,
) -> int:
    """Write the orders of a finished result to FILE: .csv, or .xlsx with the extra `xlsx`. Sends nothing."""
    from exporter.delivery.convert import convert as converted
    from exporter.store.finished import finished

    shown = chosen(given).values
    made = converted(finished(out), Path(file), overwrite=overwrite, bom=bom)
    for note in made.notes:
        warn(note)
    if shown["json"]:
        print(
            json.dumps({"out": str(out), "file": str(file), "rows": made.rows, "bytes": made.bytes}, ensure_ascii=False)
        )
    elif not shown["quiet"]:
        print(f"wrote {file}: {counted(made.rows, 'order')}, {size(made.bytes)}")
    return 0
