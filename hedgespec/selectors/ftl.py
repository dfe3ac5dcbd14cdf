"""Follow the leader: uniform over the drafters with the smallest cumulated loss.

A baseline: on losses that alternate its regret grows linearly.
"""

from hedgespec.selectors.contract import FULL, Selector, compiled
from hedgespec.selectors.mixing import NOISE, add_losses, forget_losses, leaders


@compiled
def play(state, params, key, weights):
    """The leaders; sums that differ by rounding are tied."""
    leaders(state[1:], NOISE * (1.0 + state[0]), weights)


SELECTOR = Selector(
    name="ftl",
    feedback=FULL,
    source="Cesa-Bianchi & Lugosi 2006, section 3.2",
    state_size=lambda arms: arms + 1,
    reset=forget_losses,
    play=play,
    learn=add_losses,
)
