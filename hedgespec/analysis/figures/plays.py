"""What a learner plays in the course of a text: `hedgespec check`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hedgespec.analysis.figures.looks import COLOURS, SERIES
from hedgespec.analysis.figures.paper import TWO_COLUMN, styled


def weights_figure(
    played: Mapping[str, tuple[np.ndarray, np.ndarray]], title: str, path: Path
) -> None:
    """Draw the weights (R, N) of rounds that started at (R) positions, a panel for each trace."""
    with styled():
        figure = Figure(figsize=(TWO_COLUMN, 1.6 * len(played)), layout="constrained")
        panels = figure.subplots(len(played), squeeze=False)[:, 0]
        for panel, (trace, (starts, weights)) in zip(panels, played.items(), strict=True):
            colours = [COLOURS[SERIES[arm % len(SERIES)]][0] for arm in range(weights.shape[1])]
            panel.stackplot(
                starts,
                weights.T,
                colors=colours,
                step="post",
                labels=[f"drafter {arm}" for arm in range(weights.shape[1])],
            )
            panel.set(
                title=f"{title} on {trace}", ylabel="weight", ylim=(0, 1), xlim=(0, starts[-1])
            )
        panels[-1].set_xlabel("position in the text, tokens")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=8)
        figure.savefig(path, facecolor="white")
