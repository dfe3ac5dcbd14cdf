"""Laws from listed tokens are those of whole distributions, and bounds hold what they bound."""

import numpy as np
import pytest

from hedgespec.bridges.dialects.base import Listed
from hedgespec.bridges.listed_law import check_law, emitted_log, law, statistics
from hedgespec.errors import HedgespecError
from hedgespec.models.settings import Sampling

ROWS, WORDS, LISTED = 60, 30, 8
LAWS = [
    Sampling(0.7, top_k=5),
    Sampling(1.0, top_k=8),
    Sampling(1.7, top_k=8, top_p=0.6),
    Sampling(0.0),
    Sampling(1.0),
]


def logs_of(seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (ROWS, WORDS))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def listed(logs: np.ndarray, tokens: np.ndarray, top: int) -> Listed:
    order = np.argsort(-logs, axis=1, kind="stable")[:, :top]
    rows = [
        {int(token): float(row[token]) for token in which}
        for row, which in zip(logs, order, strict=True)
    ]
    return Listed.of(rows, tokens, logs[np.arange(ROWS), tokens], top)


def found(sampling: Sampling, top: int, bounded: bool, tokens: np.ndarray):
    target, drafter = logs_of(1), logs_of(1) * 0.6 + logs_of(2) * 0.5
    drafter -= np.log(np.exp(drafter).sum(axis=1, keepdims=True))
    p = law(listed(target, tokens, top), tokens, sampling, target=True)
    q = law(listed(drafter, tokens, top), tokens, sampling, target=False)
    return target, drafter, {"log_p": emitted_log(p), **statistics(p, q, tokens, bounded)}


@pytest.mark.parametrize("sampling", LAWS, ids=str)
@pytest.mark.parametrize("top", [LISTED, WORDS + 1], ids=["listed", "whole"])
def test_statistics_are_those_of_the_models(sampling, top):
    """The same as torch's, over tokens that the target sampled and some that rounding cut off."""
    torch = pytest.importorskip("torch")
    from hedgespec.models.acceptance import emitted_log_p, reduce_pair
    from hedgespec.models.distributions import probabilities

    bounded = sampling == Sampling(1.0) and top == LISTED
    likely = np.argsort(-logs_of(1), axis=1)
    tokens = likely[np.arange(ROWS), np.arange(ROWS) % 7]
    target, drafter, ours = found(sampling, top, bounded, tokens)
    emitted = torch.from_numpy(tokens)
    p = probabilities(torch.from_numpy(target), sampling, emitted=emitted)
    q = probabilities(torch.from_numpy(drafter), sampling)
    theirs = {"log_p": emitted_log_p(p, emitted), **reduce_pair(p, q, emitted)}
    for name in ("log_p", "log_q"):
        np.testing.assert_allclose(ours[name], theirs[name].numpy(), atol=1e-6)
    assert (ours["match"] == theirs["match"].numpy()).all()
    gamma = theirs["gamma"].numpy()
    if bounded:
        assert (ours["gamma_low"] <= gamma + 1e-9).all()
        assert (ours["gamma_high"] >= gamma - 1e-9).all()
        assert 0 < (ours["gamma_high"] - ours["gamma_low"]).mean() < 0.2
        np.testing.assert_allclose(ours["gamma"], (ours["gamma_low"] + ours["gamma_high"]) / 2)
        assert (ours["p_top"] <= theirs["p_top"].numpy() + 1e-9).all()
    else:
        np.testing.assert_allclose(ours["gamma"], gamma, atol=1e-9)
        np.testing.assert_allclose(ours["p_top"], theirs["p_top"].numpy(), atol=1e-9)


def test_bounds_cannot_be_narrower():
    """Both are reached: by laws that agree with all that is listed, the unseen masses put on the
    same tokens or on others."""
    tokens = np.array([0])
    p = law(
        Listed(np.array([[0, 1]]), np.log([[0.5, 0.2]]), np.log([0.5])), tokens, Sampling(1.0), True
    )
    q = law(
        Listed(np.array([[0, 2]]), np.log([[0.4, 0.3]]), np.log([0.4])),
        tokens,
        Sampling(1.0),
        False,
    )
    ours = statistics(p, q, tokens, bounded=True)
    # Unseen 0.3 each. Low: only token 0. High: q's on token 1 (0.2) and 0.1 on another, p's on
    # token 2 (0.2, its least) and 0.1 on that one.
    np.testing.assert_allclose(ours["gamma_low"], 0.4)
    np.testing.assert_allclose(ours["gamma_high"], 0.4 + 0.2 + 0.2 + 0.1)


def test_more_listed_tokens_make_narrower_bounds():
    tokens = logs_of(1).argmax(axis=1)
    widths = [
        np.mean(ours["gamma_high"] - ours["gamma_low"])
        for ours in (found(Sampling(1.0), top, True, tokens)[2] for top in (4, 8, 16, 29))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.02


@pytest.mark.parametrize(
    ("sampling", "top", "message"),
    [
        (Sampling(0.7), 20, "whole vocabulary"),
        (Sampling(1.0, top_p=0.9), 20, "whole vocabulary"),
        (Sampling(0.7, top_k=40), 20, "only 20 tokens are listed"),
    ],
)
def test_laws_that_lists_do_not_tell_are_refused(sampling, top, message):
    with pytest.raises(HedgespecError, match=message):
        check_law(sampling, top)
