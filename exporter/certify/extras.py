"""Count what only `_extra` gives back of a segment. Pure."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from exporter import columns
from exporter.certify.judge import Certificate
from exporter.errors import CertificateError


def with_extras(certificate: Certificate, table: pa.Table, *, strict: bool) -> Certificate:
    """Count a segment's values that only `_extra` holds; if `strict`, raise CertificateError for one without sense."""
    extras = columns.extras(table)
    if strict and extras.unparsed:
        raise CertificateError(
            f"{extras.unparsed} values of {certificate.span} do not parse, the first: {extras.example}",
            hint="without --strict-values such a value is null in its column and kept whole in _extra",
        )
    return replace(certificate, values_in_extra=extras.values)
