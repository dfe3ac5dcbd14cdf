"""MetaSD-UCB: upper confidence bounds on the divergence of drafter and target over the block.

Each drafter once, then argmax_i mean r_i + beta sqrt(2 ln t / n_i) for n_i own rounds of t
completed ones; ties go to the lowest index. The reward r is chosen by the parameter `reward`:

0  r^BD = mean of gamma = 1 - TV(p, q_i) over the drafted positions that were verified (causal)
1  r^BD over all drafted positions, on the recorded text: NOT CAUSAL, not known in live decoding
2  r^BE = accepted draft tokens / K, that of the arm

An arm that drafts nothing is rewarded 0.

MetaSD's r^BD runs over the whole drafted block, which leaves the target's text where a token is
rejected and so is in no trace: 0 and 1 are what a trace can give. beta is not reported.
"""

import math

from hedgespec.selectors.contract import (
    CHOSEN,
    EMITTED,
    LOOKAHEAD,
    VERIFIED,
    Parameter,
    Selector,
    compiled,
)
from hedgespec.selectors.means import (
    ROUNDS,
    add,
    all_on_highest,
    count_of,
    mean_of,
    reset,
    state_size,
)

_VERIFIED, _LOOKAHEAD = 0.0, 1.0
_LENGTHS = 2  # parameters before the arms' draft lengths


@compiled
def play(state, params, key, weights):
    """All weight on the highest bound; before its first round a drafter's is infinite."""
    for arm in range(weights.shape[0]):
        weights[arm] = mean_of(state, arm)
        if weights[arm] < math.inf:
            log_term = math.log(state[ROUNDS])
            weights[arm] += params[0] * math.sqrt(2.0 * log_term / count_of(state, arm))
    all_on_highest(weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Add the reward asked for; accepted tokens are those emitted but one."""
    if params[1] == _VERIFIED:
        reward = outcome[VERIFIED]
    elif params[1] == _LOOKAHEAD:
        reward = outcome[LOOKAHEAD]
    else:
        reward = (outcome[EMITTED] - 1.0) / max(params[_LENGTHS + arm], 1.0)
    add(state, arm, reward)


SELECTOR = Selector(
    name="metasd-ucb",
    feedback=CHOSEN,
    source="MetaSD, arXiv 2604.05417, after secondary sources",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter("beta", 1.0, "weight of the bonus (not reported)", low=0.0, high=1e6),
        Parameter(
            "reward",
            0.0,
            "0: mean gamma of the verified positions; 1: of the whole drafted "
            "block on the recorded text (non-causal); 2: accepted tokens / K",
            low=0.0,
            high=2.0,
            whole=True,
        ),
    ),
    uses_gamma=True,
    uses_lengths=True,
    looks_ahead=lambda values: values["reward"] == _LOOKAHEAD,
)
