"""`exporter report`: a page that shows what a result holds and what proves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import chosen, command
from exporter.config.options import OutputOptions
from exporter.errors import ConfigError
from exporter.progress.text import counted, size

EXAMPLES = """\
Examples:
  exporter report orders/
  exporter report orders/ --output audit-2025.html
"""


@command(OutputOptions, without=("quiet", "log_file"), epilogue=EXAMPLES)
def report(
    out: str | Path,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(help="The page's file, in .html. [default: OUT.html]", metavar="FILE")
    ] = None,
    **given: Any,
) -> int:
    """Write one HTML page that shows the result in OUT: verdict, money, certificates, files. Sends nothing.

    With teams in OUT the page has a summary and a section for each. The results are verified first. The page opens from
    disk, runs no script and asks for nothing. Needs the extra `report`.
    """
    from exporter.store.finished import finished

    try:
        from exporter.delivery.report import write
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a report needs {error.name}, which is not installed", hint="pip install jinja2 matplotlib"
        ) from error
    results = finished(out)
    file = Path(f"{Path(out)}.html") if output is None else output
    written = write(results, file)
    rows, complete = sum(one.rows for _, one in results), all(one.complete for _, one in results)
    if chosen(given).values["json"]:
        facts = {"out": str(out), "report": str(file), "rows": rows, "bytes": written, "complete": complete}
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    print(f"{file}: {counted(rows, 'order')}, {'' if complete else 'not '}complete and certified, {size(written)}")
    return 0
