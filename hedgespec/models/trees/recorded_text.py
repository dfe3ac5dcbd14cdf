"""Builds the trees of every start position of recorded answers and walks the answers down them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.logits import recorded
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.accepted import TreeStatistics, walk
from hedgespec.models.trees.growth import Growth, TreeShape

if TYPE_CHECKING:
    from hedgespec.models.drafters import Drafter, ScoringBatch

# Trees built at a time, per kind of device: each level's logits are of BLOCK times top-k nodes.
BLOCK = {"cpu": 64, "cuda": 2048}


@torch.inference_mode()
def score_trees(
    target: LanguageModel,
    drafters: "list[Drafter]",
    batch: "ScoringBatch",
    shape: TreeShape,
    sampling: Sampling,
    block: int,
) -> dict[str, TreeStatistics]:
    """Statistics of each drafter's trees, M positions in the order of `batch.rows`.

    `batch` holds the states of the drafters' target layers and the last one (`teacher_force`);
    `block` trees are built at a time. Drafters without trees are left out. The trees are built from
    the drafters' own probabilities, at temperature 1 whatever `sampling` is, as in the released
    code; p is the distribution that was sampled from.
    """
    growths = {
        drafter.name: growth
        for drafter in drafters
        if (growth := drafter.growth(batch)) is not None
    }
    parts: dict[str, list[TreeStatistics]] = {name: [] for name in growths}
    order = []
    for rounds in _blocks(batch, _width(growths.values(), block, len(batch.ids)), shape.deepest):
        p = _distributions(target, batch, rounds, sampling)
        order.append(rounds.numbers[rounds.real])
        for name, growth in growths.items():
            with recorded(f"drafter {name}"):
                parts[name].append(_score_block(growth, shape, rounds, p))
    back = torch.cat(order).argsort().cpu()
    return {name: TreeStatistics.join(part).at(back) for name, part in parts.items()}


def _width(growths: Iterable[Growth], block: int, texts: int) -> int:
    """Rounds of each text that are built at a time."""
    widest = [growth.widest for growth in growths if growth.widest is not None]
    return min([max(1, block // texts), *widest])


def _score_block(
    growth: Growth, shape: TreeShape, rounds: "_Rounds", p: torch.Tensor
) -> TreeStatistics:
    """Statistics of one drafter's trees of the real rounds, on the host."""
    trees = shape.build(growth, rounds.places)
    trees = trees.where(rounds.places.flatten() >= growth.first_place)
    return walk(trees, rounds.text, p, rounds.rows).at(rounds.real).cpu()


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
    prompts, answers = (
        torch.tensor([len(tokens) for tokens in texts], device=batch.ids.device)[:, None]
        for texts in (batch.prompts, batch.answers)
    )
    longest = max(map(len, batch.answers))
    for start in range(0, longest, width):
        rounds = range(start, min(start + width, longest))
        yield _block(batch.ids, prompts, answers, rounds, depth)


def _block(
    ids: torch.Tensor, prompts: torch.Tensor, answers: torch.Tensor, rounds: range, depth: int
) -> _Rounds:
    """The rounds behind some numbers of answer tokens of texts `ids` (B, L).

    `prompts` and `answers` (B, 1) are the lengths of these parts of the texts.
    """
    last = ids.shape[1] - 1
    before = answers.cumsum(0) - answers
    steps = torch.arange(rounds.start, rounds.stop + depth - 1, device=ids.device)
    wanted = (prompts - 1 + steps).clamp(max=last)
    following = ids.gather(1, (wanted + 1).clamp(max=last)).masked_fill(steps >= answers, -1)
    number = steps[: len(rounds)]
    within = (number - rounds.start)[:, None] + torch.arange(depth, device=ids.device)  # (S, D)
    texts = torch.arange(len(answers), device=ids.device)[:, None, None] * len(steps)
    return _Rounds(
        places=wanted[:, : len(rounds)],
        numbers=(before + number).flatten(),
        real=(number < answers).flatten(),
        text=following[:, within].flatten(0, 1),
        wanted=wanted,
        rows=(texts + within).flatten(0, 1),
    )


def _distributions(
    target: LanguageModel, batch: "ScoringBatch", rounds: _Rounds, sampling: Sampling
) -> torch.Tensor:
    """p (B*(S+D-1), V) of what follows the tokens that are wanted."""
    states = batch.states[target.layers]
    index = rounds.wanted[:, :, None].expand(-1, -1, states.shape[-1])
    emitted = batch.ids.gather(1, (rounds.wanted + 1).clamp(max=batch.ids.shape[1] - 1)).flatten()
    return probabilities(target.logits(states.gather(1, index).flatten(0, 1)), sampling, emitted)
