"""Paired elimination: who does worse than the leader at the same positions is left out for a while."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import ALL, leader_of, mean_difference, standard_error


@compiled
def narrow(numbers, ledger, key, rounds):
    """Leave out who is worse than the leader by more than `numbers[0]` standard errors.

    Nobody is left out where a share `numbers[1]` of the rounds comes to one more than before the
    last round for which all were evaluated.
    """
    width, share = numbers
    if int(share * rounds) > int(share * ledger.counts[ALL]):
        return
    leader = leader_of(ledger)
    for arm in range(ledger.chosen.shape[0]):
        if mean_difference(ledger, arm, leader) > width * standard_error(ledger, arm, leader):
            ledger.chosen[arm] = False


POLICY = SetPolicy(
    name="eliminate",
    help="only drafters within c standard errors (paired) of the leader's loss are evaluated; "
    "all are in a share p of the rounds",
    symbol="c,p",
    narrow=narrow,
    low=(0.0, 0.0),
    high=(100.0, 1.0),
)
