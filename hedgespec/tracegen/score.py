"""Reduces full distributions to the per-token statistics of a trace, on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hedgespec.models.acceptance import (
    emitted_log_p,
    feature_statistics,
    generator_of,
    reduce_pair,
)
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.drafters import Drafter, ScoringBatch
from hedgespec.models.logits import check_logits, recorded, refuse_faulty
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees import BLOCK, NamedTree, TreeStatistics, score_trees
from hedgespec.rules import Rule
from hedgespec.traces.schema import optional_column, statistic_column, tree_column


@dataclass(frozen=True)
class Scores:
    """Statistics of M answer tokens.

    `log_p` (M) and `log_softmax` (M, the target at temperature 1); `drafters[column]` (M) by the
    column names of the trace format.
    """

    log_p: np.ndarray
    log_softmax: np.ndarray
    drafters: dict[str, np.ndarray]


@torch.inference_mode()
def score(
    target: LanguageModel,
    drafters: list[Drafter],
    prompts: list[list[int]],
    answers: list[list[int]],
    sampling: Sampling,
    chunk: int,
    rules: Sequence[Rule] = (),
    trees: Sequence[NamedTree] = (),
    features: bool = False,
) -> tuple[Scores, torch.Tensor]:
    """Teacher-force the target and all drafters on written answers.

    `chunk` rows of full-vocabulary distributions exist at a time; `rules` and `trees` have their
    statistics recorded besides, with `features` those of FEATURES too. Also returns the prompts'
    embeddings (B, H): the mean of the target's last hidden state over the prompt. Raises
    HedgespecError if a model's logits break their contract (models/logits.py).
    """
    layers = {layer for drafter in drafters for layer in drafter.target_layers}
    batch = teacher_force(target, prompts, answers, tuple(sorted(layers)))
    last = batch.states[target.layers]
    final = batch.at_rows(last)
    prepared = []
    for drafter in drafters:
        with recorded(f"drafter {drafter.name}"):
            prepared.append(drafter.prepare(batch))
    emitted = torch.tensor(
        [token for answer in answers for token in answer], device=batch.ids.device
    )
    generator = generator_of(emitted)
    parts: list[dict[str, torch.Tensor]] = []
    for start in range(0, len(emitted), chunk):
        rows = slice(start, start + chunk)
        own, p = _target_scores(target, final[rows], emitted[rows], sampling)
        for drafter, state in zip(drafters, prepared, strict=True):
            for depth in range(1, drafter.depths + 1):
                logits = _drafter_logits(drafter, state, depth, rows, p)
                q = probabilities(logits, sampling)
                found = reduce_pair(p, q, emitted[rows])
                for rule in rules:
                    found |= {
                        f"{statistic}.{rule.label}": values
                        for statistic, values in rule.reduce(p, q, emitted[rows], generator).items()
                    }
                own |= {
                    statistic_column(statistic, drafter.name, depth, drafter.depths): values
                    for statistic, values in found.items()
                }
                if features and depth == 1:
                    own |= {
                        optional_column(statistic, drafter.name): values
                        for statistic, values in feature_statistics(logits).items()
                    }
        parts.append(own)
    columns = _on_host(parts)
    log_p, log_softmax = columns.pop("log_p"), columns.pop("log_softmax")
    for drafter in drafters:
        columns |= text_columns(drafter, prompts, answers)
    for tree in trees:
        columns |= _tree_scores(target, drafters, batch, tree, sampling)
    return Scores(log_p, log_softmax, columns), _prompt_embeddings(last, prompts).cpu()


def _target_scores(
    target: LanguageModel, final: torch.Tensor, emitted: torch.Tensor, sampling: Sampling
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What `Scores` have of emitted tokens (n) without drafters, and p (n, V), from final states
    (n, H)."""
    with recorded(f"target {target.id}"):
        logits = refuse_faulty(target.logits(final), empty=False)
    p = probabilities(logits, sampling, emitted=emitted)
    log_softmax = logits.gather(-1, emitted[:, None])[:, 0] - logits.logsumexp(dim=-1)
    return {"log_p": emitted_log_p(p, emitted), "log_softmax": log_softmax}, p


def _drafter_logits(
    drafter: Drafter, prepared: Any, depth: int, rows: slice, p: torch.Tensor
) -> torch.Tensor:
    """Logits (n, V) of a drafter at a draft depth, for some of the batch's rows, whose law is p."""
    with recorded(f"drafter {drafter.name}"):
        return check_logits(drafter.logits(prepared, depth, rows), p.shape, p.device)


def text_columns(
    drafter: Drafter, prompts: list[list[int]], answers: list[list[int]]
) -> dict[str, np.ndarray]:
    """The columns of what a drafter's proposals are known to be from the text alone."""
    return {
        optional_column(statistic, drafter.name): values
        for statistic, values in drafter.text_statistics(prompts, answers).items()
    }


def _tree_scores(
    target: LanguageModel,
    drafters: list[Drafter],
    batch: ScoringBatch,
    tree: NamedTree,
    sampling: Sampling,
) -> dict[str, np.ndarray]:
    """The columns of all drafters' trees."""
    found = score_trees(target, drafters, batch, tree.shape, sampling, BLOCK[target.device.type])
    none = TreeStatistics.none(len(batch.rows), tree.shape.deepest)
    columns: dict[str, np.ndarray] = {}
    for drafter in drafters:
        own = found.get(drafter.name, none)
        columns |= tree_columns(
            tree.label, drafter.name, own.accepted.numpy(), own.mass.numpy(), own.drafted.numpy()
        )
    return columns


def tree_columns(
    label: str, drafter: str, accepted: np.ndarray, mass: np.ndarray, drafted: np.ndarray
) -> dict[str, np.ndarray]:
    """The columns of a drafter's trees, whose rule is `label`; the arrays are those of
    `TreeStatistics`."""
    masses = {
        tree_column("mass", label, drafter, level): mass[:, level - 1]
        for level in range(1, mass.shape[1] + 1)
    }
    return {
        tree_column("depth", label, drafter, 1): accepted.astype(np.uint8),
        tree_column("nodes", label, drafter, 1): drafted.astype(np.uint16),
        **masses,
    }


def teacher_force(
    target: LanguageModel,
    prompts: list[list[int]],
    answers: list[list[int]],
    layers: tuple[int, ...],
) -> ScoringBatch:
    """One pass of the target over prompt + answer, keeping the hidden states of `layers`."""
    sequences = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, sequences))
    pad = target.pad_token
    ids = torch.tensor([row + [pad] * (width - len(row)) for row in sequences])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in sequences])
    rows = torch.cat(
        [
            torch.arange(len(prompt) - 1, len(prompt) + len(answer) - 1) + number * width
            for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
        ]
    )
    ids, mask, rows = (tensor.to(target.device) for tensor in (ids, mask, rows))
    states = target.hidden_states(ids, mask, layers)
    return ScoringBatch(ids, mask, rows, prompts, answers, states)


def _prompt_embeddings(last: torch.Tensor, prompts: list[list[int]]) -> torch.Tensor:
    return torch.stack(
        [last[row, : len(prompt)].float().mean(dim=0) for row, prompt in enumerate(prompts)]
    )


def _on_host(parts: list[dict[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    """The columns of all chunks, one after the other."""
    return {
        column: torch.cat([part[column] for part in parts]).cpu().numpy() for column in parts[0]
    }
