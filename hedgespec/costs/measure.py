"""Measures what a round costs at batch 1: seconds of the target and of each drafter."""

import platform
from collections.abc import Callable, Sequence
from functools import partial

import torch

from hedgespec.costs.examples import example_texts
from hedgespec.costs.timing import Measurement, Timed, Timings
from hedgespec.errors import HedgespecError, arg
from hedgespec.models.cached import CachedModel
from hedgespec.models.distributions import Sampling, probabilities, sample
from hedgespec.models.drafters import Drafter, check_readers
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.lossless import check_lossless
from hedgespec.models.target import LanguageModel
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from hedgespec.traces.costs import (
    EVALUATE_ALL,
    begin_part,
    draft_part,
    evaluate_part,
    read_part,
    step_part,
    target_part,
    together_part,
)
from hedgespec.traces.drafted import COPYING

EAGER = "eager"
# Tokens that the target reads, besides a round's: on a CPU the step from one, a product with a
# vector, to two is larger than those that follow.
FEW = (1, 2)
_SAMPLING = Sampling(1.0)
READS = (32, 128)  # tokens that drafters as they are read at once, when they were left out


@torch.inference_mode()
def costs_measurement(
    target: LanguageModel,
    drafters: list[Drafter],
    draft_length: int,
    context: int = 256,
    widths: Sequence[int] = (),
    sampling: Sampling = _SAMPLING,
) -> Measurement:
    """Measures costs of rounds after `context` tokens of text; the target reads FEW tokens, a
    round's and each of `widths`. Draft tokens are drawn by `sampling`. Drafters are evaluated on
    READS tokens too, where the text has as many.

    A shorter context of target or drafters shortens `context`. Raises HedgespecError if there is
    too little of it, if a drafter cannot draft step by step with this target, or if a model cannot
    be read in pieces at all.
    """
    check_measurable(target, drafters)
    longest = max([draft_length + 1, *widths])
    context = _fitting_context(target, drafters, draft_length, longest, context)
    [written] = example_texts(1, context + longest, target.vocabulary_size)
    text = torch.from_numpy(written).to(target.device)
    layers = {layer for drafter in drafters for layer in drafter.target_layers}
    model = CachedModel(target)
    # The target has not read the last token when a round begins.
    _, states = model.read(text[: context - 1], tuple(sorted(layers)))
    model.read(text[context - 1 : context])
    parts = _target_parts(target, model, text, {*FEW, draft_length + 1, *widths})
    reads = [count for count in READS if draft_length + 1 < count < context]
    drawn = partial(_drawn, sampling=sampling)
    for drafter in drafters:
        parts += _drafter_parts(drafter, model, text[:context], states, draft_length, reads, drawn)

    def costs(found: Timings) -> Costs:
        return costs_from(found, target, drafters, draft_length, context, EAGER, reads=reads)

    return Measurement(parts, target.device, costs)


def costs_from(
    found: Timings,
    target: LanguageModel,
    drafters: Sequence[Drafter],
    draft_length: int,
    context: int,
    engine: str,
    batch: int = 1,
    reads: Sequence[int] = (),
) -> Costs:
    """Costs of parts that are named as traces/costs.py does; `reads` are the tokens of `read_part`."""
    medians = found.medians

    def counted(part: Callable[[str], str]) -> dict[str, float]:
        return {
            name.removeprefix(part("")): value
            for name, value in medians.items()
            if name.startswith(part(""))
        }

    def of_reads(name: str = "") -> dict[str, float]:
        return {
            str(count): medians[read_part(count, name)]
            for count in reads
            if read_part(count, name) in medians
        }

    return Costs(
        device_name(*target.devices),
        target.dtype,
        context,
        draft_length,
        TargetCosts(one=medians[target_part(1)], round=medians[target_part(draft_length + 1)]),
        {
            drafter.name: _drafter_costs(medians, drafter, draft_length, of_reads(drafter.name))
            for drafter in drafters
        },
        evaluate_all=medians.get(EVALUATE_ALL),
        widths=counted(target_part),
        spread=found.spread,
        engine=engine,
        evaluate_together=counted(together_part),
        batch=batch,
        reads=of_reads(),
    )


def _drafter_costs(
    medians: dict[str, float], drafter: Drafter, draft_length: int, reads: dict[str, float]
) -> DrafterCosts:
    name = drafter.name
    return DrafterCosts(
        step=medians.get(step_part(name), _step(medians, name, draft_length)),
        draft=medians[draft_part(name)],
        evaluate=medians[evaluate_part(name)],
        begin=medians.get(begin_part(name)),
        kind=drafter.kind,
        reads=reads,
    )


def _step(medians: dict[str, float], drafter: str, draft_length: int) -> float:
    """Of a whole draft as it is decoded: its begin gives the first token, steps the others."""
    begin = medians.get(begin_part(drafter), 0.0)
    return max(0.0, medians[draft_part(drafter)] - begin) / max(1, draft_length - 1)


