"""Builds the trees of every start position of recorded answers and walks the answers down them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.accepted import TreeStatistics, walk
from hedgespec.models.trees.growth import TreeShape

if TYPE_CHECKING:
    from hedgespec.models.drafters import Drafter, ScoringBatch

# Trees built at a time, per kind of device: each level's logits are of BLOCK times top-k nodes.
BLOCK = {"cpu": 64, "cuda": 2048}


@torch.inference_mode()
def score_trees(
    target: LanguageModel, drafters: "list[Drafter]", batch: "ScoringBatch", shape: TreeShape,
    sampling: Sampling, block: int,
) -> dict[str, TreeStatistics]:
    """Statistics of each drafter's trees, M positions in the order of `batch.rows`.

    `batch` holds the states of the drafters' target layers and the last one (`teacher_force`);
    `block` trees are built at a time. Drafters without trees are left out. The trees are built from
    the drafters' own probabilities, at temperature 1 whatever `sampling` is, as in the released
    code; p is the distribution that was sampled from.
    """
    growths = {drafter.name: growth for drafter in drafters
               if (growth := drafter.growth(batch)) is not None}
    widths = [growth.widest for growth in growths.values() if growth.widest is not None]
    width = min([max(1, block // len(batch.ids)), *widths])
    parts: dict[str, list[TreeStatistics]] = {name: [] for name in growths}
    order = []
    for rounds in _blocks(batch, width, shape.deepest):
        p = _distributions(target, batch, rounds, sampling)
        order.append(rounds.numbers[rounds.real])
        for name, growth in growths.items():
            trees = shape.build(growth, rounds.places)
            trees = trees.where(rounds.places.flatten() >= growth.first_place)
            found = walk(trees, rounds.text, p, rounds.rows)
            parts[name].append(TreeStatistics(*(
                values[rounds.real].cpu() for values in (
                    found.accepted, found.mass, found.drafted))))
    back = torch.cat(order).argsort().cpu()
    joined = {name: TreeStatistics.join(part) for name, part in parts.items()}
    return {name: TreeStatistics(found.accepted[back], found.mass[back], found.drafted[back])
            for name, found in joined.items()}


@dataclass(frozen=True)
class _Rounds:
    """A block of S rounds in each of B texts, n = B*S, those behind a text's end not `real` (n).

    `places` (B, S) of their last verified tokens; `numbers` (n) in the order of the batch's rows;
    `text` (n, D) the tokens that follow, -1 behind the end. The target's distributions are wanted
    after the tokens at `wanted` (B, S+D-1), and `rows` (n, D) are a round's among them.
    """

    places: torch.Tensor
    numbers: torch.Tensor
    real: torch.Tensor
    text: torch.Tensor
    wanted: torch.Tensor
    rows: torch.Tensor


def _blocks(batch: "ScoringBatch", width: int, depth: int) -> Iterator[_Rounds]:
    """All rounds, at most `width` of each text at a time."""
    device = batch.ids.device
    lengths = torch.tensor([len(answer) for answer in batch.answers], device=device)[:, None]
    prompts = torch.tensor([len(prompt) for prompt in batch.prompts], device=device)[:, None]
    before = lengths.cumsum(0) - lengths
    last = batch.ids.shape[1] - 1
    for start in range(0, int(lengths.max()), width):
        stop = min(start + width, int(lengths.max()))
        steps = torch.arange(start, stop + depth - 1, device=device)
        wanted = (prompts - 1 + steps).clamp(max=last)
        following = batch.ids.gather(1, (wanted + 1).clamp(max=last))
        following = following.masked_fill(steps >= lengths, -1)
        number = steps[: stop - start]
        ahead = torch.arange(depth, device=device)
        within = (number - start)[:, None] + ahead  # (S, D)
        texts = torch.arange(len(lengths), device=device)[:, None, None] * len(steps)
        yield _Rounds(
            places=wanted[:, : stop - start],
            numbers=(before + number).flatten(),
            real=(number < lengths).flatten(),
            text=following[:, within].flatten(0, 1),
            wanted=wanted, rows=(texts + within).flatten(0, 1))


def _distributions(
    target: LanguageModel, batch: "ScoringBatch", rounds: _Rounds, sampling: Sampling
) -> torch.Tensor:
    """p (B*(S+D-1), V) of what follows the tokens that are wanted."""
    states = batch.states[target.layers]
    index = rounds.wanted[:, :, None].expand(-1, -1, states.shape[-1])
    emitted = batch.ids.gather(1, (rounds.wanted + 1).clamp(max=batch.ids.shape[1] - 1)).flatten()
    return probabilities(target.logits(states.gather(1, index).flatten(0, 1)), sampling, emitted)
