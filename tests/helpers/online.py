"""An online selector beside the rounds of a replay."""

import itertools

import numpy as np

from hedgespec.selectors.arms import Arms
from hedgespec.selectors.online import OnlineSelector
from hedgespec.traces import Trace


def online_choice(
    trace: Trace,
    run: np.ndarray,
    online: OnlineSelector,
    lazy: bool = False,
    arms: Arms | None = None,
) -> np.ndarray:
    """The drafters, or `arms`, that it chooses at the round starts of a replay.

    If `lazy`, statistics are given when they are needed and not before; of some drafters alone they
    are in any case.
    """
    choice = np.full(len(trace.tokens), -1, dtype=np.int16)
    gamma = trace.gamma
    realised = np.exp(np.minimum(trace.log_q - trace.log_p[:, None, None], 0.0))
    if arms is not None:
        gamma, realised = (arms.spread([one] * len(arms.names)) for one in (gamma, realised))
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        online.begin(query)
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        starts = [*(np.flatnonzero(run[begin:end] >= 0) + begin), end]
        read = np.full(gamma.shape[2], begin)
        for start, stop in itertools.pairwise(starts):
            if online.partial:
                for arm in np.flatnonzero(online.choose_evaluated(int(start - begin))):
                    new = slice(read[arm], start)
                    online.verified_one(arm, gamma[new, :, arm], realised[new, :, arm])
                    read[arm] = start
            choice[start] = online.choose(int(start - begin))
            arm = choice[start]
            online.finished_round(int(stop - start), gamma[np.arange(start, stop), :, arm])
            if online.partial:
                continue
            waiting.append((gamma[start:stop], realised[start:stop]))
            if not lazy or online.needs(int(stop - begin)):
                for statistics in waiting:
                    online.verified(*statistics)
                waiting.clear()
    return choice
