"""Replays recorded traces with any selector."""

from hedgespec.results.store import Results
from hedgespec.simulator.choosers import Chooser, as_chooser
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.sweep import run_sweep

__all__ = ["Chooser", "Replay", "Replayer", "Results", "SweepSettings", "as_chooser", "run_sweep"]
