"""Run a notebook's cells as a kernel would, without one: `python -m tests.notebook FILE` writes what they show.

Shown are the value of a cell's last expression, as text and as HTML if it has that, and its figures.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt  # the backend first


def run_cells(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Run the code cells in their order; return the outputs of each, in the notebook's own format."""
    names: dict[str, Any] = {"__name__": "__main__"}
    return [
        _outputs("".join(cell["source"]), names, number) for number, cell in enumerate(code_cells(notebook), start=1)
    ]


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    outputs: list[dict[str, Any]] = []
    if last is not None:
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)  # type: ignore[attr-defined]
        if value is not None and not isinstance(value, mpl.artist.Artist):
            shown = {"text/plain": repr(value).splitlines(keepends=True)}
            if hasattr(value, "_repr_html_") and (html := value._repr_html_()):
                shown["text/html"] = html.splitlines(keepends=True)
            outputs.append({"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": shown})
    for figure in map(plt.figure, plt.get_fignums()):
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": [str(figure)]}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    plt.close("all")
    return outputs


def main(file: Path) -> None:
    """Write what the cells show into the notebook."""
    notebook = json.loads(file.read_text(encoding="utf-8"))
    for number, (cell, outputs) in enumerate(zip(code_cells(notebook), run_cells(notebook), strict=True), start=1):
        cell["execution_count"], cell["outputs"] = number, outputs
    file.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
