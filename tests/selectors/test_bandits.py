"""The further bandits: formulas, schedules, draws, and whether they find the best drafter."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import beta as beta_law
from scipy.stats import gamma as gamma_law
from scipy.stats import kstest, norm

from hedgespec.errors import HedgespecError
from hedgespec.selectors import parse_selector
from hedgespec.selectors.sliding_window_ucb import LONGEST
from hedgespec.selectors.thompson import beta
from hedgespec.selectors.tsallis_inf import tsallis_weights
from hedgespec.selectors.uniforms import decision_key, uniform
from hedgespec.selectors.variates import gamma, normal
from tests.helpers.learner_driver import LENGTH, Driver
from tests.helpers.marks import slow_but

ARMS = [1, 2, 3, 8]


# --- transcriptions: the whole history -> the scores or weights of the next round ---


@dataclass
class Round:
    arm: int
    propensity: float
    emitted: int
    verified: float
    lookahead: float

    @property
    def unit(self) -> float:
        return (self.emitted - 1) / LENGTH


History = list[Round]
Formula = Callable[[History, int], np.ndarray]


def rewards_of(history: History, arms: int, reward: Callable[[Round], float]) -> list[np.ndarray]:
    return [np.array([reward(item) for item in history if item.arm == arm]) for arm in range(arms)]


def bound(
    history: History,
    arms: int,
    reward: Callable[[Round], float],
    bonus: Callable[[int, int], float],
) -> np.ndarray:
    """Mean reward + bonus(n_i, t); infinite before the first round."""
    return np.array(
        [
            own.mean() + bonus(len(own), len(history)) if len(own) else np.inf
            for own in rewards_of(history, arms, reward)
        ]
    )


def released(history: History, arms: int) -> np.ndarray:
    t = len(history) + 1
    if t <= 2 * arms - 1:
        return (np.arange(arms) == (t - 1) % arms).astype(float)
    return bound(
        history, arms, lambda item: item.emitted, lambda n, seen: np.sqrt(6 * np.log(t) / seen)
    )


def metasd(reward: Callable[[Round], float], weight: float) -> Formula:
    return lambda history, arms: bound(
        history, arms, reward, lambda n, t: weight * np.sqrt(2 * np.log(t) / n)
    )


def discounted(discount: float, xi: float) -> Formula:
    def scores(history: History, arms: int) -> np.ndarray:
        t = len(history)
        age = discount ** np.arange(t - 1, -1, -1.0)
        own = np.array([[item.arm == arm for item in history] for arm in range(arms)])
        own = own.reshape(arms, t) * age
        count = own.sum(axis=1)
        total = own @ np.array([item.unit for item in history])
        with np.errstate(divide="ignore", invalid="ignore"):
            value = total / count + 2 * np.sqrt(xi * np.log(max(count.sum(), 1)) / count)
        return np.where(count > 0, value, np.inf)

    return scores


def windowed(tau: int, xi: float) -> Formula:
    return lambda history, arms: bound(
        history[-tau:], arms, lambda item: item.unit, lambda n, t: np.sqrt(xi * np.log(t) / n)
    )


INDEX = {  # selector -> its scores, the play being their argmax
    "ucbspec-released": released,
    "ucb1": metasd(lambda item: item.unit, 1),
    "metasd-ucb": metasd(lambda item: item.verified, 1),
    "metasd-ucb:reward=1,beta=0.3": metasd(lambda item: item.lookahead, 0.3),
    "metasd-ucb:reward=2,beta=0": metasd(lambda item: item.unit, 0),
    "discounted-ucb": discounted(0.99, 0.6),
    "discounted-ucb:gamma=0.5,xi=0.1": discounted(0.5, 0.1),
    "discounted-ucb:gamma=1": discounted(1, 0.6),
    "sliding-window-ucb": windowed(100, 0.6),
    "sliding-window-ucb:tau=1": windowed(1, 0.6),
    "sliding-window-ucb:tau=7,xi=0.01": windowed(7, 0.01),
    f"sliding-window-ucb:tau={LONGEST}": windowed(LONGEST, 0.6),
}
ROUNDED = ("metasd-ucb", "discounted-ucb")  # their sums are rounded, so ties may break either way


def epsilon_greedy(epsilon: float) -> Formula:
    def weights(history: History, arms: int) -> np.ndarray:
        best = bound(history, arms, lambda item: item.emitted, lambda n, t: 0).argmax()
        return epsilon / arms + (1 - epsilon) * (np.arange(arms) == best)

    return weights


def exp3_ix(history: History, arms: int) -> np.ndarray:
    estimate = np.zeros(arms)
    for t, item in enumerate(history, start=1):
        implicit = np.sqrt(np.log(arms) / (arms * t)) / 2
        estimate[item.arm] += (1 - item.unit) / (item.propensity + implicit)
    eta = np.sqrt(np.log(arms) / (arms * (len(history) + 1)))
    weights = np.exp(-eta * (estimate - estimate.min()))
    return weights / weights.sum()


def tsallis(history: History, arms: int) -> np.ndarray:
    loss = np.zeros(arms)
    for item in history:
        loss[item.arm] += (1 - item.unit) / item.propensity
    loss -= loss.min()
    eta = 2 / np.sqrt(len(history) + 1)
    x = brentq(
        lambda x: (4 / (eta * (loss - x)) ** 2).sum() - 1,
        -2 * np.sqrt(arms) / eta - 1e-9,
        -2 / eta,
        xtol=1e-14,
        rtol=1e-15,
    )
    return 4 / (eta * (loss - x)) ** 2


MIXED = {
    "epsilon-greedy": epsilon_greedy(0.1),
    "epsilon-greedy:epsilon=0": epsilon_greedy(0),
    "epsilon-greedy:epsilon=1": epsilon_greedy(1),
    "exp3-ix": exp3_ix,
    "tsallis-inf": tsallis,
}
FEEDBACK = {  # kind of rewards -> (emitted, verified, lookahead)
    "random": lambda rng, arm: (int(rng.integers(1, LENGTH + 2)), rng.random(), rng.random()),
    "gap": lambda rng, arm: (
        1 + int(rng.binomial(LENGTH, 0.3 + 0.4 * (arm == 1))),
        rng.random() * (1 + arm) / 8,
        rng.random() / (1 + arm),
    ),
    "extreme": lambda rng, arm: (int(rng.choice([1, LENGTH + 1])), *rng.integers(0, 2, 2)),
    "none": lambda rng, arm: (1, 0.0, 0.0),
    "all": lambda rng, arm: (LENGTH + 1, 1.0, 1.0),
}


def rounds(driver: Driver, kind: str, steps: int, seed: int = 0):
    """Yield (weights, history before the round)."""
    rng = np.random.default_rng(seed)
    history: History = []
    for _ in range(steps):
        weights = driver.play()
        yield weights, history
        arm = int(rng.choice(driver.arms, p=weights / weights.sum()))
        history.append(Round(arm, weights[arm], *FEEDBACK[kind](rng, arm)))
        item = history[-1]
        driver.learn_round(arm, item.propensity, item.emitted, item.verified, item.lookahead)


@pytest.mark.matrix
@pytest.mark.parametrize("text", INDEX)
@pytest.mark.parametrize("arms", slow_but([3], ARMS))
def test_index_learners_equal_their_formulas(text, arms):
    for kind in FEEDBACK:
        for weights, history in rounds(Driver(text, arms), kind, 300):
            scores = INDEX[text](history, arms)
            chosen = int(weights.argmax())
            assert weights.sum() == weights[chosen] == 1
            tied = scores >= scores.max() - 1e-9
            assert tied[chosen], (kind, len(history))
            if not text.startswith(ROUNDED):
                assert chosen == tied.argmax(), (kind, len(history))


@pytest.mark.matrix
@pytest.mark.parametrize("text", MIXED)
@pytest.mark.parametrize("arms", slow_but([3], ARMS))
def test_mixing_learners_equal_their_formulas(text, arms):
    for kind in FEEDBACK:
        for weights, history in rounds(Driver(text, arms), kind, 300):
            np.testing.assert_allclose(
                weights, MIXED[text](history, arms), rtol=0, atol=1e-9, err_msg=kind
            )


def test_metasd_with_accepted_tokens_is_ucb1():
    for kind in ("random", "gap"):
        one = [weights.argmax() for weights, _ in rounds(Driver("ucb1", 5), kind, 400)]
        other = [
            weights.argmax() for weights, _ in rounds(Driver("metasd-ucb:reward=2", 5), kind, 400)
        ]
        assert one == other


def test_the_longest_window_forgets_what_is_older():
    driver = Driver(f"sliding-window-ucb:tau={LONGEST}", 2)
    history: History = []
    for step in range(LONGEST + 500):
        arm = step % 2 if step < 400 or step % 7 == 0 else 1
        emitted = 6 if (arm == 0) == (step < 300) else 1
        history.append(Round(arm, 1.0, emitted, 0, 0))
        driver.learn_round(arm, 1.0, emitted)
    means = [own.mean() for own in rewards_of(history[-LONGEST:], 2, lambda item: item.emitted - 1)]
    counts = np.bincount([item.arm for item in history[-LONGEST:]])
    np.testing.assert_array_equal(driver.state[-4::2], counts)
    np.testing.assert_array_equal(driver.state[-3::2] / counts, means)


# --- Tsallis-INF's equation ---


def loss_vectors(rng: np.random.Generator):
    for _ in range(3000):
        arms = int(rng.choice([1, 2, 3, 8, 64, 256]))
        scale = 10.0 ** rng.uniform(-12, 8)
        yield rng.random(arms) ** rng.choice([0.1, 1, 10]) * scale + rng.choice([0, 1, 1e6])
    for arms in (2, 8, 256):
        for far in (0.0, 1e-300, 1e-16, 1.0, 1e16, 1e150, 1e300):
            for ahead in (1, arms // 2, arms - 1):
                yield np.where(np.arange(arms) < ahead, 0.0, far)
            yield np.linspace(0, 1, arms) * far


def test_tsallis_weights_solve_the_equation():
    """With z = 1/sqrt(w of the leader), all w_i = 1/(z + eta d_i / 2)^2 sum to 1."""
    rng = np.random.default_rng(0)
    for losses in loss_vectors(rng):
        eta = 2 / np.sqrt(rng.choice([1, 2, 100, 1e6]))
        weights = np.empty_like(losses)
        tsallis_weights(losses, eta, weights)
        assert np.isfinite(weights).all()
        assert (weights >= 0).all()
        z = 1 / np.sqrt(weights.max())
        assert 1 - 1e-12 <= z <= np.sqrt(len(losses)) * (1 + 1e-12)
        with np.errstate(over="ignore"):
            solution = 1 / (z + eta * (losses - losses.min()) / 2) ** 2
        assert abs(solution.sum() - 1) <= 1e-12
        np.testing.assert_allclose(weights, solution, rtol=1e-12, atol=0)


# --- estimated losses ---


@pytest.mark.parametrize("text", ["exp3spec", "tsallis-inf", "exp3-ix"])
def test_estimated_losses_are_unbiased(text):
    """Sum over the drafter drawn of probability times change = loss; EXP3-IX falls short by the
    factor p / (p + eta/2)."""
    arms, emitted = 4, np.array([1, 2, 4, 6])
    driver = Driver(text, arms)
    for _, history in rounds(driver, "gap", 60):
        weights, before = driver.play(), driver.state.copy()
        expected = np.zeros(arms)
        for arm in range(arms):
            driver.learn_round(arm, weights[arm], emitted[arm])
            expected += weights[arm] * (driver.state - before)[2:]
            driver.state[:] = before
        loss = 1 - (emitted - 1) / LENGTH
        if text == "exp3-ix":
            implicit = np.sqrt(np.log(arms) / (arms * (len(history) + 1))) / 2
            loss = loss * weights / (weights + implicit)
        np.testing.assert_allclose(expected, loss, rtol=1e-6, atol=1e-9)


# --- numbers drawn ---


@cache
def keys() -> list[int]:
    """Of many decisions; made where they are needed, not whenever tests are collected."""
    return [decision_key(12345, position) for position in range(20_000)]


def test_normal_and_gamma_numbers_have_their_laws():
    assert kstest([normal(key, 5) for key in keys()], norm.cdf).pvalue > 1e-3
    for shape in (1.0, 1.3, 7.0, 500.0):
        values = [gamma(key, 3, shape) for key in keys()]
        assert kstest(values, gamma_law(shape).cdf).pvalue > 1e-3, shape


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 2), (5, 2), (1, 1000), (4000, 3000)])
def test_beta_numbers_have_their_law(a, b):
    values = [beta(key, 1, float(a), float(b)) for key in keys()]
    assert kstest(values, beta_law(a, b).cdf).pvalue > 1e-3


def choices(driver: Driver) -> np.ndarray:
    """Drafter chosen under each key, as frequencies."""
    found = np.zeros(driver.arms)
    for driver.key in keys():
        found += driver.play()
    return found / len(keys())


def feed_rewards(driver: Driver, rewards: list[list[int]]) -> None:
    for arm, own in enumerate(rewards):
        for emitted in own:
            driver.learn_round(arm, 1.0, emitted)


def test_thompson_chooses_with_the_probability_of_being_best():
    """Rewards 0 and 1 leave nothing to the coin."""
    driver = Driver("thompson", 3)
    feed_rewards(driver, [[6, 6, 1], [6, 1, 1, 1, 1, 6, 6, 6], []])
    laws = [beta_law(3, 2), beta_law(5, 5), beta_law(1, 1)]
    for arm, found in enumerate(choices(driver)):
        others = [law for other, law in enumerate(laws) if other != arm]
        expected = quad(
            lambda x, arm=arm, others=others: (
                laws[arm].pdf(x) * np.prod([law.cdf(x) for law in others])
            ),
            0,
            1,
        )[0]
        assert found == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(len(keys())))


def test_thompsons_coin_is_fair_and_apart_from_its_draws():
    ones, draws = [], []
    for key in keys():
        driver = Driver("thompson", 2)
        driver.key = key
        draws.append(driver.play()[0])
        driver.learn_round(1, 1.0, 3)
        assert driver.state[4] == 1
        ones.append(driver.state[5])
    assert set(ones) == {0.0, 1.0}
    assert np.mean(ones) == pytest.approx(2 / 5, abs=4 * 0.5 / np.sqrt(len(keys())))
    assert abs(np.corrcoef(ones, draws)[0, 1]) < 4 / np.sqrt(len(keys()))


def test_thompson_equals_its_formula_given_its_numbers():
    for kind in FEEDBACK:
        driver = Driver("thompson", 3)
        counts = np.zeros((3, 2))  # zeros and ones of the coin
        seen = 0
        for weights, history in rounds(driver, kind, 300):
            for item in history[seen:]:
                coin = uniform(driver.key - 1, 0, 0) < item.unit
                counts[item.arm, int(coin)] += 1
            seen = len(history)
            draws = [
                beta(driver.key, 1 + arm * 2**21, 1 + counts[arm, 1], 1 + counts[arm, 0])
                for arm in range(3)
            ]
            assert weights.argmax() == np.argmax(draws)


def test_gaussian_thompson_equals_its_formula():
    for kind in FEEDBACK:
        driver = Driver("thompson-gaussian", 3)
        for weights, history in rounds(driver, kind, 300):
            own = rewards_of(history, 3, lambda item: item.unit)
            count = np.array([len(values) + 1 for values in own])
            u = np.array(
                [[uniform(driver.key, 2 * arm + part, 0) for part in (0, 1)] for arm in range(3)]
            )
            z = np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * np.pi * u[:, 1])
            scores = np.array([values.sum() for values in own]) / count + z / np.sqrt(count)
            assert weights.argmax() == scores.argmax()


# --- schedules ---


@pytest.mark.parametrize("arms", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("budget", [1, 40, 64, 5000])
def test_sequential_halving_runs_its_schedule(arms, budget):
    rng = np.random.default_rng(arms)
    driver = Driver(f"sequential-halving:budget={budget}", arms)
    left = list(range(arms))
    phases = int(np.ceil(np.log2(arms)))
    total = 0
    for _ in range(phases):
        each = max(1, budget // (len(left) * phases))
        tokens = dict.fromkeys(left, 0)
        for _ in range(each):
            for arm in left:
                assert driver.play().argmax() == arm
                emitted = int(rng.integers(1, LENGTH + 2))
                tokens[arm] += emitted
                driver.learn_round(arm, 1.0, emitted)
                total += 1
        ranked = sorted(left, key=lambda arm, tokens=tokens: (-tokens[arm], arm))
        left = sorted(ranked[: -(-len(left) // 2)])
    assert len(left) == 1
    if budget >= arms * phases:
        assert total <= budget
    for _ in range(50):
        weights = driver.play()
        assert weights[left[0]] == weights.sum() == 1
        driver.learn_round(left[0], 1.0, 1)


def shares(
    text: str, steps: int, emitted: Callable[[int, int], int], arms: int, marks: tuple[int, ...]
) -> list[float]:
    """Share of drafter 0 in the first `mark` rounds, where `emitted(step, arm)` are emitted."""
    driver = Driver(text, arms)
    rng = np.random.default_rng(1)
    chosen = []
    for step in range(steps):
        weights = driver.play()
        best = int(weights.argmax())
        arm = best if weights[best] == 1 else int(rng.choice(arms, p=weights))
        chosen.append(arm == 0)
        value = emitted(step, arm)
        driver.learn_round(arm, weights[arm], value, (value - 1) / LENGTH, (value - 1) / LENGTH)
    return [float(np.mean(chosen[:mark])) for mark in marks]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ucbspec", [0.192, 0.279, 0.452, 0.757]),
        ("ucb1", [0.185, 0.238, 0.361, 0.672]),
    ],
)
def test_shares_of_the_best_match_the_reference_values(text, expected):
    """Eight drafters, K = 5, mean 4 against 3; the spread of the rewards hardly matters."""
    rng = np.random.default_rng(0)
    found = np.mean(
        [
            shares(
                text,
                5000,
                lambda step, arm: 1 + rng.binomial(LENGTH, 0.6 if arm == 0 else 0.4),
                8,
                (100, 300, 1000, 5000),
            )
            for _ in range(5)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, expected, atol=0.04)


LEARNS = {  # least share of the best of four in 5000 rounds, mean 5 against 2.5
    "ucbspec": 0.8,
    "ucbspec-released": 0.9,
    "metasd-ucb": 0.8,
    "metasd-ucb:reward=1": 0.8,
    "metasd-ucb:reward=2": 0.8,
    "ucb1": 0.8,
    "epsilon-greedy": 0.85,
    "thompson": 0.9,
    "thompson-gaussian": 0.8,
    "exp3spec": 0.7,
    "exp3-ix": 0.6,
    "tsallis-inf": 0.7,
    "discounted-ucb": 0.35,
    "discounted-ucb:gamma=0.9999": 0.7,
    "sliding-window-ucb": 0.5,
    "sliding-window-ucb:tau=2000": 0.8,
    "sequential-halving": 0.9,
}


@pytest.mark.parametrize("text", LEARNS)
def test_the_best_of_a_stationary_problem_is_found(text):
    rng = np.random.default_rng(0)

    def emitted(step, arm):
        return 1 + rng.binomial(LENGTH, 0.8 if arm == 0 else 0.3)

    (share,) = shares(text, 5000, emitted, 4, (5000,))
    assert share > LEARNS[text]


@pytest.mark.parametrize("text", ["discounted-ucb", "sliding-window-ucb"])
def test_forgetting_learners_follow_a_change(text):
    """Drafter 1 is good for 2000 rounds, then bad; UCB1 is slow to notice."""
    rng = np.random.default_rng(0)

    def emitted(step, arm):
        return 1 + rng.binomial(LENGTH, 0.5 if arm == 0 else 0.9 if step < 2000 else 0.1)

    def late_share(selector):
        before, after = shares(selector, 3000, emitted, 2, (2000, 3000))
        return 3 * after - 2 * before

    assert late_share(text) > 0.6
    assert late_share("ucb1") < 0.3


@pytest.mark.parametrize(
    "text",
    [
        "epsilon-greedy:epsilon=1.1",
        "discounted-ucb:gamma=1.01",
        "discounted-ucb:xi=-1",
        "sliding-window-ucb:tau=0",
        f"sliding-window-ucb:tau={LONGEST + 1}",
        "metasd-ucb:reward=3",
        "metasd-ucb:beta=-1",
        "sequential-halving:budget=0",
        "ucb1:beta=1",
        "sliding-window-ucb:tau=nan",
    ],
)
def test_values_out_of_range_are_refused(text):
    with pytest.raises(HedgespecError):
        parse_selector(text)
