"""The learner of BanditSpec's released code, which is not the paper's UCBSpec.

Drafter (t-1) mod N in rounds t = 1..2N-1, then argmax_i mu_i + sqrt(6 ln t / sum_j n_j): divided by
the total count instead of n_i, the bonus is the same for all, so the choice is greedy and the bonus
is left out here. The released code learns tokens per second of wall clock and chooses draft
lengths; a trace has no wall clock, so here mu_i is the mean number of emitted tokens of drafter i.
Ties go to the lowest index.
"""

from hedgespec.selectors.contract import CHOSEN, EMITTED, Selector, compiled
from hedgespec.selectors.means import ROUNDS, add, all_on_highest, mean_of, reset, state_size


@compiled
def play(state, params, key, weights):
    """Round-robin first, then all weight on the highest mean."""
    arms = weights.shape[0]
    rounds = int(state[ROUNDS])
    for arm in range(arms):
        if rounds < 2 * arms - 1:
            weights[arm] = 1.0 if arm == rounds % arms else 0.0
        else:
            weights[arm] = mean_of(state, arm)
    all_on_highest(weights)


@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    """Count the round and its tokens."""
    add(state, arm, outcome[EMITTED])


SELECTOR = Selector(
    name="ucbspec-released",
    feedback=CHOSEN,
    source="BanditSpec's released code (sail-sg/BanditSpec, generate_utils.py)",
    state_size=state_size,
    reset=reset,
    play=play,
    learn=learn,
)
