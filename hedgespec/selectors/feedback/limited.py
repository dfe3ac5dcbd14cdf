"""Limited advice (Seldin, Bartlett, Crammer & Abbasi-Yadkori 2014): m of N drafters at a time.

There the others' losses are never known, and estimated by importance weights. Here they become
known as soon as a drafter is drawn, for it must read the text that it has missed.
"""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import DRAFTER
from hedgespec.selectors.uniforms import decision_key, uniform


@compiled
def narrow(numbers, ledger, key, rounds):
    """Keep the last round's drafter, and of the others as many, drawn uniformly, as make m."""
    chosen, drafter = ledger.chosen, ledger.counts[DRAFTER]
    wanted = int(numbers[0]) - chosen[drafter]
    left = -1 if chosen[drafter] else 0
    for arm in range(chosen.shape[0]):
        left += chosen[arm]
    own_key = decision_key(key, rounds)
    for arm in range(chosen.shape[0]):
        if chosen[arm] and arm != drafter:
            chosen[arm] = uniform(own_key, arm, 0) * left < wanted
            wanted -= chosen[arm]
            left -= 1


POLICY = SetPolicy(
    name="limited",
    help="only m drafters are evaluated at a time: the last round's and others drawn uniformly",
    symbol="m",
    narrow=narrow,
    low=(1.0,),
    high=(32767.0,),
    whole=True,
)
