"""Smaller and larger pools of drafters made from a recorded one, to see how regret grows with N."""

from dataclasses import replace

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.results.labels import PoolLabel
from hedgespec.traces.manifest import DrafterInfo
from hedgespec.traces.reader import Trace
from hedgespec.traces.schema import BOUNDS, FEATURES, optional_column

# A copy is weaker by a factor drawn from here, so that it never ties with its original.
_WEAKEST, _STRONGEST = 0.5, 0.95


def resize_pool(trace: Trace, drafters: int, seed: int) -> Trace:
    """The trace with another number of drafters, drawn with a seed; its name says so.

    Fewer are a random subset. Further ones are weakened copies of random ones: with probability c
    the copy proposes what its original does, else a token that is rejected for sure, so that gamma
    and a are c times the original's. Raises HedgespecError for fewer than 1, or for copies at
    temperature 0, where acceptance is 0 or 1.
    """
    present = len(trace.manifest.drafters)
    if drafters < 1:
        raise HedgespecError(f"{arg('drafters')} must be at least 1, not {drafters}")
    if drafters > present and trace.manifest.sampling.temperature == 0:
        raise HedgespecError(
            f"trace {trace.name}: a pool of {drafters} needs weakened copies of its {present} "
            "drafters, which do not exist at temperature 0"
        )
    trees = [rule.name for rule in trace.manifest.rules if rule.levels is not None]
    if drafters > present and trees:
        raise HedgespecError(
            f"trace {trace.name}: a pool of {drafters} needs weakened copies of its {present} "
            f"drafters, but the copies' draft trees ({', '.join(trees)}) were not recorded"
        )
    rng = np.random.default_rng([seed, drafters])
    chosen = np.sort(rng.permutation(present)[:drafters])
    copied = rng.integers(present, size=max(0, drafters - present))
    factors = np.concatenate(
        [np.ones(len(chosen)), rng.uniform(_WEAKEST, _STRONGEST, len(copied))]
    ).astype(np.float32)
    arms = np.concatenate([chosen, copied])
    realised = np.minimum(trace.log_q[:, :, arms] - trace.log_p[:, None, None], 0)
    weaker = trace.log_p[:, None, None] + realised + np.log(factors)
    infos = [
        _info(trace.manifest.drafters[arm], number, len(chosen), factors[number])
        for number, arm in enumerate(arms)
    ]
    return replace(
        trace,
        manifest=replace(
            trace.manifest,
            drafters=infos,
            costs=None,
            name=str(PoolLabel(trace.name, drafters, seed)),
        ),
        log_q=np.where(factors < 1, weaker, trace.log_q[:, :, arms]).astype(np.float32),
        gamma=trace.gamma[:, :, arms] * factors,
        match=trace.match[:, :, arms],
        p_top=trace.p_top[:, :, arms] * factors,
        rules={
            name: values[:, :, arms] * factors if len(copied) else values[:, :, arms]
            for name, values in trace.rules.items()
        },
        optional={
            optional_column(statistic, info.name): trace.optional[
                optional_column(statistic, trace.manifest.drafters[arm].name)
            ]
            for info, arm in zip(infos, arms, strict=True)
            for statistic in info.statistics
        },
    )


def _info(drafter: DrafterInfo, number: int, chosen: int, factor: float) -> DrafterInfo:
    if number < chosen:
        return drafter
    known = tuple(name for name in drafter.statistics if name not in (*FEATURES, *BOUNDS))
    return replace(
        drafter,
        name=f"{drafter.name}.{number}x{factor:.2f}",
        weights_sha256=None,
        id=f"{drafter.id} weakened to {factor:.4f}",
        statistics=known,
    )
