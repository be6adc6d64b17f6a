"""Compare two results in one pass over both: what was added, what changed, what vanished.

Both are in order of (created_at, order_id, content), so they are merged: of each side a row group is held, and the rows
before the smaller of the two last keys are complete on both sides and are compared at once. Memory doesn't grow with
the results.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from exporter import columns
from exporter.columns.arrays import strings, whole
from exporter.errors import ConfigError
from exporter.result import Diff, Result
from exporter.store.finished import Results, check_parts, tables
from exporter.store.manifest import differences, span_from_json

ADDED, CHANGED, VANISHED = "added", "changed", "vanished"

Key = tuple[int, str]
"""What rows are ordered by: microseconds since 1970 UTC, and the order number."""


def diff(old: Results, new: Results, *, write: Callable[[pa.Table], None], keep: int | None = None) -> Diff:
    """Compare two results, or the teams of two folders, and give the orders that differ to `write`, batch by batch.

    They come in order of team, then of the rows of a result. `keep` is how many of them the Diff has at most.
    Raise ConfigError if only one of the two has teams, CertificateError that names parts that are damaged.
    """
    if (old[0][0] is None) != (new[0][0] is None):
        raise ConfigError(
            "one of the two is the result of one team, the other holds several",
            hint="name one team's folder inside it, such as orders/team=NAME",
        )
    check_parts([*old, *new])
    before, after = dict(old), dict(new)
    schema = changes_schema(old, new)
    count = _Count(keep=keep, schema=schema)
    notes: list[str] = []
    for team in sorted(before.keys() | after.keys(), key=str):
        notes += _notes(team, before.get(team), after.get(team))
        for found in merged(_rows(before.get(team)), _rows(after.get(team))):
            rows = _changes(found, schema, team)
            count.add(found.same, rows)
            if len(rows):
                write(rows)
    return count.result(notes)


def changes_schema(old: Results, new: Results) -> pa.Schema:
    """Return the schema of the orders that differ: times in the zone of the new result, of the first team with one."""
    manifest = (new or old)[0][1].manifest
    rows = columns.schema(timezone=manifest["timezone"], language=manifest["language"])
    fields = [
        pa.field("change", pa.string(), nullable=False),
        pa.field("old_status", pa.string()),
        pa.field("old_expired_at", rows.field("expired_at").type),
    ]
    if new[0][0] is not None:
        fields.insert(0, pa.field("team", pa.string(), nullable=False))
    return pa.schema([*fields, *rows], metadata=rows.metadata)


def merged(old: Iterable[pa.Table], new: Iterable[pa.Table]) -> Iterator[columns.Difference]:
    """Compare ordered rows, whatever batches they come in; give what differs, in order."""
    sides = _Side(iter(old)), _Side(iter(new))
    while True:
        for side in sides:
            side.read_if_empty()
        last = min((side.last for side in sides if not side.ended), default=None)
        taken = [side.take_before(last) for side in sides]
        if any(map(len, taken)):
            yield columns.difference(*taken)
        if last is None:
            return
        for side in sides:
            if not side.ended and side.last == last:
                side.read()


class _Side:
    """One of two results: the rows that were read and not compared yet."""

    def __init__(self, batches: Iterator[pa.Table]) -> None:
        self._batches = batches
        self._rows: pa.Table | None = None
        self._last: Key | None = None
        self.ended = False

    @property
    def last(self) -> Key:
        """The key of the last row read."""
        assert self._last is not None  # noqa: S101  # there is one unless it ended
        return self._last

    def read_if_empty(self) -> None:
        if not self.ended and (self._rows is None or not len(self._rows)):
            self.read()

    def read(self) -> None:
        """Read the next batch that has rows."""
        batch = next(filter(len, self._batches), None)
        if batch is None:
            self.ended = True
            return
        held = [] if self._rows is None else [self._rows]
        self._rows = pa.concat_tables([*held, batch]).combine_chunks()
        self._last = _key(self._rows, len(self._rows) - 1)

    def take_before(self, key: Key | None) -> pa.Table:
        """Take the rows before a key, all without one."""
        if self._rows is None:
            return columns.schema(timezone="UTC", language="en").empty_table()
        rows, end = self._rows, len(self._rows)
        if key is not None:
            end = bisect_left(range(end), key, key=lambda place: _key(rows, place))
        self._rows = rows.slice(end)
        return rows.slice(0, end)


def _key(table: pa.Table, place: int) -> Key:
    return table["created_at"][place].value, table["order_id"][place].as_py()


class _Count:
    """What differed so far."""

    def __init__(self, *, keep: int | None, schema: pa.Schema) -> None:
        self._keep = keep
        self._kept = [schema.empty_table()]
        self._kept_rows = self._same = 0
        self._changes: Counter[str] = Counter()
        self._by_status: Counter[tuple[str | None, str | None]] = Counter()
        self._by_month: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._timezone = schema.field("created_at").type.tz

    def add(self, same: int, rows: pa.Table) -> None:
        self._same += same
        if not len(rows):
            return
        keys = ["change", "old_status", "status"]
        for row in rows.select(keys).group_by(keys, use_threads=False).aggregate([([], "count_all")]).to_pylist():
            change, count = row["change"], row["count_all"]
            status = None if change == VANISHED else row["status"]
            self._changes[change] += count
            self._by_status[row["old_status"], status] += count
        clocks, _ = columns.local(whole(rows["created_at"]), self._timezone)
        months = pc.utf8_slice_codeunits(clocks.cast(pa.string()), 0, len("2025-12"))
        dated = pa.table({"month": months, "change": rows["change"]})
        for row in dated.group_by(["month", "change"], use_threads=False).aggregate([([], "count_all")]).to_pylist():
            self._by_month[row["month"]][row["change"]] += row["count_all"]
        room = len(rows) if self._keep is None else self._keep - self._kept_rows
        if room > 0:
            self._kept.append(rows.slice(0, room))
            self._kept_rows += min(room, len(rows))

    def result(self, notes: list[str]) -> Diff:
        return Diff(
            added=self._changes[ADDED],
            changed=self._changes[CHANGED],
            vanished=self._changes[VANISHED],
            same=self._same,
            by_status=dict(self._by_status.most_common()),
            by_month={month: dict(self._by_month[month]) for month in sorted(self._by_month)},
            notes=tuple(notes),
            changes=pa.concat_tables(self._kept),
        )


def _rows(result: Result | None) -> Iterator[pa.Table]:
    return iter(()) if result is None else tables(result)


def _changes(found: columns.Difference, schema: pa.Schema, team: str | None) -> pa.Table:
    """Return the orders that differ, in the order of a result."""
    parts = [
        (VANISHED, found.vanished, found.vanished),
        (CHANGED, found.before, found.after),
        (ADDED, None, found.added),
    ]
    made = []
    for change, before, rows in parts:
        if not len(rows):
            continue
        texts = {"team": team, "change": change}
        given = {name: pa.repeat(strings([text])[0], len(rows)) for name, text in texts.items() if text is not None}
        given |= {
            f"old_{name}": pa.nulls(len(rows), rows[name].type) if before is None else before[name]
            for name in ("status", "expired_at")
        }
        given |= {name: rows[name] for name in rows.column_names}
        made.append(pa.table([given[name] for name in schema.names], names=schema.names).cast(schema))
    if not made:
        return schema.empty_table()
    table = pa.concat_tables(made).combine_chunks()
    return table.take(pc.sort_indices(table, [("created_at", "ascending"), ("order_id", "ascending")]))


def _notes(team: str | None, old: Result | None, new: Result | None) -> Iterator[str]:
    """Report what keeps two results from being compared like with like."""
    of = "" if team is None else f"team {team}: "
    if old is None or new is None:
        yield f"{of}only the {'new' if old is None else 'old'} one has this team"
        return
    for name, result in (("old", old), ("new", new)):
        if not result.complete:
            yield f"{of}the {name} result is not certified: orders may be missing in it"
    asked = [result.manifest["query"] for result in (old, new)]
    queries = differences(*asked)
    if all(asked[0].get(name) == asked[1].get(name) for name in ("start", "end")):  # an open end was another time's
        spans = [str(span_from_json(result.manifest["range"])) for result in (old, new)]
        queries += [f"the range was {spans[0]} and is now {spans[1]}"] if spans[0] != spans[1] else []
    if queries:
        yield f"{of}the two were asked for differently: {'; '.join(queries)}"
