"""Export many teams in one process: each with its key, its pace and its result; they share everything else."""

from exporter.teams.export import export_teams
from exporter.teams.summary import Outcome, TeamsSummary

__all__ = ["Outcome", "TeamsSummary", "export_teams"]
