"""Keep committed segments safe, write them as Parquet, and publish the whole as OUT in one step."""

from exporter.store.manifest import Manifest
from exporter.store.row_budget import RowBudget
from exporter.store.run_facts import RunFacts
from exporter.store.space import Space, space
from exporter.store.status import Status, status
from exporter.store.store import Store

__all__ = ["Manifest", "RowBudget", "RunFacts", "Space", "Status", "Store", "space", "status"]
