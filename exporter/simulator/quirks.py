"""Name the ways in which a server may surprise; all are off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """How the server differs from the plain reading of its documents; most are marked `?` in the notes on the API."""

    shuffled_ties: bool = False
    """Orders of one moment come in another order at each request."""
    sort: Literal["obeyed", "descending", "total"] = "obeyed"
    """What is done with `sort_by` and `order`: obeyed, or always newest first, or always by amount."""
    page_echo: Literal["right", "wrong", "missing"] = "right"
    """What the answer says of its own page number."""
    max_page_size: int = 500
    """The longest page, in orders."""
    oversize: Literal["clamp", "refuse"] = "clamp"
    """What becomes of a page size above the maximum."""
    page_size_echo: Literal["real", "asked", "missing"] = "real"
    """What the answer says of its own page size."""
    page_size: int = 0
    """The page size that is used whatever was asked, in orders; 0: the one asked."""
    totals: Literal["right", "text", "missing", "short", "long"] = "right"
    """How `total` comes: right, as a string, not at all, one less or seven more than true."""
    total_cap: int = 0
    """The largest `total` that is told; 0: no cap."""
    depth_cap: int = 0
    """How deep, in orders, pages can be asked for; 0: to the end."""
    beyond_depth: Literal["refuse", "empty"] = "refuse"
    """What a page that reaches beyond the depth gets."""
    past_end: Literal["empty", "refuse", "repeat"] = "empty"
    """What a page after the last one gets."""
    nothing: Literal["list", "null"] = "list"
    """How a list without orders comes."""
    open_start: bool = False
    """`created_at_start` is exclusive."""
    open_end: bool = False
    """`created_at_end` is exclusive."""
    hidden_fractions: bool = False
    """Orders are made at milliseconds that bounds and sorting see and `created_at` does not show."""
    max_range_days: float = 0
    """A longer range is refused; 0: any range."""
    ignored_range: float = 0
    """The share of requests whose range is ignored: answered for the last 7 days."""
    inserts: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which a late order appears with an older time."""
    deletions: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which an order vanishes."""
    changes: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which the status of an order changes."""
