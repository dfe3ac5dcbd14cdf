"""What learners of cumulated losses share: their state, softmin, its limit, and the mix loss."""

import math

from hedgespec.selectors.contract import compiled

# Losses lie in [0, 1]; a difference below this, per loss seen, is rounding noise. Learners that
# ignore the scale of the losses would otherwise make a decision out of it.
NOISE = 1e-12


@compiled
def forget_losses(state, params, arms, draft_length):
    """A reset: state = [losses seen, L_1, ..., L_N]."""
    state[:] = 0.0


@compiled
def add_losses(state, params, position, played, loss):
    """The learning for that state: L += loss."""
    state[0] += 1.0
    for arm in range(loss.shape[0]):
        state[1 + arm] += loss[arm]


@compiled
def normalise_logs(weights):
    """Turn log weights (at least one finite) into probabilities; the largest is taken off first."""
    largest = weights[0]
    for arm in range(1, weights.shape[0]):
        largest = max(largest, weights[arm])
    total = 0.0
    for arm in range(weights.shape[0]):
        weights[arm] = math.exp(weights[arm] - largest)
        total += weights[arm]
    for arm in range(weights.shape[0]):
        weights[arm] /= total


@compiled
def softmin(losses, eta, weights):
    """w_i proportional to exp(-eta L_i); the smallest loss is taken off before multiplying."""
    least = smallest(losses)
    total = 0.0
    for arm in range(weights.shape[0]):
        weight = math.exp(eta * (least - losses[arm]))
        weights[arm] = weight
        total += weight
    scale = 1.0 / total  # one division: it takes as long as an exponential
    for arm in range(weights.shape[0]):
        weights[arm] *= scale


@compiled
def leaders(losses, tolerance, weights):
    """Uniform over the drafters whose loss exceeds the smallest by at most `tolerance`."""
    least = smallest(losses)
    count = 0
    for arm in range(weights.shape[0]):
        weights[arm] = 0.0
        if losses[arm] - least <= tolerance:
            weights[arm] = 1.0
            count += 1
    for arm in range(weights.shape[0]):
        weights[arm] /= count


@compiled
def mix_loss(losses, eta):
    """M(L) = -ln(mean_i exp(-eta L_i)) / eta; its limit min L for an infinite eta."""
    least = smallest(losses)
    if eta == math.inf:
        return least
    total = 0.0
    for arm in range(losses.shape[0]):
        total += math.exp(-eta * (losses[arm] - least))
    return least - math.log(total / losses.shape[0]) / eta


@compiled
def smallest(losses):
    """The smallest entry."""
    least = losses[0]
    for arm in range(1, losses.shape[0]):
        least = min(least, losses[arm])
    return least


@compiled
def largest(losses):
    """The largest entry."""
    most = losses[0]
    for arm in range(1, losses.shape[0]):
        most = max(most, losses[arm])
    return most


@compiled
def dot(one, other):
    """Inner product."""
    total = 0.0
    for arm in range(one.shape[0]):
        total += one[arm] * other[arm]
    return total


@compiled
def add_regret(state, arm, gain, regret):
    """Add to the sums of a drafter, state = [gains_1, squared regrets_1, ..., N]."""
    state[2 * arm] += gain
    state[2 * arm + 1] += regret * regret
