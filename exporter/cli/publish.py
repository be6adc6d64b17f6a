"""`exporter publish`: put a finished result into object storage, or a shared folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exporter.cli.app import chosen, command
from exporter.cli.event_loop import in_thread
from exporter.cli.reporting import say
from exporter.config.options import OutputOptions
from exporter.progress.text import counted, size

if TYPE_CHECKING:
    from exporter.delivery.publish.version import Upload

EXAMPLES = """\
Examples:
  exporter publish orders/ s3://bucket/orders
  exporter publish orders/ gs://bucket/orders --overwrite --prune
  exporter publish orders/ file:///srv/shared/orders

Credentials come from the environment: AWS_ACCESS_KEY_ID and so on, AWS_ENDPOINT_URL for stores like S3.
"""


@command(OutputOptions, without=("log_file",), epilogue=EXAMPLES)
def publish(
    out: str | Path,
    url: str,
    /,
    *,
    overwrite: Annotated[bool, Parameter(help="Replace another result that is published at URL.", negative="")] = False,
    prune: Annotated[
        bool, Parameter(help="Delete the versions that this one replaces. Readers of those fail.", negative="")
    ] = False,
    **given: Any,
) -> int:
    """Verify the result in OUT, or those of its teams, and publish it at URL: s3://, gs://, az:// or file:///.

    What is there whole is not sent again, so the same command resumes. Readers see the old version or the new one.
    Needs the extra `publish`.
    """
    from exporter.delivery.publish.publisher import publish as published

    shown = chosen(given).values

    def report(upload: Upload) -> None:
        if not shown["quiet"]:
            say(f"sent {upload.key} ({size(upload.size)})")

    work = partial(published, Path(out), url, overwrite=overwrite, prune=prune, on_sent=report)
    made = in_thread(work)
    if shown["json"]:
        print(json.dumps({"out": str(out), **asdict(made)}, ensure_ascii=False))
    elif not shown["quiet"]:
        sent = f"{counted(made.sent, 'file')} sent, {size(made.sent_bytes)}" if made.sent else "all of it was there"
        print(f"published {out} at {made.url}: {counted(made.rows, 'order')}, {sent}")
        if made.pruned:
            print(f"deleted {counted(len(made.pruned), 'older version')}: {', '.join(made.pruned)}")
        print(f"read it with {made.pattern}")
    return 0
