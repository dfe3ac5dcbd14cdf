"""Recurrent draft heads with beam search (ReDrafter, 2403.09919): network, search, checkpoints."""

from hedgespec.models.heads.recurrent.beams import BeamSearch
from hedgespec.models.heads.recurrent.checkpoint import load_redrafter, save_redrafter
from hedgespec.models.heads.recurrent.network import RecurrentConfig, RecurrentHead

__all__ = ["BeamSearch", "RecurrentConfig", "RecurrentHead", "load_redrafter", "save_redrafter"]
