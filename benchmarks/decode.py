"""Time each step from a page's bytes to an ordered table: CPU seconds a million orders.

    python benchmarks/decode.py [ROWS] [ROUNDS]

The pages hold 500 orders, about 127 kB, in order of time, as the API is asked for them: in plain formats throughout;
with thousands separators in all amounts, large ones; with a tenth field in all records; and the simulator's, where one
amount in seven has another format, and some order numbers come twice. Steps are timed one after the other in one
thread: which of them hold the interpreter's lock is shown next to them.
"""

from __future__ import annotations

import datetime as dt
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from exporter.columns import extras, gather, identities, ordered, seconds, typed
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.world import World
from exporter.vendor.orders import Record

Result = TypeVar("Result")

PAGE_ROWS, SEGMENT_PAGES = 500, 20
STEPS = ("loads", "gather", "free", "typed", "ordered", "identities", "seconds", "extras")
LOCKED = ("loads", "gather", "free")
"""Steps that hold the interpreter's lock from beginning to end; the others let other threads run in between."""


def order(random_: random.Random, moment: dt.datetime) -> Record:
    unpaid = random_.random() < 0.03
    return {
        "type": random_.choice(("Purchase", "Renewal", "Recharge", "Deduction", "Refund")),
        "order_id": f"{moment:%Y%m%d%H%M%S}{random_.randrange(10**10):010}",
        "product": random_.choice(("Cloud phone", "Balance", "Cloud Number", "Subscription Startup")),
        "description": f"Cloud phone No. {random_.randrange(10**6):06} for {random_.choice((1, 7, 30, 90))} days",
        "status": "Unpaid" if unpaid else random_.choice(("Finished", "Finished", "Finished", "Cancelled", "Paid")),
        "total": f"{random_.choice(('-', '-', ''))}${random_.lognormvariate(2.5, 1.2):.2f}",
        "created_at": moment.isoformat(),
        "expired_at": (moment + dt.timedelta(minutes=30)).isoformat() if unpaid else "",
        "expired_seconds": random_.randrange(1800) if unpaid else 0,
    }


def orders(rows: int) -> list[Record]:
    random_ = random.Random(1)
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    made = []
    for _ in range(rows):
        moment += dt.timedelta(seconds=random_.randrange(60))
        made.append(order(random_, moment))
    return made


def page_sets(rows: int) -> dict[str, list[bytes]]:
    plain = orders(rows)
    return {
        "plain": in_pages(plain),
        "grouped": in_pages([record | {"total": f"-${1000 + at * 7 / 100:,.2f}"} for at, record in enumerate(plain)]),
        "tenth": in_pages([record | {"remark": f"{at}"} for at, record in enumerate(plain)]),
        "simulated": in_pages(World.of(SimulatorOptions(rows=rows)).oracle()),
    }


def in_pages(records: list[Record]) -> list[bytes]:
    pages = []
    for first in range(0, len(records), PAGE_ROWS):
        data = {
            "list": records[first : first + PAGE_ROWS],
            "page": first // PAGE_ROWS + 1,
            "pagesize": PAGE_ROWS,
            "total": len(records),
            "total_page": -(-len(records) // PAGE_ROWS),
        }
        pages.append(orjson.dumps({"code": 200, "data": data, "message": "Success"}))
    return pages


def decode(pages: list[bytes]) -> dict[str, float]:
    """Decode pages as an export does, segment by segment; return the CPU seconds of each step."""
    spent = dict.fromkeys(STEPS, 0.0)

    def timed(step: str, work: Callable[..., Result], *args: Any, **options: Any) -> Result:
        before = time.process_time()
        result = work(*args, **options)
        spent[step] += time.process_time() - before
        return result

    for first in range(0, len(pages), SEGMENT_PAGES):
        segment = []
        for page in pages[first : first + SEGMENT_PAGES]:
            envelope = timed("loads", orjson.loads, page)
            segment.append(timed("gather", gather, envelope["data"]["list"]))
            timed("free", envelope.clear)
        table = timed("typed", typed, segment, timezone="Asia/Shanghai", language="en")
        table = timed("ordered", ordered, table)
        timed("identities", identities, table)
        timed("seconds", seconds, table)
        timed("extras", extras, table)
        assert len(table) == sum(map(len, segment))
    return spent


def main() -> None:
    rows, rounds = (int(word) for word in (*sys.argv[1:], *("200000", "5")[len(sys.argv) - 1 :]))
    sets = page_sets(rows)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in sets}
    for number in range(rounds + 1):
        for name, pages in sets.items():
            spent = decode(pages if number else pages[:SEGMENT_PAGES])
            times[name] += [spent] if number else []  # what is made once is not what is measured
    medians = {
        name: {step: statistics.median(each[step] for each in rounds_) * 1e6 / rows for step in STEPS}
        for name, rounds_ in times.items()
    }
    print(f"{rows:,} orders, {len(sets['plain'][0]) / 1000:.0f} kB a page of {PAGE_ROWS}, median of {rounds} rounds")
    print("CPU seconds a million orders:")
    print(f"  {'':<12}{''.join(f'{name:>11}' for name in sets)}")
    for step in STEPS:
        figures = "".join(f"{median[step]:11.3f}" for median in medians.values())
        print(f"  {step:<12}{figures}{'  holds the lock' if step in LOCKED else ''}")
    print(f"  {'all':<12}{''.join(f'{sum(median.values()):11.3f}' for median in medians.values())}")


if __name__ == "__main__":
    main()
