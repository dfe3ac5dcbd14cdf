"""Replays recorded traces with any selector."""

from hedgespec.simulator.replayer import REFERENCES, Replayer, Run
from hedgespec.simulator.sweep import Results, SweepSettings, run_sweep

__all__ = ["REFERENCES", "Replayer", "Results", "Run", "SweepSettings", "run_sweep"]
