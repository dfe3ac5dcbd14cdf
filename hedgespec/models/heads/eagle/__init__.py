"""EAGLE draft heads: configuration, checkpoints in the dialects that exist, and the network."""

from hedgespec.models.heads.eagle.checkpoint import load_head, save_head
from hedgespec.models.heads.eagle.head import EagleHead, unroll
from hedgespec.models.heads.eagle.parallel import ParallelHead
from hedgespec.models.heads.eagle.shape import EagleConfig

__all__ = ["EagleConfig", "EagleHead", "ParallelHead", "load_head", "save_head", "unroll"]
