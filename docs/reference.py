"""Write what the documents take from the code: commands.md, api.md and the README's table of options (`make docs`)."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, UnionType
from typing import Any, get_args, is_typeddict

import exporter
from exporter.cli import app
from exporter.config.options import (
    ClusterOptions,
    ConnectionOptions,
    OutputOptions,
    QueryOptions,
    RunOptions,
    options_of,
)

COMMANDS = Path(__file__).with_name("commands.md")
API = COMMANDS.with_name("api.md")
README = COMMANDS.parent.parent / "README.md"
BEGIN, END = "<!-- options -->\n", "\n<!-- end of options -->"

HEADING = """\
# Commands

`make docs` makes this page from the code; a test fails when it is stale. `exporter COMMAND --help` says the same.

Results go to stdout; progress, errors and hints go to stderr. Each option of the groups Query, Connection, Run, Cluster
and Output is also an environment variable (`EXPORTER_PAGE_SIZE`) and a key of the TOML file that `--config` names
(`page-size`). The options of `simulate` are flags only.
"""


def commands_page() -> str:
    """Return docs/commands.md: every command with its arguments, options and examples."""
    sections = [HEADING]
    text = app.generate_docs().replace("```console", "```text").replace("\\[", "[")
    text = re.sub(
        r"^(exporter \S+) .*?(?=\[OPTIONS\]$|\[OPTIONS\] )", r"\1 ", text, flags=re.MULTILINE
    )  # cyclopts adds `-m …`
    for section in text.split("\n## exporter ")[1:]:
        sections.append(f"## exporter {section.strip()}\n")
        if epilogue := app[section.partition("\n")[0]].help_epilogue:
            sections.append(f"```text\n{epilogue.strip()}\n```\n")
    return "\n".join(sections)


def options_table() -> str:
    """Return the README's table: the options of `run`, with their defaults."""
    rows = [
        f"| `--{name.replace('_', '-')}` | {option.described} |"
        for group in (QueryOptions, ConnectionOptions, RunOptions, ClusterOptions, OutputOptions)
        for name, option in options_of(group).items()
    ]
    return "\n".join(["| option | |", "|---|---|", *rows])


API_HEADING = """\
# Python interface

`make docs` makes this page from the docstrings; a test fails when it is stale. These are all public names, those of
`exporter.__all__`; whatever else can be imported may change without notice. Each option of a function is a keyword.
"""


def api_page() -> str:
    """Return docs/api.md: every public name with its signature, its docstring and what it consists of."""
    groups: dict[str, list[str]] = {"Functions": [], "Results": [], "Options": [], "Events": [], "Errors": []}
    for name in exporter.__all__:
        public = getattr(exporter, name)
        if isinstance(public, FunctionType):
            groups["Functions"].append(_function(f"exporter.{name}", public))
        elif isinstance(public, UnionType):
            groups["Events"] += [_event_heading(name, public), *map(_value, get_args(public))]
        elif is_typeddict(public):
            groups["Options"].append(_options(name, public))
        elif issubclass(public, exporter.ExportError):
            groups["Errors"].append(_error(name, public))
        else:
            groups["Results"].append(_class(name, public))
    return "\n".join([API_HEADING, *(line for name, parts in groups.items() for line in (f"## {name}\n", *parts))])


def _doc(documented: object) -> str:
    return f"{inspect.getdoc(documented)}\n"


def _function(name: str, function: Any, level: str = "###") -> str:
    signature = str(inspect.signature(function)).replace("'", "")
    keyword = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{level} {name}\n\n```text\n{keyword} {name.rpartition('.')[2]}{signature}\n```\n\n{_doc(function)}"


def _class(name: str, documented: type) -> str:
    parts = [f"### exporter.{name}\n", _doc(documented), _fields(documented)]
    for member, value in vars(documented).items():
        if not member.startswith("_") and isinstance(value, property):
            parts.append(f"#### {name}.{member}\n\n{_doc(value)}")
        elif not member.startswith("_") and isinstance(value, FunctionType):
            parts.append(_function(f"{name}.{member}", value, "####"))
    return "\n".join(filter(None, parts))


def _event_heading(name: str, union: UnionType) -> str:
    members = ", ".join(f"`{member.__name__}`" for member in get_args(union))
    module = get_args(union)[0].__module__
    return (
        f"### exporter.{name}\n\nOne of {members}, all of `{module}`:\n\n{_doc(inspect.getmodule(get_args(union)[0]))}"
    )


def _value(documented: type) -> str:
    return "\n".join(filter(None, [f"#### {documented.__name__}\n", _doc(documented), _fields(documented)]))


def _fields(documented: type) -> str:
    """Return a list of a dataclass's fields, each with its type and its docstring if it has one."""
    lines = [f"* `{name}: {kind}`{': ' if text else ''}{text}" for name, kind, text in _declared(documented)]
    return "\n".join([*lines, ""]) if lines else ""


def _declared(documented: type) -> Iterator[tuple[str, str, str]]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(documented))).body
    assert isinstance(tree, ast.ClassDef)
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            described = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            text = str(following.value.value) if described else ""  # type: ignore[union-attr]  # as just checked
            yield statement.target.id, ast.unparse(statement.annotation), " ".join(text.split())


def _options(name: str, group: type) -> str:
    rows = [f"| `{option}` | {declared.described} |" for option, declared in options_of(group).items()]
    return "\n".join([f"### exporter.{name}\n", _doc(group), "| option | |", "|---|---|", *rows, ""])


def _error(name: str, error: type[exporter.ExportError]) -> str:
    base = error.__mro__[1]
    kind = "E" if base is Exception else f"A kind of `{base.__name__}`; e"
    return f"### exporter.{name}\n\n{kind}xit code {error.exit_code}.\n\n{_doc(error)}"


def renewed(readme: str) -> str:
    """Return the README's text with a new table of options."""
    before, _, rest = readme.partition(BEGIN)
    return before + BEGIN + options_table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    COMMANDS.write_text(commands_page(), encoding="utf-8")
    API.write_text(api_page(), encoding="utf-8")
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
