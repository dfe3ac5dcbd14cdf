"""Losses of the drafters at a start position, from the statistics of one verified trajectory."""

import numpy as np

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.selectors.contract import compiled

ESTIMATORS = ("gamma", "realised", "rb")


@compiled
def expected_emitted(survive, end, start, draft_length, arm):
    """Expected number of emitted tokens (EAL) of a round of drafter `arm` started at `start`.

    EAL = 1 + sum_{k=1..K} (prod_{j<k} survive[start+j-1, j]) * end[start+k-1, k]

    Both arrays have shape (T, D, N), entry [t, d-1, i] being for draft depth d; depths beyond D
    take the last one (prefix-only drafters have D = 1). With gamma in both it is the estimator
    `gamma` of the paper (arXiv 2510.20064), with a in both `realised`, with survive = a and
    end = gamma `rb` (science of all three: docs/metrics.md). The K positions must exist.
    """
    deepest = survive.shape[1] - 1
    reached = 1.0
    total = 1.0
    for step in range(draft_length):
        depth = min(step, deepest)
        total += reached * end[start + step, depth, arm]
        reached *= survive[start + step, depth, arm]
    return total


@compiled
def length_loss(survive, end, start, positions, draft_length, loss):
    """Write f[i] = 1 - EAL[i] / (K+1) in [0, 1] of all drafters for start position `start`.

    The sum of EAL stops after `positions` <= K positions, where no more are known.
    """
    for arm in range(loss.shape[0]):
        emitted = expected_emitted(survive, end, start, positions, arm)
        loss[arm] = 1.0 - emitted / (draft_length + 1)


@compiled
def position_loss(survive, end, gamma, start, accept_weight, draft_length, loss):
    """Write accept_weight (1 - gamma) + (1 - accept_weight) f of all drafters for `start`.

    The arrays are those of `expected_emitted`; with weight 1 the first position only is read.
    """
    if accept_weight < 1.0:
        length_loss(survive, end, start, draft_length, draft_length, loss)
    if accept_weight > 0.0:
        for arm in range(loss.shape[0]):
            length_part = loss[arm] if accept_weight < 1.0 else 0.0
            loss[arm] = (
                accept_weight * (1.0 - gamma[start, 0, arm]) + (1.0 - accept_weight) * length_part
            )


@compiled
def begin_visits(phases, visits):
    """The state of loss `visit` at a text's first position, where every drafter starts a round.

    `phases` (N, K+1) are the probabilities that the position is the first, second, ... token of a
    round of drafter i, were it used throughout the text; `visits` (N) are the losses.
    """
    phases[:] = 0.0
    phases[:, 0] = 1.0
    visits[:] = 1.0


@compiled
def advance_visits(survive, end, position, phases, visits):
    """Go on from `position` to the next one, where `visits` become the losses `visit`.

    visit[t+l] = sum of started[t] P(L = l | t) over t and l, L being a round's emitted tokens.
    `started`, carried in `phases`, takes acceptance from `survive`; of the last step alone, the
    token after which a round ends, it is taken from `end`. The arrays are those of
    `expected_emitted`. With a in both, visits are the probabilities given the text, and sum to the
    expected rounds on it; with survive = a and end = gamma they are unbiased too, for `end` stands
    for a token that no other factor knows. With gamma in both they are not.
    """
    deepest, length = survive.shape[1] - 1, phases.shape[1] - 1
    for arm in range(phases.shape[0]):
        started = phases[arm, length]  # behind a whole draft stands the target's own token
        visit = started
        for step in range(length - 1, -1, -1):
            here, depth = phases[arm, step], min(step, deepest)
            accept = survive[position, depth, arm]
            started += here * (1.0 - accept)
            visit += here * (1.0 - end[position, depth, arm])
            phases[arm, step + 1] = here * accept
        phases[arm, 0] = started
        visits[arm] = min(visit, 1.0)


def by_seconds(visits: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Loss `visit-seconds` (..., N): visits weighed by a round's `seconds` (N) over the dearest's."""
    found: np.ndarray = visits * (seconds / seconds.max())
    return found


def per_second(length_loss: np.ndarray, seconds: np.ndarray, draft_length: int) -> np.ndarray:
    """Loss `seconds` (..., N): seconds per expected token, over a dearest round of one token.

    `length_loss` (..., N) gives the expected tokens, `seconds` (N) are those of a round.
    """
    emitted = (1 - length_loss) * (draft_length + 1)
    found: np.ndarray = seconds / seconds.max() / emitted
    return found


def estimator_arrays(
    estimator: str,
    expected: np.ndarray,
    realised: np.ndarray,
    path_only: bool | np.ndarray = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The arrays (survive, end), (T, D, N), that make `length_loss` the named estimator.

    Of `path_only` arms, all or some (N), nothing is known behind the text's path: `gamma` is `rb`
    there. Raises HedgespecError for an unknown name.
    """
    if estimator == "gamma":
        if np.all(path_only):
            return realised, expected
        return (
            np.where(path_only, realised, expected) if np.any(path_only) else expected,
            expected,
        )
    if estimator == "realised":
        return realised, realised
    if estimator == "rb":
        return realised, expected
    raise HedgespecError(
        f"unknown estimator {estimator!r} of the length loss; choose from {', '.join(ESTIMATORS)}"
        + did_you_mean(estimator, ESTIMATORS)
    )
