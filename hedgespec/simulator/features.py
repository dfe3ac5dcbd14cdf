"""What contextual learners are told of each drafter at each position, from a recorded trace."""

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.selectors.arms import NO_DRAFTER, Arms
from hedgespec.selectors.contract import ENTROPY, FEATURES, MATCHED, TOP
from hedgespec.traces import Trace
from hedgespec.traces.drafted import matched_tokens
from hedgespec.traces.schema import FEATURES as RECORDED
from hedgespec.traces.schema import optional_column


def feature_table(trace: Trace, arms: Arms) -> np.ndarray:
    """Features (T, N, FEATURES) of the arms, each in [0, 1], as a learner may know them before
    anything is drafted.

    A match of m tokens, found in the text before a position, is m / (m+1). The top probability, and
    the entropy over the greatest that the vocabulary allows, are those of the position before: at
    its own they are known when the drafter has begun to draft. All are 0 where there is none.
    Raises HedgespecError, naming a drafter, if they were not recorded.
    """
    table = np.zeros((len(trace.tokens), len(arms.names), FEATURES))
    most = np.log(trace.manifest.target.vocabulary_size)
    for arm, number in enumerate(arms.drafters):
        if number == NO_DRAFTER:
            continue
        info = trace.manifest.drafters[number]
        if missing := [name for name in RECORDED if name not in info.statistics]:
            raise HedgespecError(
                f"trace {trace.name}: a contextual learner reads {' and '.join(missing)} of "
                f"drafter {info.name}, which were not recorded; record with "
                f"{arg('features', True)}"
            )
        matched = matched_tokens(trace, number)
        if matched is not None:
            table[:, arm, MATCHED] = matched / (matched + 1.0)
        top, entropy = (trace.optional[optional_column(name, info.name)] for name in RECORDED)
        table[1:, arm, TOP] = top[:-1]
        table[1:, arm, ENTROPY] = np.minimum(entropy[:-1] / most, 1.0)
    table[trace.offsets[:-1], :, TOP:] = 0.0  # another text stood before
    return table
