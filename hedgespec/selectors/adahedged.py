"""AdaHedgeD without hints (Flaspohler et al. 2021, arXiv 2106.06885): AdaHedge aware of the delay.

w_i proportional to exp(-L_i / lambda); while lambda is 0, uniform over the leaders. A loss g that
arrives adds min(drift, aux, hat) / ln N to lambda if that is positive. With w and lambda of the
play for g's position, G the sum of g and the losses then outstanding, L the losses with g
included, M(L) = -lambda ln mean exp(-L / lambda) and W(L) the play at L with that lambda,

    drift = <g, w - W(L)>
    aux   = gap(w, G)                        gap(w, H) = <w, H> - M(L) + M(L - H)
    hat   = gap(v, sG) + <g, w - v>          v = W(L - sG), s = min(1, max g / max G)

Time is counted in positions: the play for a position is the one that would be made if a round
started there, when the losses of the K positions before it are incomplete, under `accept` that of
one. This is what the feedback `queued` does; for other settings give `delay`, the number of earlier
positions whose losses are outstanding at a decision. `played` is not read. Paper and reference
code also take hints of the outstanding losses; the contract hands over complete losses only, so
the hint is 0. By s the play depends on what is common to all losses, in the paper as well.
"""

import math

from hedgespec.selectors.contract import FULL, Parameter, Selector, compiled
from hedgespec.selectors.mixing import NOISE, dot, largest, leaders, mix_loss, smallest, softmin

_MOST = 64  # losses kept; a longer delay counts as this one
# Layout: [losses seen, lambda, losses kept, L (N), scratch (3 N), ring]. A place of the ring holds
# a loss, and before it the lambda of the play that the next loss to take this place is for.
_SEEN, _LAMBDA, _KEPT, _LOSS = 0, 1, 2, 3


@compiled
def reset(state, params, arms, draft_length):
    """Nothing lost yet; as many losses are kept as are outstanding, a play's own included."""
    state[:] = 0.0
    delay = params[0] if params[0] >= 0.0 else draft_length - 1.0
    state[_KEPT] = min(math.floor(delay) + 1.0, _MOST)


@compiled
def _follow(losses, scale, seen, weights):
    """W(L): softmin with eta = 1 / lambda, or the leaders."""
    if scale == 0.0:
        leaders(losses, NOISE * (1.0 + seen), weights)
    else:
        softmin(losses, 1.0 / scale, weights)


@compiled
def play(state, params, key, weights):
    """The play at the losses learned so far."""
    arms = weights.shape[0]
    _follow(state[_LOSS : _LOSS + arms], state[_LAMBDA], state[_SEEN], weights)


@compiled
def _gap(weights, share, outstanding, before, losses, scale):
    """gap(w, H) with H = share * outstanding and before = L - H."""
    eta = 1.0 / scale if scale > 0.0 else math.inf
    drop = mix_loss(losses, eta) - mix_loss(before, eta)
    return share * dot(weights, outstanding) - drop


@compiled
def _take_off(losses, share, outstanding, before):
    """before = L - share * outstanding, in a loop: array expressions take long to compile."""
    for arm in range(losses.shape[0]):
        before[arm] = losses[arm] - share * outstanding[arm]


@compiled
def _increase(state, loss, outstanding, scale):
    """min(drift, aux, hat)."""
    arms = loss.shape[0]
    losses, seen = state[_LOSS : _LOSS + arms], state[_SEEN]
    scratch = _LOSS + 2 * arms
    before = state[scratch : scratch + arms]
    weights = state[scratch + arms : scratch + 2 * arms]
    _take_off(losses, 1.0, outstanding, before)
    _follow(before, scale, seen, weights)
    own = dot(loss, weights)
    aux = _gap(weights, 1.0, outstanding, before, losses, scale)
    _follow(losses, scale, seen, weights)
    drift = own - dot(loss, weights)
    highest = largest(outstanding)
    share = largest(loss) / highest if highest > 0.0 else 1.0
    _take_off(losses, share, outstanding, before)
    _follow(before, scale, seen, weights)
    hat = _gap(weights, share, outstanding, before, losses, scale) + own - dot(loss, weights)
    return min(drift, aux, hat)


@compiled
def learn(state, params, position, played, loss):
    """L += loss, lambda += increase / ln N; as in AdaHedge the smallest L is kept at 0.

    Increases below NOISE are rounding. A lone drafter's is 0, whatever it is divided by.
    """
    arms = loss.shape[0]
    kept = int(state[_KEPT])
    ring = state[_LOSS + 4 * arms :]
    place = int(state[_SEEN]) % kept * (arms + 1)
    for arm in range(arms):
        ring[place + 1 + arm] = loss[arm]
    losses = state[_LOSS : _LOSS + arms]
    outstanding = state[_LOSS + arms : _LOSS + 2 * arms]
    outstanding[:] = 0.0
    for number in range(kept):
        for arm in range(arms):
            outstanding[arm] += ring[number * (arms + 1) + 1 + arm]
    for arm in range(arms):
        losses[arm] += loss[arm]
    increase = _increase(state, loss, outstanding, ring[place])
    if increase > NOISE:
        state[_LAMBDA] += increase / math.log(max(arms, 2))
    ring[place] = state[_LAMBDA]
    least = smallest(losses)
    for arm in range(arms):
        losses[arm] -= least
    state[_SEEN] += 1.0


SELECTOR = Selector(
    name="adahedged",
    feedback=FULL,
    source="Flaspohler et al. 2021, arXiv 2106.06885",
    state_size=lambda arms: _LOSS + 4 * arms + _MOST * (arms + 1),
    reset=reset,
    play=play,
    learn=learn,
    parameters=(
        Parameter(
            "delay",
            -1.0,
            "earlier positions whose losses are outstanding at a decision; "
            "-1: the loss's own, K - 1, or 0 for accept",
            low=0.0,
            high=_MOST - 1.0,
            whole=True,
            of_window=True,
        ),
    ),
)
