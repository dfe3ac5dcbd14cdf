"""What a round of one text takes besides the passes that are timed on their own."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch

from hedgespec.costs.estimate import arm_seconds, round_seconds, target_seconds
from hedgespec.costs.measure import EAGER
from hedgespec.live.decoded import Answer, Round
from hedgespec.live.engine import Engine
from hedgespec.live.plan import RoundPlan
from hedgespec.live.policy import Policy
from hedgespec.live.settings import DecoderSettings
from hedgespec.live.text_rounds import Rounds, TextRequest
from hedgespec.models.cached import CachedModel
from hedgespec.models.drafters import Drafter
from hedgespec.models.target import LanguageModel
from hedgespec.selectors.arms import Arms
from hedgespec.selectors.feedback import reading
from hedgespec.traces import Costs

_TOKENS = 128  # decoded at most
_TWICE = 48  # the same where the target reads each round's tokens twice
_FIRST = 3  # rounds in which graphs are made


@dataclass
class TimedDecoder:
    """What rounds are run with."""

    target: LanguageModel
    drafters: list[Drafter]
    arms: Arms
    engine: Engine
    policy: Policy
    settings: DecoderSettings
    plan: RoundPlan


def measured_overhead(decoder: TimedDecoder, costs: Costs) -> float:
    """Median over rounds of their wall time, less what they take by `costs`.

    The rounds are those of the decoder's policy, or of these the ones that begin with an
    evaluation if any do, on random tokens that end after `costs.context`. What is accepted does not
    change what a round's work takes, so random weights will do. Of models that run as they are the
    target's pass is not that of `costs`: it is made once more behind each round, as what a busy
    machine's passes differ by from minute to minute is larger than what is sought. Zero where
    rounds take less than by `costs`, or there are too few. Ends the text.
    """
    eager = costs.engine == EAGER
    count = min(_TWICE if eager else _TOKENS, costs.context // 2)
    prompt = torch.randint(
        decoder.target.vocabulary_size,
        (costs.context - count,),
        generator=torch.Generator().manual_seed(0),
    ).tolist()
    known = _Known(
        costs,
        [one.name for one in decoder.drafters],
        _Again(decoder.target, prompt) if eager else None,
    )
    answer, beyond = Answer(), dict[bool, list[float]]({False: [], True: []})
    started = perf_counter()
    for done in Rounds(decoder, TextRequest(prompt, count, ends=[]), answer).run():
        seconds = perf_counter() - started
        seconds -= known.seconds(done)
        if len(answer.rounds) > _FIRST:
            beyond[bool(done.evaluated)].append(seconds)
        started = perf_counter()
    rounds = beyond[True] or beyond[False]
    return max(0.0, median(rounds)) if rounds else 0.0


class _Again:
    """The target's pass of a round, once more."""

    def __init__(self, target: LanguageModel, prompt: list[int]):
        self._target, self._model = target, CachedModel(target)
        known = torch.tensor(prompt, device=target.device)
        self._last = known[-1:]
        if len(prompt) > 1:
            self._model.read(known[:-1])

    def seconds(self, found: Round) -> float:
        """Of the pass over a round's drafted tokens and the one before; those that were not
        accepted may be any."""
        emitted = torch.tensor(found.tokens, device=self._target.device)
        accepted, before = emitted[:-1], self._model.length
        drafted = torch.cat([accepted, emitted[:1].expand(found.drafted - len(accepted))])
        self._wait()
        started = perf_counter()
        self._target.logits(self._model.read(torch.cat([self._last, drafted]))[0])
        self._wait()
        taken = perf_counter() - started
        self._model.cut(before + len(emitted))
        self._last = emitted[-1:]
        return taken

    def _wait(self) -> None:
        if self._target.device.type == "cuda":
            torch.cuda.synchronize(self._target.device)


class _Known:
    """What the rounds of a text take by its costs."""

    def __init__(self, costs: Costs, names: list[str], again: _Again | None):
        """Of drafters with `names`, each an arm."""
        self._costs, self._names, self._again = costs, names, again
        self._numbers = np.arange(len(names))
        every = np.ones(len(names), dtype=bool)
        known = arm_seconds(costs, names, self._numbers, every, costs.context)
        self._reading = known._replace(overhead=0.0)
        self._seen = np.zeros(len(names) + 1, dtype=np.int64)

    def seconds(self, found: Round) -> float:
        """Of the next round, without what an evaluation takes besides reading."""
        costs, drafted = self._costs, np.array([found.drafted])
        length, name = np.array([costs.draft_length]), self._names[found.drafter]
        seconds = float(round_seconds(costs, [name], length, drafted)[0])
        seconds += sum(
            reading(
                self._seen,
                np.isin(self._numbers, found.evaluated),
                found.drafter,
                found.position,
                self._reading,
                np.zeros(len(self._names)),
            )
        )
        if self._again is not None:
            seconds += self._again.seconds(found) - float(target_seconds(costs, drafted + 1)[0])
        return seconds
