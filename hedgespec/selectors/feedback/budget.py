"""No evaluation while those before took more than a share of the answer's seconds."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.feedback.contract import SetPolicy
from hedgespec.selectors.feedback.ledger import EVALUATION, ROUNDS


@compiled
def narrow(numbers, ledger, key, rounds):
    """Nobody, if evaluations took more than a share `numbers[0]` of all seconds so far."""
    if ledger.spent[EVALUATION] > numbers[0] * ledger.spent[ROUNDS]:
        for arm in range(ledger.chosen.shape[0]):
            ledger.chosen[arm] = False


POLICY = SetPolicy(
    name="budget",
    help="no evaluation while evaluations have taken over a share s of the answer's seconds",
    symbol="s",
    narrow=narrow,
    low=(1e-6,),
    high=(1.0,),
    timed=True,
)
