"""Checkpoints of heads and models, damaged: they work, or are refused."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from hedgespec.models.target import LanguageModel, load_model
from tests.helpers.damaged_checkpoints import try_damage, try_damaged_model
from tests.helpers.tiny import save_tiny_model


def trial(rng: np.random.Generator, folder: Path) -> str:
    """One of either."""
    target, model = _target()
    seed = int(rng.integers(2**31))
    said = (
        try_damage(seed, folder, target)
        if rng.random() < 0.5
        else try_damaged_model(seed, folder, model, target)
    )
    return "work" if said == "works" else "refused"


@cache
def _target() -> tuple[LanguageModel, Path]:
    """Of all trials of a process, and its folder."""
    model = Path(mkdtemp()) / "target"
    save_tiny_model(model, seed=0, layers=4)
    return load_model(str(model), "cpu", "float32"), model
