"""Hold each record against the filters of its request, as far as it shows what they filter. Pure.

`status` and `type` show as labels, which are known in English and Chinese; `order_id` shows as it is. What
`product_type` and `image_ids` filter shows in no record.
"""

from __future__ import annotations

from exporter import columns
from exporter.errors import CertificateError
from exporter.vendor.orders import Filters, PageResponse, Record

HINT = "the server does not keep to this filter: export without it, and filter the result"


class IgnoredFilterError(CertificateError):
    """A response shows an order that its request did not ask for."""


def check_filters(response: PageResponse, *, language: str) -> None:
    """Raise IgnoredFilterError, which names the order, if a response shows one that its request did not ask for."""
    filters = response.request.filters
    if not (filters.status or filters.type or filters.order_id):
        return
    for record in response.records:
        if wrong := _mismatch(record, filters, language):
            raise IgnoredFilterError(
                f"order {record.get('order_id')!r} came with {response.request}, which asked for others: {wrong}",
                hint=HINT,
            )


def _mismatch(record: Record, filters: Filters, language: str) -> str | None:
    """Return what of a record does not match, None if nothing that it shows does."""
    number = record.get("order_id")
    if filters.order_id is not None and isinstance(number, str | int) and str(number) != filters.order_id:
        return f"its number is not {filters.order_id!r}"
    for field, wanted in (("status", filters.status), ("type", filters.type)):
        label = record.get(field)
        code = columns.codes(field, language).get(label) if isinstance(label, str) else None
        if wanted and code is not None and code not in wanted:
            return f"its {field} is {label!r}, code {code}, where {' or '.join(map(str, wanted))} was asked for"
    return None
