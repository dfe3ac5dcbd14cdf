"""A learner that reads features: its formula, what reaches it in replays, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from hedgespec.selectors import draw, parse_selector
from hedgespec.selectors.contract import ENTROPY, FEATURES, MATCHED, TOP
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.selectors.uniforms import SELECTION, query_key, uniform
from hedgespec.simulator import Replayer
from hedgespec.simulator.features import feature_table
from hedgespec.traces import Trace
from tests.helpers.learner_driver import Driver, loss_sequences
from tests.helpers.synthetic import write_trace

ARMS = 3
ACCEPT = parse_loss("accept")


def ridge(losses: np.ndarray, features: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Predicted losses (T, N): of each drafter least squares over all before, solved anew."""
    found = np.zeros(losses.shape)
    for arm in range(losses.shape[1]):
        rows: list[np.ndarray] = []
        for position in range(len(losses)):
            mean = losses[:position, arm].mean() if position else 0.0
            x = np.array([1.0, mean, *features[position, arm]])
            if position:
                known = np.array(rows)
                theta = np.linalg.solve(
                    weight * np.eye(len(x)) + known.T @ known, known.T @ losses[:position, arm]
                )
                found[position, arm] = theta @ x
            rows.append(x)
    return found


def played(losses: np.ndarray, features: np.ndarray, text: str = "ridge") -> np.ndarray:
    """What the learner plays, (T, N), and the predictions that it keeps."""
    driver, plays = Driver(text, losses.shape[1]), []
    for loss, known in zip(losses, features, strict=True):
        driver.params[-known.size :] = known.ravel()
        plays.append(np.stack([driver.play(), driver.state[1 : 1 + losses.shape[1]]]))
        np.testing.assert_allclose(driver.play(), plays[-1][0])
        driver.learn_losses(loss)
    return np.array(plays)


