"""Replays recorded traces with any selector."""

from hedgespec.results.store import Results
from hedgespec.simulator.references import REFERENCES
from hedgespec.simulator.replayer import Replay, Replayer
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.sweep import run_sweep

__all__ = ["REFERENCES", "Replay", "Replayer", "Results", "SweepSettings", "run_sweep"]
