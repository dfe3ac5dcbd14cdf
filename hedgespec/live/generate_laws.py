"""Distributions under the logits processors of `generate`, and its stopping criteria.

Processors and criteria may keep a state, or count their calls. So they are called as generate calls
them: on the text's own tokens only, once for each position, in order. Drafters are not held to
that: they draft under those processors that are known to be functions of tokens and logits.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from transformers.generation import logits_process, stopping_criteria

from hedgespec.errors import HedgespecError
from hedgespec.live.pool import Laws

_PURE_PROCESSORS = tuple(
    getattr(logits_process, name)
    for name in (
        "MinLengthLogitsProcessor",
        "MinNewTokensLengthLogitsProcessor",
        "TemperatureLogitsWarper",
        "RepetitionPenaltyLogitsProcessor",
        "EncoderRepetitionPenaltyLogitsProcessor",
        "TopPLogitsWarper",
        "TopKLogitsWarper",
        "TopHLogitsWarper",
        "MinPLogitsWarper",
        "TypicalLogitsWarper",
        "EpsilonLogitsWarper",
        "EtaLogitsWarper",
        "NoRepeatNGramLogitsProcessor",
        "EncoderNoRepeatNGramLogitsProcessor",
        "SequenceBiasLogitsProcessor",
        "NoBadWordsLogitsProcessor",
        "ForcedBOSTokenLogitsProcessor",
        "ForcedEOSTokenLogitsProcessor",
        "InfNanRemoveLogitsProcessor",
        "ExponentialDecayLengthPenalty",
        "LogitNormalization",
        "SuppressTokensAtBeginLogitsProcessor",
        "SuppressTokensLogitsProcessor",
    )
    if hasattr(logits_process, name)
)
_PURE_CRITERIA = (
    stopping_criteria.MaxLengthCriteria,
    stopping_criteria.MaxTimeCriteria,
    stopping_criteria.StopStringCriteria,
    stopping_criteria.EosTokenCriteria,
)


def with_a_state(processors: Iterable[Any], criteria: Iterable[Any] = ()) -> list[str]:
    """Names of those that may be more than functions of tokens and logits."""
    return [
        getattr(one, "__name__", type(one).__name__)
        for known, several in ((_PURE_PROCESSORS, processors), (_PURE_CRITERIA, criteria))
        for one in several
        if type(one) not in known
    ]


class GenerateLaws:
    """One text's: `scores` and `logits` (1, V) of its positions, as generate keeps them."""

    def __init__(
        self,
        input_ids: torch.Tensor,
        prompt: int,
        processors: Any,
        criteria: Any,
        do_sample: bool,
        keep_scores: bool = False,
        keep_logits: bool = False,
    ):
        """Of `input_ids` (L) the last `prompt` are the text's, the others padding."""
        self._pads = input_ids[: len(input_ids) - prompt]
        self._processors, self._criteria = processors, criteria
        self._pure = [one for one in processors if type(one) in _PURE_PROCESSORS]
        self._do_sample = do_sample
        self._prompt = self._judged = prompt
        self._over = False
        self._keeps = keep_scores, keep_logits
        self._scores: dict[int, torch.Tensor] = {}
        self._logits: dict[int, torch.Tensor] = {}

    def laws(self) -> Laws:
        """For an engine."""
        return Laws(self._draft, self._target, self.ended)

    def scores(self, count: int) -> tuple[torch.Tensor, ...] | None:
        """Processed logits of the answer's first `count` tokens; None if they are not kept."""
        return self._of_answer(self._scores, count) if self._keeps[0] else None

    def logits(self, count: int) -> tuple[torch.Tensor, ...] | None:
        """The same before processing."""
        return self._of_answer(self._logits, count) if self._keeps[1] else None

    def ended(self, tokens: torch.Tensor | Sequence[int]) -> bool:
        """Whether the text ends with the last of `tokens` (n), prompt included."""
        while self._judged < len(tokens) and not self._over:
            self._judged += 1
            ids = self._ids(torch.as_tensor(tokens)[: self._judged])
            self._over = bool(self._criteria(ids, self.scores(self._judged - self._prompt)).all())
        return self._over and len(tokens) >= self._judged

    def _ids(self, tokens: torch.Tensor) -> torch.Tensor:
        """Token ids (1, L) as generate has them."""
        return torch.cat([self._pads, tokens.to(self._pads)])[None]

    def _draft(self, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Rows of zeros where there is no proposal, or none that the processors let pass."""
        rows = [
            self._draft_row(self._ids(context), row[None].to(self._pads.device, copy=True))
            for context, row in _contexts(logits, tokens)
        ]
        return torch.cat(rows).to(logits.device)

    def _draft_row(self, ids: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """The law (1, V) of a drafter's logits (1, V)."""
        for process in self._pure:
            if not row.isfinite().any():  # some processors raise then
                break
            row = process(ids, row)
        law = self._law(row)
        proposes = row.isfinite().any() & ~law.isnan().any()
        return torch.where(proposes, law, torch.zeros_like(law))

    def _target(self, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Raises HedgespecError where nothing can be drawn."""
        rows = []
        for context, row in _contexts(logits, tokens):
            ids = self._ids(context)
            own = row[None].to(ids.device, copy=True)
            processed = self._processors(ids, own)
            for kept, values, one in zip(
                self._keeps, (self._scores, self._logits), (processed, own), strict=True
            ):
                if kept:
                    values[len(context)] = one
            rows.append(processed[0])
        law = self._law(torch.stack(rows).to(logits.device))
        if bool(law.isnan().any()):
            raise HedgespecError(
                f"generate's logits processors leave no token possible at position {len(tokens)} "
                "of the text: they ban all, or give NaN or infinity"
            )
        return law

    def _law(self, processed: torch.Tensor) -> torch.Tensor:
        if self._do_sample:
            return processed.softmax(dim=-1)
        top = processed.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(processed).scatter_(-1, top, 1.0)

    def _of_answer(self, values: dict[int, torch.Tensor], count: int) -> tuple[torch.Tensor, ...]:
        return tuple(values[self._prompt + place] for place in range(count))


def _contexts(
    logits: torch.Tensor, tokens: torch.Tensor
) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Each row (V) of logits (n, V), with the tokens before it; see Distribute."""
    before = len(tokens) - len(logits) + 1
    return ((tokens[: before + number], row) for number, row in enumerate(logits))
