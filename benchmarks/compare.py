"""Measure every contender on the same orders, check what each wrote, print and save the table and a plot.

    python benchmarks/compare.py [--rows N] [--rounds N] [--only NAME ...] [--save NAME]
    python benchmarks/compare.py --quick

Exit 1 if a contender failed or what it wrote is not what the server holds; never because of a time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import report
from chart import bars
from contest import BOUND, CONTENDERS, EXPORTER, QUICK, Attempt, Contender, attempt, expected
from environments import RESULTS, python_of
from measure import BrokenError

from exporter.simulator import SimulatorOptions
from exporter.simulator.child_process import serving_apart


@dataclass
class Score:
    """What a contender did in all rounds."""

    contender: Contender
    starts: list[float] = field(default_factory=list)
    """Seconds that the same command takes for a single order; the first one warms the disk's cache only."""
    attempts: list[Attempt] = field(default_factory=list)
    broken: str = ""

    @property
    def seconds(self) -> float:
        """The median of the rounds."""
        return statistics.median(attempt.measured.seconds for attempt in self.attempts)

    @property
    def start(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.starts[1:])


def compete(contenders: Sequence[Contender], *, rows: int, rounds: int) -> list[Score]:
    """Run the contenders one after the other, round after round; one that fails does not run again."""
    scores = [Score(contender) for contender in contenders]
    for environment in dict.fromkeys(contender.environment for contender in contenders):
        python_of(environment)
    for orders in (1, rows):
        expected(orders)  # before there is a server: both hold all orders
        with serving_apart(SimulatorOptions(rows=orders)) as url:
            for number in range(rounds + (orders == 1)):
                for score in scores:
                    if not score.broken:
                        _run(score, url, rows=orders, start=orders == 1)
                        _tell(score, orders, number)
    return scores


def _run(score: Score, url: str, *, rows: int, start: bool) -> None:
    try:
        done = attempt(score.contender, url, rows=rows)
    except BrokenError as error:
        score.broken = str(error)
    else:
        if start:
            score.starts.append(done.measured.seconds)
        else:
            score.attempts.append(done)


def _tell(score: Score, orders: int, number: int) -> None:
    last = score.attempts[-1].measured.seconds if score.attempts else score.starts[-1] if score.starts else 0
    what = score.broken or f"{last:.2f} s"
    print(f"round {number + 1}, {orders:,} orders: {score.contender.name}: {what}", file=sys.stderr)


HEADS = (
    "contender",
    "rows/s",
    "of the bound",
    "rows/s once started",
    "start, s",
    "CPU, s",
    "peak memory, MB",
    "requests",
    "on disk, MB",
    "money",
    "created_at",
)


def lines(scores: Iterable[Score], rows: int) -> Iterable[tuple[str, ...]]:
    """Yield the rows of the table: medians, and of memory the most."""
    scores = list(scores)
    bound = next((score.seconds for score in scores if score.contender == BOUND and score.attempts), None)
    for score in scores:
        if score.broken:
            yield (score.contender.title, f"failed: {score.broken.splitlines()[0]}", *[""] * (len(HEADS) - 2))
            continue
        last = score.attempts[-1]
        yield (
            score.contender.title,
            f"{rows / score.seconds:,.0f}",
            f"{bound / score.seconds:.2f}" if bound else "",
            f"{rows / (score.seconds - score.start):,.0f}" if score.seconds > 2 * score.start else "–",
            f"{score.start:.2f}",
            f"{statistics.median(done.measured.cpu_seconds for done in score.attempts):.1f}",
            report.megabytes(max(done.measured.memory for done in score.attempts)),
            f"{last.requests:,}",
            f"{last.held['bytes'] / 1e6:.1f}" if "bytes" in last.held else "–",
            last.held.get("money_type", "–"),
            last.held.get("time_type", "–"),
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="orders of the server")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in CONTENDERS], help="these contenders")
    parser.add_argument("--save", metavar="NAME", default="compare", help="write results/NAME.md, .json and .svg")
    parser.add_argument("--quick", action="store_true", help="four contenders, 20,000 orders, once; saves nothing")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rows, arguments.rounds, arguments.save = 20_000, 1, ""
        arguments.only = arguments.only or [one.name for one in QUICK]
    chosen = [one for one in CONTENDERS if not arguments.only or one.name in arguments.only]
    scores = compete(chosen, rows=arguments.rows, rounds=arguments.rounds)
    text = report.table(HEADS, list(lines(scores, arguments.rows)), texts=(0, 9, 10))
    text += f"\nEach once a round, one after the other; {arguments.rounds} rounds. Versions: "
    text += ", ".join(dict.fromkeys(score.contender.version for score in scores)) + ".\n"
    print(text)
    if arguments.save:
        save(arguments.save, scores, text, arguments.rows)
    for score in scores:
        if score.broken:
            print(f"{score.contender.name}: {score.broken}", file=sys.stderr)
    return 1 if any(score.broken for score in scores) else 0


def save(name: str, scores: Sequence[Score], text: str, rows: int) -> None:
    """Write the table, all single figures and the plot."""
    done = [score for score in scores if not score.broken]
    title = f"{rows:,} orders to Parquet, no rate limit"
    data = {
        score.contender.name: {
            "version": score.contender.version,
            "start_seconds": score.starts,
            "rounds": [attempt.as_json() for attempt in score.attempts],
            "broken": score.broken,
        }
        for score in scores
    }
    report.save(name, title, f"{text}\n![rows per second]({name}.svg)\n", {"rows": rows, "contenders": data})
    values = [(_plain(score.contender.title), rows / score.seconds) for score in done]
    picture = bars(f"{title}: rows per second", values, highlight=_plain(EXPORTER.title))
    (RESULTS / f"{name}.svg").write_text(picture)


def _plain(title: str) -> str:
    return title.replace("*", "").replace("`", "")


if __name__ == "__main__":
    sys.exit(main())
