"""Writes the log of a live run: a trace of what was decoded, and every decision with its times.

Names and columns are those of `results.log`. The trace's statistics are those that the selector was
fed with: of the first draft depth, by prefilling the emitted tokens, and of draft trees all levels,
in full precision. `hedgespec fidelity` replays it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch

from hedgespec.command import command_to_pass_on, package_versions
from hedgespec.costs.estimate import target_seconds
from hedgespec.costs.measure import device_name
from hedgespec.errors import HedgespecError
from hedgespec.files import check_new
from hedgespec.live.decode import LiveDecoder
from hedgespec.live.decoded import Answer, Round
from hedgespec.live.evaluated import last_tokens
from hedgespec.live.whole_read import answer_gap
from hedgespec.models.target import LanguageModel
from hedgespec.results.labels import NONE
from hedgespec.results.log import TRACE, LiveRun, learned_losses, write_log
from hedgespec.results.schema import LIVE_ROUNDS, PARTS, SECONDS_OF
from hedgespec.rules import Statistics
from hedgespec.rules.tree import Tree
from hedgespec.selectors.arms import NO_DRAFTER
from hedgespec.tracegen.prompts import Query
from hedgespec.tracegen.score import text_columns, tree_columns
from hedgespec.tracegen.write import query_table, token_table
from hedgespec.traces import Costs, Manifest, RuleInfo, SamplingInfo, TraceWriter
from hedgespec.traces.gap import FIELD
from hedgespec.traces.manifest import TARGET_LAYERS
from hedgespec.traces.schema import (
    DRAFTER_STATISTICS,
    name_of_folder,
    statistic_column,
)

_PRECISION = "full"
_PACKAGES = ("torch", "transformers", "numpy", "polars")


@dataclass(frozen=True)
class LogSettings:
    """What the decoder does not know of itself."""

    prompts: str
    max_new_tokens: int


class LiveLog:
    """Writes the log of a decoder made with `evaluate_all`; `add` each answer, then `finish`.

    `costs` are what its rounds cost, None if that is not known; they may change until then.
    """

    costs: Costs | None = None

    def __init__(self, folder: Path, decoder: LiveDecoder, settings: LogSettings):
        """Raises HedgespecError if there is something in `folder`."""
        check_new(folder)
        self._folder, self._decoder, self._settings = folder, decoder, settings
        self._names = [drafter.name for drafter in decoder.drafters]
        self._rounds: list[dict[str, object]] = []
        self._gaps: list[np.ndarray] = []
        self._learned: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._writer = TraceWriter(folder / TRACE, {"selector": decoder.label})

    def add(self, query: Query, answer: Answer) -> None:
        """Keep an answer, perhaps an unfinished one; one without any token is left out.

        `query.number` must count 0, 1, 2, ... as it did in decoding.
        """
        if not answer.tokens:
            return
        target, found = self._decoder.target, last_tokens(answer.statistics, len(answer.tokens))
        columns = self._columns(found)
        for drafter in self._decoder.drafters:
            columns |= text_columns(drafter, [query.prompt], [answer.tokens])
        embedding = prompt_embedding(target, query.prompt)
        self._gaps.append(
            answer_gap(
                target,
                query.prompt,
                answer.tokens,
                found.log_p,
                self._decoder.settings.sampling,
            )
        )
        self._writer.write_batch(
            f"{query.number:06d}",
            query_table(
                query,
                len(answer.tokens),
                answer.finish_reason,
                embedding,
                Path(self._settings.prompts).stem,
                _PRECISION,
            ),
            token_table({query.number: answer.tokens}, found.log_p, columns, _PRECISION),
        )
        if answer.learned is not None:
            self._learned[query.number] = answer.learned
        for one in answer.rounds:
            self._rounds.append(
                {
                    "query": query.number,
                    "position": one.position,
                    **self._choice(one),
                    "weights": one.weights.tolist(),
                    "evaluated": bool(one.evaluated),
                    "drafted": one.drafted,
                    "emitted": len(one.tokens),
                    **{f"{SECONDS_OF}{part}": one.seconds[part] for part in PARTS},
                    "evaluated_set": [self._names[arm] for arm in one.evaluated],
                }
            )

    def _choice(self, one: Round) -> dict[str, object]:
        drafter = NONE if one.drafter == NO_DRAFTER else self._names[one.drafter]
        if one.arm == NO_DRAFTER:  # selector none
            return {"drafter": drafter, "probability": 1.0, "arm": NONE}
        return {
            "drafter": drafter,
            "probability": float(one.weights[one.arm]),
            "arm": self._decoder.arms.names[one.arm],
        }

    @property
    def slower_than_costs(self) -> float | None:
        """Times that the target's passes took of what the log's costs say; None without costs."""
        if self.costs is None or not self._rounds:
            return None
        read = np.array([one["drafted"] for one in self._rounds]) + 1
        took = np.array([one[f"{SECONDS_OF}verify"] for one in self._rounds])
        return float(np.median(took / target_seconds(self.costs, read)))

    def finish(self) -> Manifest:
        """Write everything; return the trace's manifest. Raises HedgespecError without answers."""
        if not self._rounds:
            raise HedgespecError(f"{self._folder}: nothing was decoded")
        rounds = LIVE_ROUNDS.made(pl.DataFrame(self._rounds).to_dict())
        write_log(self._folder, self._run(rounds), rounds, learned_losses(self._learned))
        return self._writer.finish(self._manifest())

    def _columns(self, found: Statistics) -> dict[str, np.ndarray]:
        """The drafters' statistics by the names of their columns."""
        rule = self._decoder.rule
        joined = {name: getattr(found, name) for name in DRAFTER_STATISTICS}
        columns: dict[str, np.ndarray] = {}
        if isinstance(rule, Tree):
            depth, mass, nodes = rule.by_start(found)
            for arm, name in enumerate(self._names):
                columns |= tree_columns(
                    rule.label, name, depth[:, arm], mass[:, :, arm], nodes[:, arm]
                )
        else:
            joined |= found.rules
        return columns | {
            statistic_column(statistic, name, 1, 1): joined[statistic][:, 0, arm]
            for arm, name in enumerate(self._names)
            for statistic in joined
        }

    def _rules(self) -> list[RuleInfo]:
        """The rule, if it has statistics of its own."""
        rule, tree = self._decoder.rule, self._decoder.tree
        if tree is not None:
            return [RuleInfo(tree.label, tree.shape.deepest, tree.id)]
        return [RuleInfo(rule.label)] if rule.recorded else []

    def _run(self, rounds: pl.DataFrame) -> LiveRun:
        decoder, settings = self._decoder, self._decoder.settings
        feedback = settings.feedback
        tokens = int(rounds["emitted"].sum())
        return {
            "command": command_to_pass_on(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "selector": decoder.label,
            "seed": settings.base_seed,
            "draft_length": decoder.draft_length,
            "arm_lengths": list(settings.arm_lengths),
            "rule": decoder.rule.label,
            "feedback": decoder.policy.feedback or (feedback.label if feedback else None),
            "loss": decoder.policy.loss,
            "round_seconds": list(settings.round_seconds) if settings.round_seconds else None,
            "rounds": len(rounds),
            "tokens": tokens,
            "mat": tokens / len(rounds),
            "seconds": {part: float(rounds[f"{SECONDS_OF}{part}"].sum()) for part in PARTS},
            "dropped_drafters": decoder.dropped,
            "versions": package_versions(*_PACKAGES),
        }

    def _manifest(self) -> Manifest:
        target, settings = self._decoder.target, self._decoder.settings
        sampling, gaps = settings.sampling, np.concatenate(self._gaps)
        return Manifest(
            name=name_of_folder(self._folder),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            target=target.info(),
            drafters=[replace(drafter.info(), depths=1) for drafter in self._decoder.drafters],
            sampling=SamplingInfo(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                settings.base_seed,
                self._settings.max_new_tokens,
            ),
            draft_length=self._decoder.draft_length,
            precision=_PRECISION,
            device=device_name(*target.devices),
            dtype=target.dtype,
            queries=0,
            tokens=0,
            files={},
            versions=package_versions(*_PACKAGES),
            recording={
                "live": self._decoder.label,
                "prompts": self._settings.prompts,
                TARGET_LAYERS: target.layers,
                "statistics": "of the first draft depth; of trees all levels",
                FIELD: {"mean": float(gaps.mean()), "max": float(gaps.max())},
            },
            costs=self.costs,
            rules=self._rules(),
        )


@torch.inference_mode()
def prompt_embedding(target: LanguageModel, prompt: list[int]) -> np.ndarray:
    """Mean (H) of the target's last hidden state over a prompt."""
    ids = torch.tensor([prompt], device=target.device)
    states = target.hidden_states(ids, torch.ones_like(ids), ())[target.layers]
    mean: np.ndarray = states[0].float().mean(dim=0).cpu().numpy()
    return mean
