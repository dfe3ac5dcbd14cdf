"""Traces and results with changed files, half of them with hashes that agree again."""

from pathlib import Path

import numpy as np

from tests.helpers.made_results import make_results
from tests.helpers.synthetic import write_trace
from tests.helpers.try_mutations import of_results, of_trace


def trial(rng: np.random.Generator, folder: Path) -> str:
    """One of either."""
    seed = int(rng.integers(2**31))
    if rng.random() < 0.5:
        temperature = float(rng.integers(2))
        write_trace(
            folder / "trace",
            lengths=(6, 1, 4),
            depths=(1, 5),
            closeness=(0.9, 0.4),
            temperature=temperature,
        )
        return of_trace(folder / "trace", folder / "changed", seed).split()[-1]
    make_results(folder / "results", learners=1, queries=4)
    return of_results(folder / "results", folder / "changed", seed).split()[-1]
