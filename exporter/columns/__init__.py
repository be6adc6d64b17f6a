"""Turn the API's records into Arrow columns and back, losing nothing.

`gather` joins a page's records by field where they were parsed; `typed` makes the columns of many pages, in any thread;
`records` gives back what came: `list(records(typed([gather(page)], ...))) == page`, types included. What the columns
alone can't give back is stored in `_extra`.
"""

from exporter.columns.arrays import integers
from exporter.columns.decode import seconds_of, typed
from exporter.columns.difference import Difference, difference
from exporter.columns.extras import Extras, extras
from exporter.columns.gather import Cells, fingerprint, gather, last_of
from exporter.columns.local_times import iso, local
from exporter.columns.table import (
    SECOND,
    before,
    identities,
    identity_keys,
    in_order,
    instants,
    ordered,
    place_of,
    records,
    repeated,
    schema,
    seconds,
    within,
)
from exporter.columns.text_formats import codes

__all__ = [
    "SECOND",
    "Cells",
    "Difference",
    "Extras",
    "before",
    "codes",
    "difference",
    "extras",
    "fingerprint",
    "gather",
    "identities",
    "identity_keys",
    "in_order",
    "instants",
    "integers",
    "iso",
    "last_of",
    "local",
    "ordered",
    "place_of",
    "records",
    "repeated",
    "schema",
    "seconds",
    "seconds_of",
    "typed",
    "within",
]
