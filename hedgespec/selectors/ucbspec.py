"""UCBSpec (BanditSpec, Algorithms 4 and 8): upper confidence bounds on the round length.

The first N rounds try each drafter once; then argmax_i mu_i + cr_i with mu_i the mean number of
emitted tokens and

cr_i = (K/2) sqrt( ((1+n_i)/n_i^2) (1 + 2 ln( N t^2 sqrt(1+n_i) / delta )) )

for n_i own rounds of t completed ones. Ties go to the lowest index. The placement of the brackets
follows Abbasi-Yadkori et al. 2011, from which the radius is taken.
"""

import math

from hedgespec.selectors.contract import CHOSEN, EMITTED, Parameter, Selector, compiled

_LENGTH, _ROUNDS, _ARMS = 0, 1, 2  # layout: [K, t, then n_i and sum of emitted tokens per drafter]


@compiled
def reset(state, params, arms, draft_length):
    """No rounds yet."""
    state[:] = 0.0
    state[_LENGTH] = draft_length


@compiled
def play(state, params, key, weights):
    """All weight on the drafter with the highest bound."""
    arms = weights.shape[0]
    rounds = state[_ROUNDS]
    delta = params[0]
    best = 0
    highest = -math.inf
    for arm in range(arms):
        weights[arm] = 0.0
        count = state[_ARMS + 2 * arm]
        bound = math.inf
        if count > 0.0:
            log_term = math.log(arms * rounds * rounds * math.sqrt(1.0 + count) / delta)
            radius = (state[_LENGTH] / 2.0) * math.sqrt(
                (1.0 + count) / (count * count) * (1.0 + 2.0 * log_term)
            )
            bound = state[_ARMS + 2 * arm + 1] / count + radius
        if bound > highest:
            highest = bound
            best = arm
    weights[best] = 1.0


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Count the round and its tokens."""
    state[_ROUNDS] += 1.0
    state[_ARMS + 2 * arm] += 1.0
    state[_ARMS + 2 * arm + 1] += outcome[EMITTED]


SELECTOR = Selector(
    name="ucbspec",
    feedback=CHOSEN,
    source="BanditSpec, Hou et al. 2025, arXiv 2505.15141, Alg. 4 and 8",
    state_size=lambda arms: 2 + 2 * arms,
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter(
            "delta", 0.5, "confidence of the radius (the proof takes 1/2)", low=1e-12, high=1.0
        ),
    ),
)
