"""Results to show on pages: of the simulator, and of records that nobody would want to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import exporter
from exporter.certify.spans import Span
from exporter.vendor.orders import Record
from tests.store.orders import BEGIN, certificate, export, record, table, whole

SCRIPT = "<script>document.title='run'</script><img src=x onerror=alert(1)>"
BIDI = "invoice \u202egnp.exe\u2066 \x07\x1b[31m"
LONG = "m" * 1_000_000
MARKUP = "{{ 7 * 7 }} </style></svg></pre>&amp;\"' $x^2$ \\frac"


def hostile_records() -> list[Record]:
    """Return orders whose every text tries to be more than text, and fields that no column has."""
    texts = [SCRIPT, BIDI, LONG, MARKUP, "云手机 🛒", "", "عربى"]
    rows = []
    for number, text in enumerate(texts * 3):
        row = record(BEGIN + number, number)
        # order numbers, types and statuses are texts of the data as well
        row |= {"product": text, "description": text, "type": text[:5_000], "order_id": text[:50] + str(number)}
        row |= {
            "status": text[:300],
            f"field {text[:60]}": text[:80],
            "total": ("-$1.00", text[:90], "$2.5")[number % 3],
        }
        rows.append(row)
    return rows


def result_of(out: Path, rows: Sequence[Record]) -> exporter.Result:
    """Store records as one certified segment and open the result."""
    held = table(rows)
    span = whole(3600)
    export(out, [(certificate(Span(span.start, span.stop), len(held)), held)])
    return exporter.open(out)


def with_manifest(result: exporter.Result, **changes: Any) -> exporter.Result:
    """Return the result as if its manifest had other values."""
    return replace(result, manifest={**result.manifest, **changes})
