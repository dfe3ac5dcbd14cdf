"""Runs target and drafters as they are, whatever their architecture."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import torch

from hedgespec.costs.measure import costs_measurement
from hedgespec.costs.timing import Measurement
from hedgespec.errors import HedgespecError
from hedgespec.live.batched import BatchedRound
from hedgespec.live.candidates import (
    ROOT,
    Candidates,
    chain_candidates,
    draft_candidates,
    tree_candidates,
    verify_candidates,
)
from hedgespec.live.clock import Clock
from hedgespec.live.engine import Engine, Evaluation
from hedgespec.live.evaluated import reduce_for, unpack
from hedgespec.live.plan import RoundPlan
from hedgespec.live.pool import Laws, Pool, Text
from hedgespec.live.static_drafters import can_run_static
from hedgespec.live.tree_session import TreeEvaluation
from hedgespec.models.acceptance import emitted_log_p
from hedgespec.models.cached import CachedModel
from hedgespec.models.drafters import Drafter
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.logits import contained, decoded, refuse_rows
from hedgespec.models.target import LanguageModel
from hedgespec.rules import Statistics
from hedgespec.selectors.arms import NO_DRAFTER
from hedgespec.traces import Costs


class EagerEngine(Engine):
    """Growing caches, and one drafter evaluated after the other."""

    def __init__(
        self,
        target: LanguageModel,
        pool: Pool,
        plan: RoundPlan,
        laws: Laws,
        evaluation: Evaluation,
    ):
        """`laws` give the distributions that drafts and text are drawn from."""
        self._target, self._pool, self._plan = target, pool, plan
        self._rule, self._shape, self._laws = plan.rule, plan.shape, laws
        self.evaluation = evaluation
        self._layers = tuple(
            sorted({layer for item in pool.drafters for layer in item.target_layers})
        )
        self.dropped = pool.dropped

    def begin(self, prompt: list[int], limit: int) -> None:
        """Read the prompt but for its last token."""
        self._model = CachedModel(self._target)
        known = torch.tensor(prompt, device=self._target.device)
        states = self._model.read(known[:-1], self._layers)[1] if len(prompt) > 1 else {}
        self._text, self._prompt = Text(known, states), len(prompt)
        self._pool.begin(self._model)
        self._p: list[torch.Tensor] = []  # the target's distributions at tokens that wait
        self._p_from = 0  # tokens of the answer before them
        arms = len(self._pool.drafters)
        self._trees = self._tree_evaluation(arms)
        self._own_trees = [self._tree_evaluation(1) for _ in range(arms)]
        self._read = [0] * arms  # tokens that each was evaluated on, in part
        self.waiting = 0

    def round(
        self, drafter: int, noise: torch.Tensor, room: int, clock: Clock
    ) -> tuple[int, list[int]]:
        """As in Engine; the draft is no longer than `room`."""
        noise = noise.to(self._target.device)
        run = self._branches if self._plan.branches and drafter != NO_DRAFTER else self._chain
        who, position = f"target {self._target.id}", len(self._text) - self._prompt
        self._faults: list[torch.Tensor] = []
        with decoded(who, position):
            drafted, emitted = run(drafter, noise, room, clock)
        # Copied with the tokens, so that nothing waits for the device twice.
        found, count = torch.cat([emitted, *self._faults]).tolist(), len(emitted)
        tokens, faults = found[:count], found[count:]
        if any(faults[:room]):
            self._text.cut(count)
            refuse_rows(who, faults[:room], position)
        if self.evaluation is not Evaluation.NEVER:
            self.waiting += count
        return drafted, tokens[:room]

    def _logits(self, final: torch.Tensor) -> torch.Tensor:
        """Logits (n, V) of the target's states (n, H); the round's faults are kept, in order."""
        logits, faults = contained(
            self._target.logits(final), (len(final), self._target.vocabulary_size)
        )
        self._faults.append(faults)
        return logits

    def _chain(
        self, arm: int, noise: torch.Tensor, room: int, clock: Clock
    ) -> tuple[int, torch.Tensor]:
        model, text = self._model, self._text
        draft, q = self._draft(arm, noise[: min(len(noise) - 1, room)])
        clock.read("draft")
        final, states = model.read(torch.cat([text.tokens[-1:], draft]), self._layers)
        accepted, following = self._verify_chain(draft, q, final, noise[: len(draft) + 1])
        emitted = torch.cat([draft[:accepted], following])
        model.cut(model.length - len(draft) + accepted)
        text.append(emitted, {layer: state[: accepted + 1] for layer, state in states.items()})
        return len(draft), emitted

    def _verify_chain(
        self, draft: torch.Tensor, q: torch.Tensor, final: torch.Tensor, noise: torch.Tensor
    ) -> tuple[int, torch.Tensor]:
        """How many tokens of a draft (k) are accepted, and the one (1) that follows these.

        q is (k+1, V), `final` (k+1, H) the target's states, noise (k+1, W).
        """
        if self._plan.branches or (self._laws.ended is not None and self._rule.in_order):
            path, following, self._round_p = self._descend(chain_candidates(draft, q), final, noise)
            return len(path), following
        p = self._laws.target(self._logits(final), torch.cat([self._text.tokens, draft]))
        count, following = self._rule.verify(p[None], q[None], draft[None], noise[None])
        accepted = int(count)
        self._round_p = p[: accepted + 1]
        return accepted, following

    def _descend(
        self, tree: Candidates, final: torch.Tensor, noise: torch.Tensor
    ) -> tuple[list[int], torch.Tensor, torch.Tensor]:
        """`verify_candidates`; `final` are the target's states at the root and the nodes."""
        text, ended = self._text, self._laws.ended

        def context(path: list[int]) -> torch.Tensor:
            return torch.cat([text.tokens, *(tree.tokens[place][None] for place in path)])

        def target(node: int, path: list[int]) -> torch.Tensor:
            return self._laws.target(self._logits(final[node + 1][None]), context(path))[0]

        return verify_candidates(
            tree,
            self._rule,
            noise,
            target,
            None if ended is None else lambda path: ended(context(path)),
        )

    def _branches(
        self, arm: int, noise: torch.Tensor, room: int, clock: Clock
    ) -> tuple[int, torch.Tensor]:
        """Several candidates behind each token; see `candidates`."""
        model, text = self._model, self._text
        tree = self._draft_branches(arm, noise[: min(len(noise) - 1, room)])
        clock.read("draft")
        tokens = torch.cat([text.tokens[-1:], *(token[None] for token in tree.tokens)])
        # Row 0 is the text's last token, row i+1 node i.
        final, states = model.read_tree(
            tokens, [ROOT, *(parent + 1 for parent in tree.parents)], self._layers
        )
        path, following, self._round_p = self._descend(tree, final, noise)
        rows = [0, *(node + 1 for node in path)]
        model.keep(rows)
        emitted = torch.cat([tokens[rows[1:]], following])
        text.append(emitted, {layer: state[rows] for layer, state in states.items()})
        return len(tree.tokens), emitted

    def _draft_branches(self, arm: int, noise: torch.Tensor) -> Candidates:
        """As many levels as `noise` (k, W) has."""
        pool, text = self._pool, self._text
        if self._shape is None:
            return draft_candidates(pool, arm, text, self._rule, noise, self._laws.draft)
        proposed = torch.ones_like(pool.first(arm, text))
        return tree_candidates(pool.trees(arm, text, self._shape, 0), len(noise), proposed)

    def keep(self, count: int) -> None:
        """Cut the text, and let its new tokens wait."""
        beyond = len(self._round_p) - count
        self._text.cut(beyond)
        self._round_p = self._round_p[:count]
        if self.evaluation is not Evaluation.NEVER:
            self.waiting -= beyond
            self._p.append(self._round_p)

    def evaluate(self, until: int) -> Statistics:
        """Of all waiting tokens."""
        p, self._p, self.waiting = torch.cat(self._p), [], 0
        return self._statistics(range(len(self._pool.drafters)), p, self._trees)

    def evaluate_some(self, arms: Sequence[int]) -> list[Statistics]:
        """One after the other; what all have read is forgotten."""
        p, found = torch.cat(self._p), []
        for arm in arms:
            own = p[self._read[arm] - self._p_from :]
            found.append(self._statistics([arm], own, self._own_trees[arm]))
            self._read[arm] += len(own)
        forgotten = min(self._read) - self._p_from
        self._p, self._p_from, self.waiting = [p[forgotten:]], min(self._read), 0
        return found

    def evaluate_one(self, arm: int) -> Statistics:
        """The drafter reads them."""
        return self._statistics([arm], self._round_p, self._tree_evaluation(1))

    def unlimited(self) -> AbstractContextManager[None]:
        """The pool has no limit."""
        return self._pool.unlimited()

    def measurement(self, context: int = 256, widths: Sequence[int] = ()) -> Measurement:
        """Of the models as they are."""
        return costs_measurement(
            self._target,
            self._pool.drafters,
            self._plan.draft_length,
            context,
            widths,
            self._plan.sampling,
        )

    @staticmethod
    def can_batch(target: LanguageModel, drafters: Sequence[Drafter]) -> bool:
        """Whether several texts at once can be timed."""
        return has_plain_attention(target) and all(map(can_run_static, drafters))

    def costs_of_texts(self, texts: int, context: int, repeats: int | None = None) -> Costs:
        """Of the models as they are, but with keys and values of fixed size.

        Raises HedgespecError for models without.
        """
        drafters = self._pool.drafters
        if not self.can_batch(self._target, drafters):
            raise HedgespecError(
                "several texts at once can be timed of targets and drafters of "
                "plain attention, and EAGLE heads"
            )
        return BatchedRound(
            self._target, drafters, self._plan, texts, context, captured=False
        ).costs(repeats, (), "eager, on fixed tensors")

    def _draft(self, arm: int, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """At most len(noise) tokens (k) and the distributions (k+1, V) they are from.

        NO_DRAFTER drafts none. The draft ends where there is no proposal. A row of zeros stands
        behind the last.
        """
        tokens: list[torch.Tensor] = []
        rows: list[torch.Tensor] = []
        none = torch.zeros(self._target.vocabulary_size, device=self._target.device)
        if arm == NO_DRAFTER:
            return self._text.tokens.new_empty(0), none[None]
        logits = self._pool.first(arm, self._text)
        for number, own in enumerate(noise):
            if number:
                logits = self._pool.step(arm, tokens[-1])
            context = torch.cat([self._text.tokens, *(token[None] for token in tokens)])
            row = self._laws.draft(logits[None], context)[0]
            if not row.any():
                break
            rows.append(row)
            tokens.append(self._rule.draft(row, own)[0])
        return (
            torch.stack(tokens) if tokens else self._text.tokens.new_empty(0),
            torch.stack([*rows, none]),
        )

    def _tree_evaluation(self, arms: int) -> TreeEvaluation | None:
        if self._shape is None:
            return None
        return TreeEvaluation(self._shape, self._rule.label, arms, self._target.device)

    def _statistics(
        self, arms: Sequence[int], p: torch.Tensor, evaluation: TreeEvaluation | None
    ) -> Statistics:
        """Statistics of some drafters on the last tokens of the text, whose law was `p` (m, V)."""
        text, count = self._text, len(p)
        tokens = text.tokens[len(text) - count :]
        columns, trees = [], []
        for arm in arms:
            q = self._laws.draft(self._pool.evaluate(arm, text, count), text.tokens[:-1])
            columns.append(reduce_for(self._rule, p, q, tokens))
            if self._shape is not None:
                trees.append(self._pool.trees(arm, text, self._shape, count).part(slice(count)))
        table = torch.stack(columns, dim=-1).cpu()
        found = unpack(self._rule, emitted_log_p(p, tokens).cpu(), table)
        if evaluation is None:
            return found
        return replace(found, rules=evaluation.statistics(trees, p, tokens))