def check_measurable(target: LanguageModel, drafters: list[Drafter]) -> None:
    """Raise HedgespecError for models that live decoding would refuse."""
    try:
        check_lossless(target)
        check_readers(drafters)
    except HedgespecError as error:
        raise HedgespecError(f"{error}; record with {arg('costs', False)}") from error


def device_name(device: torch.device, *others: torch.device) -> str:
    """The GPU's or processor's name; of several GPUs their number and the first one's."""
    if device.type == "cuda":
        name = str(torch.cuda.get_device_name(device))
        return f"{1 + len(others)} x {name}" if others else name
    threads = torch.get_num_threads()
    return f"{platform.processor() or platform.machine()} CPU, {threads} thread" + "s" * (
        threads > 1
    )


def _fitting_context(
    target: LanguageModel, drafters: list[Drafter], draft_length: int, longest: int, context: int
) -> int:
    lengths = [
        target.context_length,
        target.rope_switch,
        check_lossless(target).length,
        *(drafter.context_length for drafter in drafters),
    ]
    shortest = min(length for length in lengths if length is not None)
    fitting = min(context, shortest - longest)
    if fitting < draft_length + 2:
        raise HedgespecError(
            f"a context of {shortest} tokens leaves no room to measure the cost of drafting "
            f"{draft_length}; record with {arg('costs', False)}"
        )
    return fitting


def _target_parts(
    target: LanguageModel, model: CachedModel, text: torch.Tensor, widths: set[int]
) -> list[Timed]:
    """`text` goes on behind the tokens that `model` has read."""
    context = model.length

    def forward(width: int) -> torch.Tensor:
        return target.logits(model.read(text[context : context + width])[0])

    return [
        Timed(target_part(width), partial(model.cut, context), partial(forward, width))
        for width in sorted(widths)
    ]


def _drawn(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """A token by logits (V), as drafts draw it."""
    middle = torch.tensor(0.5, dtype=torch.float64, device=logits.device)
    return sample(probabilities(logits[None], sampling)[0], middle).clamp(max=len(logits) - 1)


def _drafter_parts(
    drafter: Drafter,
    model: CachedModel,
    text: torch.Tensor,
    states: dict[int, torch.Tensor],
    draft_length: int,
    reads: Sequence[int],
    drawn: Callable[[torch.Tensor], torch.Tensor],
) -> list[Timed]:
    """The last round of `text`, which `model` has read, verified draft_length + 1 tokens; the last
    evaluation was `reads` tokens ago."""
    session = drafter.session_beside(model)
    before = len(text) - draft_length - 1
    session.extend(text[:before], {layer: states[layer][: before - 1] for layer in states})
    round_states = {layer: states[layer][before - 1 :] for layer in states}

    def rewind() -> None:
        session.rewind(before)

    def begin() -> torch.Tensor:
        return session.extend(text[before:], round_states)

    def begin_round() -> None:
        rewind()
        begin()

    def draft(steps: int) -> None:
        token = text[0]  # any will do
        for _ in range(steps):
            token = drawn(session.step(token))

    return [
        Timed(step_part(drafter.name), begin_round, partial(draft, 1)),
        Timed(draft_part(drafter.name), begin_round, partial(draft, draft_length)),
        *_evaluation_parts(drafter, rewind, begin, round_states, drawn),
        *(_reading_part(drafter, session, text, states, count) for count in reads),
    ]


def _reading_part(
    drafter: Drafter,
    session: DraftSession,
    text: torch.Tensor,
    states: dict[int, torch.Tensor],
    count: int,
) -> Timed:
    """Evaluation on the last `count` tokens of the text: logits of what follows each of them."""
    before = len(text) - count
    own = {
        layer: state[before - 1 :]
        for layer, state in states.items()
        if layer in drafter.target_layers
    }

    def read() -> torch.Tensor:
        if drafter.from_states:
            return drafter.logits_of_states(own)
        return session.extend(text[before:], own, count)

    return Timed(read_part(count, drafter.name), partial(session.rewind, before), read)


def _evaluation_parts(
    drafter: Drafter,
    rewind: Callable[[], None],
    begin: Callable[[], torch.Tensor],
    states: dict[int, torch.Tensor],
    drawn: Callable[[torch.Tensor], torch.Tensor],
) -> list[Timed]:
    """Evaluation on a round's tokens, which mostly gives the next draft's first logits besides. Of
    those that copy it takes less than a draw, so that their begin is timed with it apart."""
    evaluate = partial(drafter.logits_of_states, states) if drafter.from_states else begin
    parts = [Timed(evaluate_part(drafter.name), rewind, evaluate)]
    if drafter.from_states or drafter.kind in COPYING:
        parts.append(Timed(begin_part(drafter.name), rewind, lambda: drawn(begin()[-1])))
    return parts
