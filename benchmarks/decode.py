"""Time each step from a page's bytes to an ordered table: CPU seconds a million orders.

    python benchmarks/decode.py [ROWS] [ROUNDS]

The pages are made here: 500 orders and about 127 kB each, in order of time, as the API is asked for them.
Steps are timed one after the other in one thread: which of them hold the interpreter's lock is said beside them.
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

Result = TypeVar("Result")

PAGE_ROWS, SEGMENT_PAGES = 500, 20
LOCKED = ("loads", "gather", "free")
"""Steps that hold the interpreter's lock from beginning to end; the others let other threads run in between."""


def order(random_: random.Random, moment: dt.datetime) -> dict[str, object]:
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


def make_pages(rows: int) -> list[bytes]:
    random_ = random.Random(1)
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    pages = []
    for number in range(rows // PAGE_ROWS):
        orders = []
        for _ in range(PAGE_ROWS):
            moment += dt.timedelta(seconds=random_.randrange(60))
            orders.append(order(random_, moment))
        data = {
            "list": orders,
            "page": number + 1,
            "pagesize": PAGE_ROWS,
            "total": rows,
            "total_page": rows // PAGE_ROWS,
        }
        pages.append(orjson.dumps({"code": 200, "data": data, "message": "Success"}))
    return pages


def decode(pages: list[bytes]) -> dict[str, float]:
    """Decode pages as an export does, segment by segment; return the CPU seconds of each step."""
    spent = dict.fromkeys(("loads", "gather", "free", "typed", "ordered", "identities", "seconds", "extras"), 0.0)

    def timed(step: str, work: Callable[..., Result], *args: Any, **options: Any) -> Result:
        before = time.process_time()
        result = work(*args, **options)
        spent[step] += time.process_time() - before
        return result

    for first in range(0, len(pages), SEGMENT_PAGES):
        segment = []
        for page in pages[first : first + SEGMENT_PAGES]:
            answer = timed("loads", orjson.loads, page)
            segment.append(timed("gather", gather, answer["data"]["list"]))
            timed("free", answer.clear)
        table = timed("typed", typed, segment, timezone="Asia/Shanghai", language="en")
        table = timed("ordered", ordered, table)
        timed("identities", identities, table)
        timed("seconds", seconds, table)
        timed("extras", extras, table)
        assert len(table) == len(segment) * PAGE_ROWS
    return spent


def main() -> None:
    rows, rounds = (int(word) for word in (*sys.argv[1:], *("200000", "5")[len(sys.argv) - 1 :]))
    pages = make_pages(rows)
    decode(pages[:SEGMENT_PAGES])  # what is made once is not what is measured
    times = [decode(pages) for _ in range(rounds)]
    print(f"{rows:,} orders, {len(pages[0]) / 1000:.0f} kB a page of {PAGE_ROWS}, median of {rounds} rounds")
    print("CPU seconds a million orders:")
    medians = {step: statistics.median(each[step] for each in times) * 1e6 / rows for step in times[0]}
    for step, median in medians.items():
        print(f"  {step:<12}{median:6.3f}{'  holds the lock' if step in LOCKED else ''}")
    print(f"  {'all':<12}{sum(medians.values()):6.3f}")


if __name__ == "__main__":
    main()
