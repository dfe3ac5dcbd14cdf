"""What a round of one text takes besides the passes that are timed on their own."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import torch

from hedgespec.costs.estimate import round_seconds
from hedgespec.live.decoded import Answer, Round
from hedgespec.live.engine import Engine
from hedgespec.live.plan import RoundPlan
from hedgespec.live.policy import Policy
from hedgespec.live.settings import DecoderSettings
from hedgespec.live.text_rounds import Rounds, TextRequest
from hedgespec.models.drafters import Drafter
from hedgespec.models.target import LanguageModel
from hedgespec.selectors.arms import Arms
from hedgespec.traces import Costs

_TOKENS = 128  # decoded at most
_FIRST = 3  # rounds in which graphs are made


@dataclass
class TimedDecoder:
    """What rounds are run with; the policy is `fixed:DRAFTER`."""

    target: LanguageModel
    drafters: list[Drafter]
    arms: Arms
    engine: Engine
    policy: Policy
    settings: DecoderSettings
    plan: RoundPlan


def measured_overhead(decoder: TimedDecoder, costs: Costs) -> float:
    """Median over rounds of their wall time, less their parts' by `costs` without overhead.

    The rounds are those of one drafter alone, on random tokens that end after `costs.context`. What
    is accepted does not change what a round's work takes, so random weights will do. Zero where the
    parts take more than the whole, or there are too few rounds. Ends the text.
    """
    count = min(_TOKENS, costs.context // 2)
    prompt = torch.randint(decoder.target.vocabulary_size, (costs.context - count,),
                           generator=torch.Generator().manual_seed(0)).tolist()
    rounds, seconds = Answer(), list[float]()
    running = Rounds(decoder, TextRequest(prompt, count, ends=[]), rounds).run()
    started = perf_counter()
    for _ in running:
        seconds.append(perf_counter() - started)
        started = perf_counter()
    beyond = [whole - _parts(costs, decoder.drafters[one.drafter].name, one)
              for one, whole in zip(rounds.rounds, seconds, strict=True)][_FIRST:]
    return max(0.0, median(beyond)) if beyond else 0.0


def _parts(costs: Costs, drafter: str, found: Round) -> float:
    """Seconds of a round by its parts."""
    length, drafted = np.array([costs.draft_length]), np.array([found.drafted])
    return float(round_seconds(costs, [drafter], length, drafted)[0])
