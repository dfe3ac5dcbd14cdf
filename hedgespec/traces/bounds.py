"""How far gamma is known, where servers told only the most probable tokens."""

import numpy as np

from hedgespec.traces.reader import TraceReader
from hedgespec.traces.schema import BOUNDS, optional_column


def width_of_bounds(trace: TraceReader) -> float | None:
    """Mean distance of the bounds of gamma, over tokens and the drafters that have some; None if
    none has. Of the shards these columns alone are read.
    """
    pairs = [
        [optional_column(bound, info.name) for bound in BOUNDS]
        for info in trace.manifest.drafters
        if BOUNDS[0] in info.statistics
    ]
    if not pairs:
        return None
    total = sum(
        float(np.sum((shard[high] - shard[low]).to_numpy(), dtype=np.float64))
        for shard in trace.columns([column for pair in pairs for column in pair])
        for low, high in pairs
    )
    return total / (len(pairs) * trace.manifest.tokens)
