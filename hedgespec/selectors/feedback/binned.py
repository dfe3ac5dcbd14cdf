"""Budgeted prediction (Amin, Kale, Tesauro & Turaga 2015): as many drafters as a budget pays for.

Drafters are packed into bins, the seconds of evaluating those of a bin within the budget; the bin
of the drafter that the learner drew is evaluated. So a bin is drawn with the sum of its drafters'
probabilities, and a loss over that probability is unbiased. As with `limited`, no losses are
weighted here: they become known in the end, and until then paired differences stand for them. Bins
are packed anew, in a random order, for each evaluation (the paper's re-binning): each drafter then
comes to be evaluated whatever the learner draws, dear ones in the fewest others' company.
"""

import numpy as np

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import COUNTED, DRAFTER, OWNER
from hedgespec.selectors.uniforms import decision_key, uniform


@compiled
def narrow(numbers, ledger, key, rounds):
    """Keep who is in one bin with the last round's drafter, in the first bin if that is nobody."""
    chosen, seconds = ledger.chosen, ledger.seconds
    bins = np.empty(chosen.shape[0], np.int64)
    pack(seconds, numbers[0], decision_key(key, rounds), bins)
    owner = seconds.arms[OWNER]
    kept = max(bins[owner[ledger.counts[DRAFTER]]], 0)
    for arm in range(chosen.shape[0]):
        chosen[arm] = chosen[arm] and bins[owner[arm]] == kept


@compiled
def pack(seconds, share, key, bins):
    """Write the bin of each drafter to `bins` (N), of arms that own none -1.

    In random order, each into the first bin where it fits. A bin holds drafters whose evaluation
    alone takes a share `share` of that of all one by one, or one drafter that takes more.
    """
    left, used, size = np.empty(bins.shape[0]), 0, 0.0
    for arm in range(bins.shape[0]):
        bins[arm] = -1
        if seconds.arms[COUNTED, arm]:
            size += share * seconds.alone[0, arm]
    fits = 1.0 - 1e-9  # but for rounding
    while True:
        found, least = -1, 2.0
        for arm in range(bins.shape[0]):
            number = uniform(key, arm, 0)
            if seconds.arms[COUNTED, arm] and bins[arm] < 0 and number < least:
                found, least = arm, number
        if found < 0:
            return
        place = 0
        while place < used and fits * seconds.alone[0, found] > left[place]:
            place += 1
        if place == used:
            left[used] = size
            used += 1
        left[place] -= seconds.alone[0, found]
        bins[found] = place


POLICY = SetPolicy(
    name="binned",
    help="drafters are packed at random into bins that take a share s of the seconds of evaluating "
    "all; only the bin of the last round's drafter is evaluated",
    symbol="s",
    narrow=narrow,
    low=(1e-6,),
    high=(1.0,),
    timed=True,
)
