"""Write what the documents tell of the code: docs/commands.md and the README's table of options (`make docs`)."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.cli import app
from exporter.config.options import ConnectionOptions, OutputOptions, QueryOptions, RunOptions, options_of

COMMANDS = Path(__file__).with_name("commands.md")
README = COMMANDS.parent.parent / "README.md"
BEGIN, END = "<!-- options -->\n", "\n<!-- end of options -->"

HEADING = """\
# Commands

`make docs` makes this page from the code; a test fails when it is stale. `exporter COMMAND --help` tells the same.

Results go to stdout; progress, errors and hints go to stderr. Each option of the groups Query, Connection, Work and
Output is also an environment variable (`EXPORTER_PAGE_SIZE`) and a key of the TOML file that `--config` names
(`page-size`). The options of `simulate` are flags only.
"""


def commands_page() -> str:
    """Return docs/commands.md: every command with its arguments, options and examples."""
    sections = [HEADING]
    told = app.generate_docs().replace("```console", "```text").replace("\\[", "[")
    told = re.sub(
        r"^(exporter \S+) .*?(?=\[OPTIONS\]$|\[OPTIONS\] )", r"\1 ", told, flags=re.MULTILINE
    )  # cyclopts puts in `-m …`
    for section in told.split("\n## exporter ")[1:]:
        sections.append(f"## exporter {section.strip()}\n")
        if epilogue := app[section.partition("\n")[0]].help_epilogue:
            sections.append(f"```text\n{epilogue.strip()}\n```\n")
    return "\n".join(sections)


def options_table() -> str:
    """Return the README's table: the options of `run`, with what holds when nothing is said."""
    rows = [
        f"| `--{name.replace('_', '-')}` | {option.described} |"
        for group in (QueryOptions, ConnectionOptions, RunOptions, OutputOptions)
        for name, option in options_of(group).items()
    ]
    return "\n".join(["| option | |", "|---|---|", *rows])


def renewed(readme: str) -> str:
    """Return the README's text with its table of options made anew."""
    before, _, rest = readme.partition(BEGIN)
    return before + BEGIN + options_table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    COMMANDS.write_text(commands_page(), encoding="utf-8")
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
