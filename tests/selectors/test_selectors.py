"""Each learner against a short NumPy transcription of its paper, and a contract for all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from hedgespec.selectors import BUILT_IN, CHOSEN, FULL, built_in
from tests.helpers.hedge import bound_hedge, hedge
from tests.helpers.learner_driver import LENGTH, Driver, loss_sequences, play_all
from tests.helpers.long_run import feed_for_long
from tests.helpers.marks import slow_but

ARMS = (1, 2, 3, 8, 256)


def normalhedge(losses: np.ndarray) -> np.ndarray:
    """Chaudhuri, Freund & Hsu: find c with mean exp([R]+^2 / 2c) = e, by bisection."""
    arms = losses.shape[1]
    regret, plays = np.zeros(arms), []
    for t, loss in enumerate(losses):
        positive = np.maximum(regret, 0)
        if positive.max() <= 1e-12 * (1 + t):
            weights = np.full(arms, 1 / arms)
        else:
            scale = positive.max()
            y = (positive / scale) ** 2
            z = brentq(
                lambda z, y=y: np.log(np.mean(np.exp(z * y))) - 1,
                0.5,
                2 + np.log(arms),
                xtol=1e-15,
                rtol=1e-15,
            )
            weights = np.sqrt(y) * np.exp(z * y)
            weights /= weights.sum()
        plays.append(weights)
        regret += weights @ loss - loss
    return np.array(plays)


@pytest.mark.parametrize("arms", [1, 2, 8])
def test_hedge_equals_its_formula(arms):
    for losses in loss_sequences(arms, 200).values():
        np.testing.assert_allclose(
            play_all("hedge:eta=0.7", losses), hedge(losses, lambda t: 0.7), atol=1e-9
        )
        np.testing.assert_allclose(
            play_all("hedge", losses),
            hedge(losses, lambda t: np.sqrt(8 * np.log(arms) / t)),
            atol=1e-9,
        )


@pytest.mark.parametrize("arms", [1, 2, 8, 64])
def test_normalhedge_equals_its_formula(arms):
    for name, losses in loss_sequences(arms, 200).items():
        np.testing.assert_allclose(
            play_all("normalhedge", losses), normalhedge(losses), atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("arms", [2, 3, 8])
def test_ucbspec_equals_its_formula(arms):
    rng = np.random.default_rng(0)
    driver = Driver("ucbspec", arms)
    rewards: list[list[float]] = [[] for _ in range(arms)]
    for t in range(400):
        weights = driver.play()
        if t < arms:
            expected = t
        else:
            n = np.array([len(list_) for list_ in rewards])
            mean = np.array([np.mean(list_) for list_ in rewards])
            radius = (
                LENGTH
                / 2
                * np.sqrt((1 + n) / n**2 * (1 + 2 * np.log(arms * t**2 * np.sqrt(1 + n) / 0.5)))
            )
            expected = int(np.argmax(mean + radius))
        assert weights.argmax() == expected
        assert weights.sum() == weights.max() == 1
        emitted = int(rng.integers(1, 3 + expected % 4))
        rewards[expected].append(emitted)
        driver.learn_round(expected, 1.0, emitted)


@pytest.mark.parametrize(("n", "t", "radius"), [(1, 8, 13.9), (25, 200, 2.84), (125, 1000, 1.40)])
def test_ucbspec_radius_matches_the_reference_values(n, t, radius):
    """Eight drafters, K = 5. A drafter without rewards but for the radius is preferred to one of
    mean reward `best` and a vanishing radius just as long as best < radius."""
    for best, expected in ((radius - 0.1, 0), (radius + 0.1, 1)):
        driver = Driver("ucbspec", 8)
        driver.state[1] = t
        often = 1e12
        driver.state[2::2] = [n, *[often] * 7]
        driver.state[3::2] = [0.0, best * often, *[0.0] * 6]
        assert driver.play().argmax() == expected


@pytest.mark.parametrize("arms", [1, 2, 8])
def test_exp3spec_equals_its_formula(arms):
    rng = np.random.default_rng(1)
    driver = Driver("exp3spec", arms)
    z = np.zeros(arms)
    for t in range(1, 400):
        eta = np.sqrt(np.log(arms) / (t * arms))
        p = np.exp(-eta * (z - z.min()))
        p /= p.sum()
        weights = driver.play()
        np.testing.assert_allclose(weights, p, atol=1e-9)
        arm = int(rng.choice(arms, p=p))
        emitted = int(rng.integers(1, LENGTH + 2))
        z[arm] += (LENGTH + 1 - emitted) / (LENGTH * p[arm])
        driver.learn_round(arm, weights[arm], emitted)


@pytest.mark.parametrize("arms", [2, 8])
@pytest.mark.parametrize("text", ["hedge", "normalhedge"])
def test_regret_stays_under_the_anytime_bound(text, arms):
    """The bound is Hedge's (Cesa-Bianchi & Lugosi, Thm 2.3); NormalHedge's own is far looser."""
    for name, losses in loss_sequences(arms, 1500).items():
        plays = play_all(text, losses)
        regret = (plays * losses).sum() - losses.sum(axis=0).min()
        assert regret <= bound_hedge(arms, len(losses)) + 1e-9, name


def feed(driver: Driver, rng: np.random.Generator, extreme: bool = False) -> None:
    """One round of random feedback of the kind the selector takes."""
    if driver.selector.feedback == CHOSEN:
        weights = driver.play()
        arm = int(rng.choice(driver.arms, p=weights))
        emitted = 1 if extreme else int(rng.integers(1, LENGTH + 2))
        driver.learn_round(arm, weights[arm], emitted)
    else:
        loss = rng.integers(0, 2, driver.arms).astype(float) if extreme else rng.random(driver.arms)
        driver.learn_losses(loss)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("arms", slow_but([8], ARMS))
def test_contract_plays_are_probabilities(name, arms):
    rng = np.random.default_rng(arms)
    for extreme in (False, True):
        driver = Driver(name, arms)
        for _ in range(300):
            weights = driver.play()
            assert np.isfinite(weights).all()
            assert (weights >= 0).all()
            assert weights.sum() == pytest.approx(1, abs=1e-12)
            feed(driver, rng, extreme)


@pytest.mark.parametrize("name", BUILT_IN)
def test_contract_playing_twice_changes_nothing(name):
    """But for rounding: NormalHedge refines its warm start."""
    driver = Driver(name, 4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        np.testing.assert_allclose(driver.play(), driver.play(), rtol=0, atol=1e-13)
        feed(driver, rng)


@pytest.mark.parametrize("name", BUILT_IN)
def test_contract_reset_forgets_everything(name):
    used, fresh = Driver(name, 4), Driver(name, 4)
    rng = np.random.default_rng(0)
    for _ in range(50):
        feed(used, rng)
    used.selector.reset(used.state, used.params, 4, LENGTH)
    used.key = fresh.key
    for seed in range(20):
        np.testing.assert_array_equal(used.play(), fresh.play())
        feed(used, np.random.default_rng(seed))
        feed(fresh, np.random.default_rng(seed))


# With numbers of their own, learners treat drafters alike in law only (test_full_information.py).
WITHOUT_DRAWS = [n for n in BUILT_IN if built_in(n).feedback == FULL and not built_in(n).draws]


@pytest.mark.parametrize("name", WITHOUT_DRAWS)
def test_contract_permuted_drafters_give_permuted_plays(name):
    rng = np.random.default_rng(0)
    order = rng.permutation(6)
    losses = rng.random((300, 6))
    np.testing.assert_allclose(
        play_all(name, losses)[:, order], play_all(name, losses[:, order]), atol=1e-9
    )


@pytest.mark.parametrize("name", WITHOUT_DRAWS)
def test_contract_identical_drafters_are_treated_alike(name):
    losses = np.repeat(np.random.default_rng(0).random((300, 1)), 5, axis=1)
    np.testing.assert_allclose(play_all(name, losses), 0.2, atol=1e-12)


@pytest.mark.matrix
@pytest.mark.parametrize("name", slow_but(["normalhedge"], BUILT_IN))
def test_contract_a_million_steps_stay_finite(name):
    """Driven by a compiled loop; the losses favour drafter 1 throughout."""
    driver = Driver(name, 3)
    feed_for_long(driver.selector, driver.state, driver.params, 1_000_000)
    weights = driver.play()
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)
    if driver.selector.feedback == FULL:
        assert weights[1] > 0.98  # Fixed-Share leaves a share to the others


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=40))
@settings(deadline=None, max_examples=200)
def test_full_information_learners_are_finite_on_any_losses(losses):
    for name in ("hedge", "normalhedge"):
        plays = play_all(name, np.array(losses))
        assert np.isfinite(plays).all()
        np.testing.assert_allclose(plays.sum(axis=1), 1, atol=1e-9)


def test_normalhedge_does_not_turn_rounding_noise_into_a_decision():
    rng = np.random.default_rng(0)
    losses = 0.5 + rng.normal(size=(500, 8)) * 1e-16
    assert play_all("normalhedge", losses).max() == pytest.approx(1 / 8, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e150])
def test_normalhedge_survives_regrets_of_any_scale(scale):
    driver = Driver("normalhedge", 4)
    driver.state[2:] = np.array([1.0, 0.5, -1.0, 0.1]) * scale
    weights = driver.play()
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


def test_normalhedge_with_negative_regrets_only_is_uniform():
    driver = Driver("normalhedge", 2)
    driver.state[2:] = [-0.33, -0.31]
    np.testing.assert_array_equal(driver.play(), [0.5, 0.5])
