"""Bring a finished result up to date, by asking for as little as counts by status allow."""

from exporter.updating.changes import TeamsChanges
from exporter.updating.rounds import update
from exporter.updating.settings import take_over, take_over_if_any
from exporter.updating.teams import update_teams

__all__ = ["TeamsChanges", "take_over", "take_over_if_any", "update", "update_teams"]
