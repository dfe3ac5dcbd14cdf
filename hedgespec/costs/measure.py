"""Measures what a round costs at batch 1: seconds of the target and of each drafter."""

import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.cached import CachedModel
from hedgespec.models.drafters import Drafter, check_readers
from hedgespec.models.lossless import check_lossless
from hedgespec.models.target import LanguageModel
from hedgespec.traces import Costs, DrafterCosts, TargetCosts

_WARM_UP = 2
REPEATS = {"cpu": 5, "cuda": 20}


@torch.inference_mode()
def measure_costs(
    target: LanguageModel,
    drafters: list[Drafter],
    draft_length: int,
    context: int = 256,
    repeats: int | None = None,
) -> Costs:
    """Median seconds of `repeats` runs (None: 20 on a GPU, 5 on a CPU), each after `context`
    tokens of text.

    A shorter context of target or drafters shortens `context`. Raises HedgespecError if there is
    too little of it, if a drafter cannot draft step by step with this target, or if a model cannot
    be read in pieces at all.
    """
    _check(target, drafters)
    context = _fitting_context(target, drafters, draft_length, context)
    repeats = repeats or REPEATS.get(target.device.type, 20)
    chosen = torch.Generator().manual_seed(0)
    text = torch.randint(target.vocabulary_size, (context + draft_length + 1,), generator=chosen)
    text = text.to(target.device)
    layers = {layer for drafter in drafters for layer in drafter.target_layers}
    model = CachedModel(target)
    # The target has not read the last token when a round begins.
    _, states = model.read(text[: context - 1], tuple(sorted(layers)))
    model.read(text[context - 1 : context])
    return Costs(
        device_name(target.device), target.dtype, context,
        draft_length, _target_costs(target, model, text, context, repeats),
        {drafter.name: _drafter_costs(drafter, text[:context], states, draft_length, repeats)
         for drafter in drafters},
    )


def _check(target: LanguageModel, drafters: list[Drafter]) -> None:
    try:
        check_lossless(target)
        check_readers(drafters)
    except HedgespecError as error:
        raise HedgespecError(f"{error}; record with {arg('costs', False)}") from error


def device_name(device: torch.device) -> str:
    """The GPU's or processor's name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.processor() or platform.machine()} CPU, {torch.get_num_threads()} threads"


def _fitting_context(
    target: LanguageModel, drafters: list[Drafter], draft_length: int, context: int
) -> int:
    lengths = [target.context_length, target.rope_switch, check_lossless(target).length,
               *(drafter.context_length for drafter in drafters)]
    shortest = min(length for length in lengths if length is not None)
    fitting = min(context, shortest - draft_length - 1)
    if fitting < draft_length + 2:
        raise HedgespecError(
            f"a context of {shortest} tokens leaves no room to measure the cost of drafting "
            f"{draft_length}; record with {arg('costs', False)}"
        )
    return fitting


def _target_costs(
    target: LanguageModel, model: CachedModel, text: torch.Tensor, context: int, repeats: int
) -> TargetCosts:
    """`text` goes on for a round behind the `context` tokens that `model` has read."""

    def forward(end: int) -> float:
        return median_seconds(
            lambda: model.cut(context),
            lambda: target.logits(model.read(text[context:end])[0]), repeats, target.device)

    return TargetCosts(one=forward(context + 1), round=forward(len(text)))


def _drafter_costs(
    drafter: Drafter, text: torch.Tensor, states: dict[int, torch.Tensor], draft_length: int,
    repeats: int,
) -> DrafterCosts:
    """The last round of `text` verified draft_length + 1 tokens."""
    session = drafter.session()
    before = len(text) - draft_length - 1
    session.extend(text[:before], {layer: states[layer][: before - 1] for layer in states})
    round_states = {layer: states[layer][before - 1 :] for layer in states}

    def rewind() -> None:
        session.rewind(before)

    def evaluate() -> torch.Tensor:
        return session.extend(text[before:], round_states)

    def begin_round() -> None:
        rewind()
        evaluate()

    def draft(steps: int) -> None:
        token = text[0]  # any will do
        for _ in range(steps):
            token = session.step(token).argmax()

    return DrafterCosts(
        step=median_seconds(begin_round, lambda: draft(1), repeats, text.device),
        draft=median_seconds(begin_round, lambda: draft(draft_length), repeats, text.device),
        evaluate=median_seconds(rewind, evaluate, repeats, text.device),
    )


def median_seconds(
    prepare: Callable[[], object], work: Callable[[], object], repeats: int, device: torch.device
) -> float:
    """Median time of `work`, each run after a `prepare` that does not count."""
    seconds = []
    for _ in range(_WARM_UP + repeats):
        prepare()
        seconds.append(_seconds(work, device))
    return median(seconds[_WARM_UP:])


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        work()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
    started = perf_counter()
    work()
    return perf_counter() - started
