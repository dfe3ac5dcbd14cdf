"""EAGLE draft heads: configuration, checkpoints in the dialects that exist, and the network."""

from hedgespec.tracegen.eagle.checkpoint import load_head, save_head
from hedgespec.tracegen.eagle.config import EagleConfig
from hedgespec.tracegen.eagle.head import EagleHead, unroll
from hedgespec.tracegen.eagle.parallel import ParallelHead

__all__ = ["EagleConfig", "EagleHead", "ParallelHead", "load_head", "save_head", "unroll"]
