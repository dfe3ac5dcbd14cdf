"""The follow-the-prompt router: learns, does not peek, says what is wrong."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.simulator import Replayer
from hedgespec.simulator.router import FOLDS, RIDGE, route, train
from hedgespec.traces import Trace
from tests.helpers.synthetic import write_trace

QUERIES, ARMS = 60, 3


def with_embeddings(trace: Trace, embeddings: np.ndarray, names: list[str] | None = None) -> Trace:
    queries = trace.queries.with_columns(
        prompt_embedding=pl.Series(embeddings.tolist(), dtype=pl.List(pl.Float32))
    )
    if names is not None:
        queries = queries.with_columns(query_id=pl.Series(names))
    return replace(trace, queries=queries)


@pytest.fixture
def told(tmp_path) -> tuple[Trace, np.ndarray]:
    """A trace whose embeddings tell the best arm of each query, and these arms."""
    generator = np.random.default_rng(0)
    best = generator.integers(ARMS, size=QUERIES)
    embeddings = generator.normal(size=(QUERIES, 8))
    embeddings[np.arange(QUERIES), best] += 6
    return with_embeddings(write_trace(tmp_path / "told", lengths=(4,) * QUERIES), embeddings), best


def test_it_learns_what_embeddings_tell_and_only_that(told):
    trace, best = told
    assert (route(trace, trace, best, ARMS) == best).mean() > 0.95
    shuffled = np.random.default_rng(1).permutation(best)
    assert (route(trace, trace, shuffled, ARMS) == shuffled).mean() < 0.6


@pytest.mark.slow
def test_a_question_never_routes_itself(told):
    """Changing one label changes the routes of other queries at most, in every wording."""
    trace, best = told
    names = [f"q{number}" for number in range(QUERIES)]
    trace = with_embeddings(trace, np.array(trace.queries["prompt_embedding"].to_list()), names)
    other = with_embeddings(
        trace,
        np.array(trace.queries["prompt_embedding"].to_list()),
        [f"{name}-rephrased" for name in names],
    )
    for query in range(0, QUERIES, 7):
        wrong = best.copy()
        wrong[query] = (best[query] + 1) % ARMS
        for asked in (trace, other):
            assert route(asked, trace, wrong, ARMS)[query] == route(asked, trace, best, ARMS)[query]


def test_training_reaches_the_minimum():
    """The gradient of the penalised cross-entropy, written anew, is zero there."""
    generator = np.random.default_rng(2)
    features, labels = generator.normal(size=(40, 6)), generator.integers(ARMS, size=40)
    weights = train(features, labels, ARMS)
    scores = np.exp(features @ weights)
    chances = scores / scores.sum(axis=1, keepdims=True)
    gradient = features.T @ (chances - np.eye(ARMS)[labels]) / 40 + RIDGE * weights
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_features_in_a_wider_space_give_the_same_weights_there():
    """With more features than queries it works in fewer."""
    generator = np.random.default_rng(3)
    features, labels = generator.normal(size=(40, 6)), generator.integers(ARMS, size=40)
    turned = np.linalg.qr(generator.normal(size=(60, 6)))[0]
    wide = train(features @ turned.T, labels, ARMS)
    np.testing.assert_allclose(wide, turned @ train(features, labels, ARMS), atol=1e-12)


def test_scale_and_shift_of_the_embedding_do_not_matter(told):
    trace, best = told
    embeddings = np.array(trace.queries["prompt_embedding"].to_list())
    moved = with_embeddings(trace, np.hstack([100 * embeddings + 7, np.ones((QUERIES, 8))]))
    plain = with_embeddings(trace, np.hstack([embeddings, np.zeros((QUERIES, 8))]))
    np.testing.assert_array_equal(route(moved, moved, best, ARMS), route(plain, plain, best, ARMS))


def test_other_targets_and_too_few_questions_are_told(told):
    trace, best = told
    narrow = with_embeddings(trace, np.zeros((QUERIES, 2)))
    with pytest.raises(HedgespecError, match=r"width 2, those of .* 8: recorded with different"):
        route(trace, narrow, best, ARMS)
    alike = with_embeddings(trace, np.zeros((QUERIES, 8)), [f"q/{n}" for n in range(QUERIES)])
    with pytest.raises(HedgespecError, match="too few questions"):
        route(alike, alike, best, ARMS)


def test_references_are_ordered_as_they_must_be(tmp_path):
    replayer = Replayer(write_trace(tmp_path / "trace", lengths=(40,) * 4 * FOLDS))
    rounds = {
        name: replayer.run_exact(name).visits.sum()
        for name in ("best-fixed", "best-single", "router", "fixed:drafter-0", "fixed:drafter-1")
    }
    assert rounds["best-fixed"] <= rounds["best-single"] <= rounds["fixed:drafter-0"]
    assert rounds["best-single"] <= rounds["fixed:drafter-1"]
    assert rounds["best-fixed"] <= rounds["router"]


@pytest.mark.slow
def test_sim_trains_on_another_trace_and_refuses_one_with_other_drafters(tmp_path, capsys):
    for name, seed in (("one", 0), ("two", 1)):
        write_trace(tmp_path / name, seed=seed, lengths=(9,) * 8, name=name)
    write_trace(tmp_path / "three", lengths=(9,) * 8, depths=(1, 1), closeness=(0.9, 0.5))
    sim = ["sim", "--traces", str(tmp_path / "one"), "--out", str(tmp_path / "out"), "--selectors"]
    assert main([*sim, "router", f"router:{tmp_path / 'two'}"]) == 0
    rows = pl.read_parquet(tmp_path / "out" / "summary.parquet")
    assert rows["feedback"].to_list() == ["prompt", "prompt"]
    assert main([*sim, f"router:{tmp_path / 'three'}"]) == 1
    assert "has other drafters" in capsys.readouterr().err
    assert main([*sim, "router:nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err