@pytest.mark.parametrize("weight", [1.0, 0.01])
def test_ridge_equals_its_formula(weight):
    rng = np.random.default_rng(0)
    for name, losses in loss_sequences(ARMS, 80).items():
        features = rng.random((len(losses), ARMS, FEATURES))
        expected = ridge(losses, features, weight)
        found = played(losses, features, f"ridge:ridge={weight}")
        np.testing.assert_allclose(found[:, 1], expected, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(found[:, 0].sum(axis=1), 1.0)
        order = np.sort(expected, axis=1)
        clear = order[:, 1] - order[:, 0] > 1e-6
        np.testing.assert_array_equal(
            found[clear, 0].argmax(axis=1), expected[clear].argmin(axis=1)
        )
        assert set(found[clear, 0].max(axis=1)) <= {1.0}


def test_other_names_for_the_drafters_change_only_names_and_a_text_begins_anew():
    rng = np.random.default_rng(1)
    losses, features = rng.random((60, ARMS)), rng.random((60, ARMS, FEATURES))
    order = np.array([2, 0, 1])
    plays = played(losses, features)
    np.testing.assert_allclose(
        played(losses[:, order], features[:, order])[:, 0], plays[:, 0][:, order]
    )
    driver = Driver("ridge", ARMS)
    for loss in losses:
        driver.learn_losses(loss)
    driver.selector.reset(driver.state, driver.params, ARMS, 5)
    np.testing.assert_array_equal(driver.state, Driver("ridge", ARMS).state)


def test_a_loss_that_features_tell_is_learned():
    """Each drafter is good where its top probability was high, half of the time."""
    rng = np.random.default_rng(2)
    sure = rng.integers(0, 2, (400, 2)).astype(float)
    features = np.zeros((400, 2, FEATURES))
    features[:, :, TOP] = sure
    losses = np.clip(0.9 - 0.8 * sure + 0.1 * rng.normal(size=(400, 2)), 0, 1)
    plays = played(losses, features)[:, 0]
    best, mean = losses.min(axis=1).mean(), losses.mean()
    assert (plays * losses).sum(axis=1).mean() < best + 0.2 * (mean - best)


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Trace:
    """Features at random; drafter 1 is a lookup."""
    plain = write_trace(
        tmp_path_factory.mktemp("contextual") / "trace",
        lengths=(1, 60, 7, 90),
        closeness=(0.5, 0.5, 0.5),
    )
    rng, tokens = np.random.default_rng(3), len(plain.tokens)
    names = ("q_top", "entropy")
    optional = {
        f"{name}/drafter-{arm}": rng.random(tokens).astype(np.float32)
        for arm in range(ARMS)
        for name in names
    }
    optional["matched/drafter-1"] = rng.integers(0, 5, tokens).astype(np.uint8)
    drafters = [
        replace(item, statistics=names + ("matched",) * (arm == 1))
        for arm, item in enumerate(plain.manifest.drafters)
    ]
    return replace(plain, manifest=replace(plain.manifest, drafters=drafters), optional=optional)


def test_features_are_those_of_the_position_before_but_for_matches(trace):
    replayer = Replayer(trace, arm_lengths=(0, 2))
    table = feature_table(trace, replayer.arms)
    assert not table[:, 0].any(), "who drafts nothing knows nothing"
    np.testing.assert_array_equal(
        table[:, 1::2], np.stack([table[:, 1], table[:, 2], table[:, 3]], axis=1)[:, ::2]
    )
    begins = trace.offsets[:-1]
    assert not table[begins, :, TOP:].any()
    later = np.setdiff1d(np.arange(len(trace.tokens)), begins)
    for arm in range(ARMS):
        np.testing.assert_array_equal(
            table[later, 1 + arm, TOP], trace.optional[f"q_top/drafter-{arm}"][later - 1]
        )
        most = np.log(trace.manifest.target.vocabulary_size)
        np.testing.assert_allclose(
            table[later, 1 + arm, ENTROPY],
            np.minimum(trace.optional[f"entropy/drafter-{arm}"][later - 1] / most, 1),
            rtol=1e-6,
        )
    matched = trace.optional["matched/drafter-1"].astype(float)
    np.testing.assert_allclose(table[:, 2, MATCHED], matched / (matched + 1))
    assert not table[:, [1, 3], MATCHED].any()


def by_hand(replayer: Replayer, choice: np.ndarray, seed: int) -> np.ndarray:
    """The drafters that the learner's own functions choose at the round starts of a replay."""
    trace, losses = replayer.trace, replayer.losses(ACCEPT)
    table = feature_table(trace, replayer.arms)
    found = np.full(len(choice), -1)
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        driver, fed = Driver("ridge", len(replayer.arms.names)), begin
        for start in np.flatnonzero(choice[begin:end] >= 0) + begin:
            for position in range(fed, start):
                driver.params[-table[0].size :] = table[position].ravel()
                driver.learn_losses(losses[position])
            fed = start
            driver.params[-table[0].size :] = table[start].ravel()
            found[start] = draw(
                driver.play(), uniform(query_key(seed, query), start - begin, SELECTION)
            )
    return found


@pytest.mark.parametrize("lengths", [(), (0, 1, 4)])
def test_kernels_hand_on_the_features_of_each_position(trace, lengths):
    replayers = [Replayer(trace, arm_lengths=lengths, threads=threads) for threads in (1, 4)]
    for seed in range(3):
        one, four = (replayer.run("ridge", seed, loss=ACCEPT).choice for replayer in replayers)
        np.testing.assert_array_equal(one, by_hand(replayers[0], one, seed))
        np.testing.assert_array_equal(one, four)
    exact = replayers[0].run_exact("ridge", loss=ACCEPT)
    starts = one >= 0
    assert (exact.plays[np.flatnonzero(starts), one[starts]] > 0).all()
    mean = np.mean(
        [replayers[0].run("ridge", seed, loss=ACCEPT).visits.sum() for seed in range(40)]
    )
    assert exact.visits.sum() == pytest.approx(mean, rel=0.05)


def test_what_a_drafter_was_at_a_position_is_not_known_there(trace):
    """Nothing of the future: features from a position on change no choice up to it."""
    replayer = Replayer(trace)
    exact = replayer.run_exact("ridge", loss=ACCEPT)
    place = int(trace.offsets[1]) + 30
    changed = {
        name: np.where(np.arange(len(values)) >= place, 1 - values, values)
        for name, values in trace.optional.items()
        if not name.startswith("matched")
    }
    other = Replayer(replace(trace, optional=trace.optional | changed)).run_exact(
        "ridge", loss=ACCEPT
    )
    np.testing.assert_array_equal(exact.plays[: place + 1], other.plays[: place + 1])
    assert not np.array_equal(exact.plays, other.plays)


def test_what_cannot_be_is_told_by_name(trace, tmp_path):
    plain = write_trace(tmp_path / "plain", name="plain")
    message = (
        "trace plain: a contextual learner reads q_top and entropy of drafter drafter-0, "
        "which were not recorded; record with features"
    )
    for run in (Replayer(plain).chooser, Replayer(plain).run_exact):
        with pytest.raises(HedgespecError, match=message):
            run("ridge")
    for feedback in ("every:2", "eliminate:0.5,0.1", "rounds:1", "censored"):
        with pytest.raises(HedgespecError, match="ridge reads what an evaluation in each round"):
            Replayer(trace).run("ridge", 0, parse_feedback(feedback))
    with pytest.raises(HedgespecError, match="reads how sure drafters are, which is not"):
        OnlineSelector(parse_selector("ridge"), ARMS, 5)
    with pytest.raises(HedgespecError, match="ridge"):
        parse_selector("ridge:ridge=0")
