"""Bring a finished result up to date, by asking for as little as counts by status allow."""

from exporter.updating.settings import adapted, result_in
from exporter.updating.teams import update_teams
from exporter.updating.update import update

__all__ = ["adapted", "result_in", "update", "update_teams"]
