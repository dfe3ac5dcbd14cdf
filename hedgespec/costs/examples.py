"""Texts to measure costs on: what looks a text up takes as long as the text has it look."""

from functools import cache

import numpy as np
import polars as pl

from hedgespec.bundled import trace_folder
from hedgespec.traces.schema import shard_name

_TRACE = "domain-mix-t0.7"


def example_texts(count: int, tokens: int, vocabulary: int) -> np.ndarray:
    """Token ids (count, tokens) below `vocabulary`, of a model's answers one after another.

    They are those of a bundled trace, whose ids mean other words to another model; what comes back
    in a text, and how often, stays.
    """
    written = _written()
    starts = np.linspace(0, len(written), count, endpoint=False).astype(int)
    places = starts[:, None] + np.arange(tokens)
    found: np.ndarray = written[places % len(written)] % vocabulary
    return found


@cache
def _written() -> np.ndarray:
    """The tokens of the trace's first shard."""
    shard = trace_folder(_TRACE) / shard_name(0)
    return pl.read_parquet(shard, columns=["token"])["token"].cast(pl.Int64).to_numpy()
