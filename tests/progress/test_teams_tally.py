"""The sums over several teams."""

from __future__ import annotations

from exporter.events import Answered, Committed, Event, Finished, FromTeam, Noticed, Started, TeamFailed
from exporter.progress.teams_tally import TeamsTally


def started(total: int) -> Started:
    return Started(total=total, committed=0, requests_ideal=2, windows=1, rate=1.0)


def tally_of(*events: Event) -> TeamsTally:
    tally = TeamsTally(["a", "b", "c"])
    for second, event in enumerate(events):
        tally.take(event, float(second))
    return tally


def test_orders_and_requests_are_summed_and_failures_counted() -> None:
    tally = tally_of(
        Noticed(message="of no team"),
        FromTeam(team="a", event=started(700)),
        FromTeam(team="a", event=Answered(requests=2, in_flight=1, latency=0.1)),
        FromTeam(team="a", event=Committed(start=0, stop=9, rows=700, total_rows=700)),
        FromTeam(team="a", event=Finished(rows=700, complete=True)),
        FromTeam(team="b", event=started(300)),
        FromTeam(team="b", event=Answered(requests=1, in_flight=1, latency=0.1)),
        TeamFailed(team="c", message="no", hint=None, exit_code=3),
    )
    assert (tally.total, tally.complete) == (1000, False)
    line = tally.text(11.0)
    assert line.startswith("1 of 3 teams, 1 failed, ")
    assert "0.3 requests/s" in line
    assert tally.text(11.0, width=30) == "1 of 3 teams, 1 failed"
    assert tally.facts()["requests"] == 3


def test_a_total_is_unknown_until_each_team_has_one() -> None:
    assert tally_of(FromTeam(team="a", event=started(700))).total is None
    assert tally_of().since is None


def test_all_have_ended_once_each_is_finished_or_failed() -> None:
    ended = [FromTeam(team=name, event=Finished(rows=1, complete=True)) for name in "ab"]
    tally = tally_of(*ended, TeamFailed(team="c", message="no", hint="do", exit_code=4))
    assert tally.complete
    assert tally.total == 2
