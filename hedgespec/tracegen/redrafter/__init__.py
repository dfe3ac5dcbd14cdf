"""Recurrent draft heads with beam search (ReDrafter, 2403.09919): network, search, checkpoints."""

from hedgespec.tracegen.redrafter.beams import BeamSearch
from hedgespec.tracegen.redrafter.checkpoint import load_redrafter, save_redrafter
from hedgespec.tracegen.redrafter.network import RecurrentConfig, RecurrentHead

__all__ = ["BeamSearch", "RecurrentConfig", "RecurrentHead", "load_redrafter", "save_redrafter"]
