"""Read where the exports of several teams run: in this process, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.config.sources import Chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Workers that share the teams: this many processes of this machine, or those of a running scheduler."""

    workers: int = 1
    scheduler: str | None = None
    """The address of a running one; None: a cluster of this run's own."""


def cluster_of(chosen: Chosen, *, teams: bool) -> Cluster | None:
    """Return the workers that the options ask for; None: this process does it all.

    Of two places named in different sources the one nearer to the user holds. Raise ConfigError for two in one source,
    and for workers where there are no `teams` to share.
    """
    workers, scheduler = chosen.values["workers"], chosen.values["scheduler"]
    if scheduler is not None and chosen.sources["workers"] is not None:
        if chosen.sources["workers"] is chosen.sources["scheduler"]:
            raise chosen.refuse("scheduler", "a number of workers was given too, and only one of the two can hold")
        if chosen.rank("workers") < chosen.rank("scheduler"):
            scheduler = None
    if scheduler is None and workers == 1:
        return None
    if not teams:
        name = "workers" if scheduler is None else "scheduler"
        raise chosen.refuse(name, "workers share teams, and there are none: name a file of teams by --config")
    return Cluster(scheduler=scheduler) if scheduler is not None else Cluster(workers=workers)
