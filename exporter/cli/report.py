"""`exporter report`: a page that shows what a result holds and what proves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import chosen, command
from exporter.config.options import OutputOptions
from exporter.errors import ConfigError
from exporter.progress.text import size

EXAMPLES = """\
Examples:
  exporter report orders/
  exporter report orders/ --output audit-2025.html
"""


@command(OutputOptions, without=("quiet", "log_file"), epilogue=EXAMPLES)
def report(
    out: str,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(help="The page's file, in .html. [default: OUT.html]", metavar="FILE")
    ] = None,
    **given: Any,
) -> int:
    """Write one HTML page that shows the result in OUT: verdict, money, certificates, files. Sends nothing.

    The result is verified first. The page opens from disk, runs no script and asks for nothing. Needs the extra
    `report`.
    """
    from exporter.api import open as open_result

    try:
        from exporter.delivery.report import write
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a report needs {error.name}, which is not installed", hint=f"pip install {error.name}"
        ) from error
    result = open_result(out)
    file = Path(f"{Path(out)}.html") if output is None else output
    written = write([(None, result)], file)
    if chosen(given).values["json"]:
        print(json.dumps({"out": out, "report": str(file), "bytes": written, "complete": result.complete}))
        return 0
    certified = "complete and certified" if result.complete else "not complete"
    print(f"{file}: {result.rows:,} orders, {certified} ({size(written)})")
    return 0
