"""Draw the moments at which orders are made: pure arithmetic over a seeded random source."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from exporter.simulator.options import Shape
from exporter.vendor.orders import API_ZONE

_DAY = 86_400
ZONE_SECONDS = int(API_ZONE.utcoffset(None).total_seconds())
_BURST_ORDERS, _BURST_SECONDS = 200, 30


def draw_seconds(rows: int, first: int, last: int, *, shape: Shape, ties: int, random: Random) -> list[int]:
    """Return `rows` ascending Unix seconds in `[first, last]`, both inclusive."""
    if ties < 2:
        seconds = sorted(_shaped(rows, first, last, shape, random))
    else:
        sizes = _group_sizes(rows, ties, random)
        leaders = sorted(_shaped(len(sizes), first, last, shape, random))
        seconds = [second for second, size in zip(leaders, sizes, strict=True) for _ in range(size)]
    if ties:
        _thin_out(seconds, first, last, ties)
    return seconds


def _shaped(count: int, first: int, last: int, shape: Shape, random: Random) -> Iterable[int]:
    width = last - first + 1
    flat = (first + int(random.random() * width) for _ in range(count))
    if shape == "late":
        return (last - (last - second) // 10 for second in flat)
    if shape == "days":  # the two seconds before and the two seconds after a midnight in GMT+08:00
        midnights = (second - (second + ZONE_SECONDS) % _DAY for second in flat)
        return (min(max(midnight + random.randrange(-2, 3), first), last) for midnight in midnights)
    if shape == "bursty":  # half of the orders in bursts, the others evenly between
        centres = [first + int(random.random() * width) for _ in range(count // _BURST_ORDERS + 1)]
        return (
            second if random.random() < 0.5 else min(random.choice(centres) + random.randrange(_BURST_SECONDS), last)
            for second in flat
        )
    return flat


def _group_sizes(rows: int, ties: int, random: Random) -> list[int]:
    sizes: list[int] = []
    while rows:
        sizes.append(min(rows, random.randint(1, ties)))
        rows -= sizes[-1]
    return sizes


def _thin_out(seconds: list[int], first: int, last: int, ties: int) -> None:
    """Move ascending seconds as little as needed so that at most `ties` orders share one."""
    if len(seconds) > ties * (last - first + 1):
        raise ValueError(f"{len(seconds)} orders don't fit into {last - first + 1} seconds with {ties} a second")
    for index in range(ties, len(seconds)):
        seconds[index] = max(seconds[index], seconds[index - ties] + 1)
    for index in reversed(range(len(seconds))):
        latest = seconds[index + ties] - 1 if index + ties < len(seconds) else last
        seconds[index] = min(seconds[index], latest)
