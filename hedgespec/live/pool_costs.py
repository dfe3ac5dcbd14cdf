"""What rounds cost with a pool that may need two engines: what runs on fixed tensors does, the rest
as it is."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from hedgespec.costs.estimate import reading_seconds
from hedgespec.costs.measure import check_measurable
from hedgespec.live.decode import LiveDecoder
from hedgespec.live.eager_engine import EagerEngine
from hedgespec.live.static_engine import StaticEngine
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import Drafter, make_drafters
from hedgespec.models.options import SPLIT
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.tracegen.record import costs_as_read
from hedgespec.tracegen.setup import Setup
from hedgespec.traces import Costs, DrafterCosts
from hedgespec.traces.costs import EVALUATE_ALL, evaluate_part
from hedgespec.traces.drafted import COPYING


@torch.inference_mode()
def pool_costs(
    target: LanguageModel,
    drafters: Sequence[Drafter],
    draft_length: int,
    *,
    compiled: bool = False,
    eager: bool = False,
    context: int = 256,
    widths: Sequence[int] = (),
    repeats: int | None = None,
    batches: Sequence[int] = (),
    contexts: Sequence[int] = (),
    kept: Callable[[Costs], object] = lambda costs: None,
    known: Costs | None = None,
) -> Costs:
    """Measured seconds of the parts of rounds, as LiveDecoder.costs, of drafters of any kind.

    On fixed tensors, `compiled` or not, where a drafter runs so; others as they are, and with
    `eager` all: `engine` says which. Of several texts those that can be timed so are one engine,
    and others draft for one text after another. `widths`, `batches`, `kept` and `known` are of the
    first engine. Raises HedgespecError for models that live decoding refuses.
    """

    def is_first(drafter: Drafter) -> bool:
        if eager:
            return not batches or EagerEngine.can_batch(target, [drafter])
        return StaticEngine.can_run(target, [drafter])

    with_batches = [one for one in drafters if is_first(one)]
    found: list[Costs] = []
    for members in (with_batches, [one for one in drafters if one not in with_batches]):
        if members:
            first = members is with_batches or not found
            static = members is with_batches and not eager
            decoder = LiveDecoder(
                target,
                members,
                "normalhedge",
                sampling=Sampling(0.0),
                static=static,
                draft_length=draft_length,
                compiled=compiled and static,
            )
            found.append(
                decoder.costs(
                    context,
                    widths if first else (),
                    repeats,
                    batches if first else (),
                    contexts,
                    kept if first else lambda costs: None,
                    known if first else None,
                )
            )
    return joined(found, [one.name for one in drafters])


@dataclass
class RecordedCosts:
    """Measures the costs that a recording keeps, as live decoding on that device would run.

    On a GPU in `dtype`, by default the recording's; other ones have the models loaded once more.
    A split target is measured as it is recorded.
    Several recordings of one pool measure once.
    """

    compiled: bool = False
    dtype: str | None = None
    _known: dict[tuple[str, ...], Costs] = field(default_factory=dict)

    def __call__(self, setup: Setup) -> Costs:
        """Costs of the recording's target and drafters. Raises HedgespecError."""
        settings = setup.settings
        if setup.target.device.type != "cuda" or settings.device == SPLIT:
            return costs_as_read(setup)
        asked = (*settings.drafters, settings.target, str(settings.draft_length))
        if asked not in self._known:
            self._known[asked] = self._measured(setup)
        return self._known[asked]

    def _measured(self, setup: Setup) -> Costs:
        settings, target, drafters = setup.settings, setup.target, setup.drafters
        if self.dtype not in (None, target.dtype):
            target = load_model(settings.target, settings.device, self.dtype)
            drafters = make_drafters(settings.drafters, target)
        check_measurable(target, drafters)
        return pool_costs(target, drafters, settings.draft_length, compiled=self.compiled)


def joined(found: list[Costs], names: list[str]) -> Costs:
    """Costs of several engines: the first one's target, each drafter in its own engine.

    Whoever has no batch is evaluated beside it, one by one, and drafts for one text after another.
    """
    conditions = [
        _joined(
            [one, *(_of_texts(costs.at(1, one.context), one.batch) for costs in found[1:])], names
        )
        for one in found[0].conditions
    ]
    return replace(_joined(found, names), conditions=conditions)


def _of_texts(costs: Costs, texts: int) -> Costs:
    """Costs of drafters that work on one text after another."""

    def times(one: DrafterCosts) -> DrafterCosts:
        seconds: dict[str, Any] = {
            part: texts * value for part, value in asdict(one).items() if isinstance(value, float)
        }
        return replace(one, reads={}, **seconds)

    return replace(costs, drafters={name: times(one) for name, one in costs.drafters.items()})


def _joined(found: list[Costs], names: list[str]) -> Costs:
    """Costs of several engines at one batch and context."""
    first, *others = found
    drafters = {name: one for costs in found for name, one in costs.drafters.items()}
    together, counted = first.evaluate_all, first.evaluate_together
    if together is not None:
        if all(one.kind not in COPYING for one in first.drafters.values()):
            counted = {**counted, str(len(first.drafters)): together}  # they are one batch
        together += sum(one.evaluate for costs in others for one in costs.drafters.values())
    engine = "; ".join(
        [
            first.engine,
            *(
                f"{', '.join(costs.drafters)}: {costs.engine}"
                for costs in others
                if costs.engine != first.engine
            ),
        ]
    )
    spread = {
        name: one
        for costs in reversed(found if first.batch == 1 else found[:1])
        for name, one in costs.spread.items()
    }
    if EVALUATE_ALL in first.spread:
        alone = [
            costs.spread[evaluate_part(name)]
            for costs in others
            for name in costs.drafters
            if evaluate_part(name) in costs.spread
        ]
        spread[EVALUATE_ALL] = replace(
            first.spread[EVALUATE_ALL],
            low=first.spread[EVALUATE_ALL].low + sum(one.low for one in alone),
            high=first.spread[EVALUATE_ALL].high + sum(one.high for one in alone),
        )
    reads = {
        count: seconds
        + sum(
            float(reading_seconds(costs, list(costs.drafters), np.array([int(count)])).sum())
            for costs in others
        )
        for count, seconds in first.reads.items()
    }
    return replace(
        first,
        drafters={name: drafters[name] for name in names},
        reads=reads,
        evaluate_all=together,
        evaluate_together=counted,
        spread=spread,
        engine=engine,
    )
