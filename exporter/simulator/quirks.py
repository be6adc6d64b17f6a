"""Name what may surprise in a server; all of it is off by default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """How the server differs from the plain reading of its documents; most are marked `?` in the notes on the API."""

    shuffled_ties: bool = False
    """Orders of one moment come in a new order at each request."""
    sort: Literal["obeyed", "descending", "total"] = "obeyed"
    """What is done with `sort_by` and `order`: obeyed, or always newest first, or always by amount."""
    page_echo: Literal["right", "wrong", "missing"] = "right"
    """What the response gives as its page number."""
    max_page_size: int = 500
    """The longest page, in orders."""
    oversize: Literal["clamp", "refuse"] = "clamp"
    """What happens to a page size above the maximum."""
    page_size_echo: Literal["real", "asked", "missing"] = "real"
    """What the response gives as its page size."""
    page_size: int = 0
    """The page size used whatever the request says, in orders; 0: the one requested."""
    totals: Literal["right", "text", "missing", "short", "long"] = "right"
    """How `total` comes: right, as a string, not at all, one less or seven more than true."""
    total_cap: int = 0
    """The largest `total` that is shown; 0: no cap."""
    depth_cap: int = 0
    """How many orders of a range pages can reach; 0: all."""
    beyond_depth: Literal["refuse", "empty"] = "refuse"
    """What a page beyond the depth gets."""
    past_end: Literal["empty", "refuse", "repeat"] = "empty"
    """What a page after the last one gets."""
    nothing: Literal["list", "null"] = "list"
    """How an empty list is written."""
    open_start: bool = False
    """`created_at_start` is exclusive."""
    open_end: bool = False
    """`created_at_end` is exclusive."""
    hidden_fractions: bool = False
    """Orders are made at milliseconds that bounds and sorting see and `created_at` does not show."""
    max_range_days: float = 0
    """A longer range is refused; 0: any range."""
    last_days: float = 0
    """Of a longer range only its last days are answered for, without a word; 0: all of it."""
    first_days: float = 0
    """Of a longer range only its first days are answered for, without a word; 0: all of it."""
    lag: float = 0
    """Seconds by which a replica of the server lags: it does not show younger orders yet."""
    lagging: Literal["random", "content"] = "random"
    """Which requests a lagging replica answers: half of them at random, or those whose content falls to it."""
    ignored_filters: tuple[str, ...] = ()
    """Filters that change nothing: `status`, `type`, `product_type`, `image_ids`, `order_id`."""
    ignored_range: float = 0
    """The share of requests, 0 to 1, whose range is ignored: they get the last 7 days."""
    inserts: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which a late order appears with an older time."""
    deletions: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which an order vanishes."""
    changes: tuple[int, ...] = ()
    """Numbers of the requests, from 1, before which the status of an order changes."""
