"""The API in a box: orders from a seed, a server, and whatever can go wrong. Shares no code with the engine."""

from exporter.simulator.faults import Faults
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.quirks import Quirks

__all__ = ["Faults", "Quirks", "SimulatorOptions"]
