"""The compiled replay against independent NumPy and Python transcriptions, and identities."""

import importlib
import linecache
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgespec.errors import HedgespecError
from hedgespec.selectors import BUILT_IN, CHOSEN, ConfiguredSelector, draw, parse_selector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.uniforms import ACCEPTANCE, SELECTION, decision_key, query_key, uniform
from hedgespec.simulator import Replayer
from hedgespec.simulator.kernels import _compiled_copy, selector_kernel
from hedgespec.simulator.tasks import FullTask, LearnerRun
from hedgespec.traces import Trace
from tests.helpers.plain import length_loss
from tests.helpers.synthetic import write_trace

ALL = ["fixed:drafter-0", "fixed:drafter-2", "best-fixed", "oracle", *BUILT_IN, "hedge:eta=0.3"]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return write_trace(tmp_path_factory.mktemp("replay") / "trace")


@pytest.fixture(scope="module")
def deep_trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Two depth-dependent drafters beside a prefix-only one."""
    return write_trace(tmp_path_factory.mktemp("deep") / "trace", depths=(6, 1, 6))


def ten_line_replay(trace: Trace, arm: int, draft_length: int, seed: int) -> list[int]:
    """Round starts of a fixed drafter, from the rule of the paper and nothing of the simulator."""
    starts = []
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        key, position = query_key(seed, query), begin
        while position < end:
            starts.append(int(position))
            for depth in range(draft_length + 1):
                ratio = np.exp(
                    min(
                        0.0,
                        trace.log_q[
                            min(position, end - 1), min(depth, trace.log_q.shape[1] - 1), arm
                        ]
                        - trace.log_p[min(position, end - 1)],
                    )
                )
                accepted = depth < draft_length and uniform(
                    key, position - begin, ACCEPTANCE
                ) < np.float32(ratio)
                position += 1
                if not accepted:
                    break
            position = min(position, end)
    return starts


@pytest.mark.parametrize("draft_length", [1, 3, 5])
@pytest.mark.parametrize("which", ["trace", "deep_trace"])
@pytest.mark.parametrize("arm", [0, 1, 2])
def test_fixed_drafter_equals_ten_lines_of_numpy(request, which, arm, draft_length):
    trace = request.getfixturevalue(which)
    for seed in range(5):
        run = Replayer(trace, draft_length).run(f"fixed:drafter-{arm}", seed)
        assert np.flatnonzero(run.choice >= 0).tolist() == ten_line_replay(
            trace, arm, draft_length, seed
        )
        assert set(run.choice) <= {-1, arm}


def python_replay(replayer: Replayer, text: str, seed: int) -> np.ndarray:
    """Drives a selector's own functions from Python, as live decoding will."""
    configured = parse_selector(text)
    trace, length = replayer.trace, replayer.draft_length
    arms = len(trace.manifest.drafters)
    selector, params = configured.selector, configured.parameter_array([length] * arms)
    choice = np.full(len(trace.tokens), -1, dtype=np.int16)
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        key = query_key(seed, query)
        state, weights = np.zeros(selector.state_size(arms)), np.zeros(arms)
        selector.reset(state, params, arms, length)
        start, fed = begin, begin
        while start < end:
            if selector.feedback != CHOSEN:
                for position in range(fed, start - length + 1):
                    selector.play(state, params, decision_key(key, fed - begin), weights)
                    selector.learn(
                        state, params, position - begin, weights, replayer.losses(Loss())[position]
                    )
                    fed = position + 1
            own_key = decision_key(key, start - begin)
            selector.play(state, params, own_key, weights)
            arm = draw(weights, uniform(key, start - begin, SELECTION))
            choice[start] = arm
            emitted = round_length(replayer, arm, begin, start, end, key)
            if selector.feedback == CHOSEN:
                drafted = min(length, end - start)
                deepest = trace.gamma.shape[1] - 1
                gamma = [
                    trace.gamma[start + step, min(step, deepest), arm] for step in range(drafted)
                ]
                outcome = np.array(
                    [emitted, np.mean(gamma[: min(emitted, drafted)]), np.mean(gamma)]
                )
                selector.learn(state, params, own_key, start - begin, arm, weights[arm], outcome)
            start += emitted
    return choice


def round_length(replayer: Replayer, arm: int, begin: int, start: int, end: int, key: int) -> int:
    trace = replayer.trace
    accepted = 0
    while accepted < replayer.draft_length and start + accepted < end:
        depth = min(accepted, trace.log_q.shape[1] - 1)
        position = start + accepted
        ratio = np.exp(np.minimum(trace.log_q[position, depth, arm] - trace.log_p[position], 0))
        if not uniform(key, position - begin, ACCEPTANCE) < ratio:
            break
        accepted += 1
    return min(accepted + 1, end - start)


@pytest.mark.parametrize("text", [*BUILT_IN, "hedge:eta=0.3", "ucbspec:delta=0.1"])
@pytest.mark.parametrize("which", ["trace", "deep_trace"])
def test_kernel_equals_python_calling_the_selectors_functions(request, which, text):
    replayer = Replayer(request.getfixturevalue(which), 4)
    for seed in (0, 1):
        np.testing.assert_array_equal(
            replayer.run(text, seed, None, length_loss(text)).choice,
            python_replay(replayer, text, seed),
        )


@pytest.mark.parametrize("text", ALL)
def test_threads_do_not_matter(trace, text):
    one = Replayer(trace, threads=1).run(text, 3).choice
    np.testing.assert_array_equal(one, Replayer(trace, threads=4).run(text, 3).choice)


@pytest.mark.parametrize("text", BUILT_IN)
def test_a_query_does_not_depend_on_its_neighbours(trace, text):
    """Each query has its own random numbers and learner: change the others' statistics."""
    before = Replayer(trace).run(text, 0).choice
    begin = trace.offsets[3]
    changed = {}
    for name in ("log_q", "gamma"):
        values = getattr(trace, name).copy()
        values[:begin] = values[:begin, :, ::-1]
        changed[name] = values
    after = Replayer(replace(trace, **changed)).run(text, 0).choice
    np.testing.assert_array_equal(before[begin:], after[begin:])


@pytest.mark.parametrize("draft_length", [1, 4])
def test_perfect_drafter_gives_k_plus_one_and_useless_one(tmp_path, draft_length):
    """Lengths are multiples of K+1, so no round is cut short."""
    lengths = tuple((draft_length + 1) * n for n in (1, 5, 20))
    trace = write_trace(tmp_path / "trace", lengths=lengths, depths=(1, 1), closeness=(1.0, 0.5))
    useless = trace.log_q.copy()
    useless[:, :, 1] = -np.inf
    replayer = Replayer(replace(trace, log_q=useless), draft_length)
    rounds = {
        arm: replayer.rounds_per_query(replayer.run(f"fixed:drafter-{arm}", 0)) for arm in (0, 1)
    }
    np.testing.assert_array_equal(rounds[0] * (draft_length + 1), lengths)
    np.testing.assert_array_equal(rounds[1], lengths)


def test_eta_zero_is_uniform(trace):
    replayer = Replayer(trace)
    for seed in range(3):
        np.testing.assert_array_equal(
            replayer.run("hedge:eta=0", seed).choice, replayer.run("uniform", seed).choice
        )


@pytest.mark.parametrize("text", ["hedge", "normalhedge", "exp3spec", "ucbspec", "uniform"])
def test_identical_drafters_give_the_rounds_of_one(tmp_path, text):
    trace = write_trace(tmp_path / "trace", depths=(1, 1, 1), closeness=(0.6, 0.6, 0.6))
    same = {
        name: np.repeat(getattr(trace, name)[:, :, :1], 3, axis=2) for name in ("log_q", "gamma")
    }
    replayer = Replayer(replace(trace, **same))
    starts = replayer.run("fixed:drafter-0", 1).choice >= 0
    np.testing.assert_array_equal(replayer.run(text, 1).choice >= 0, starts)


def test_every_knob_moves_something(trace):
    base = Replayer(trace).run("hedge", 0).choice
    moved = {
        "seed": Replayer(trace).run("hedge", 1).choice,
        "draft length": Replayer(trace, 2).run("hedge", 0).choice,
        "eta": Replayer(trace).run("hedge:eta=5", 0).choice,
        "estimator": Replayer(trace).run("hedge:eta=5", 0, loss=Loss(estimator="realised")).choice,
        "selector": Replayer(trace).run("normalhedge", 0).choice,
    }
    for knob, choice in moved.items():
        assert not np.array_equal(base, choice), knob
    a, b = (Replayer(trace).run(f"ucbspec:delta={delta}", 0).choice for delta in (1e-9, 1.0))
    assert not np.array_equal(a, b), "delta"


def test_greedy_rule_equals_sampling_rule_at_temperature_zero(tmp_path):
    trace = write_trace(tmp_path / "trace", temperature=0.0)
    greedy, sampling = Replayer(trace, rule="greedy"), Replayer(trace, rule="sampling")
    assert Replayer(trace).rule == "greedy"
    for text in ALL:
        np.testing.assert_array_equal(greedy.run(text, 0).choice, sampling.run(text, 0).choice)


def test_greedy_rounds_do_not_depend_on_the_seed(tmp_path):
    replayer = Replayer(write_trace(tmp_path / "trace", temperature=0.0))
    runs = [replayer.run("fixed:drafter-1", seed).choice for seed in range(3)]
    for other in runs[1:]:
        np.testing.assert_array_equal(runs[0], other)


def test_oracle_is_best_on_average_and_best_fixed_the_best_of_the_fixed(tmp_path):
    replayer = Replayer(write_trace(tmp_path / "trace", closeness=(0.5, 0.5, 0.5)))
    mean = {
        text: np.mean(
            [replayer.rounds_per_query(replayer.run(text, seed)).sum() for seed in range(200)]
        )
        for text in ("oracle", "best-fixed", *(f"fixed:drafter-{arm}" for arm in range(3)))
    }
    assert (
        mean["oracle"]
        < mean["best-fixed"]
        <= min(mean[f"fixed:drafter-{arm}"] for arm in range(3)) + 0.5
    )


def test_exact_expected_rounds_equal_monte_carlo(deep_trace):
    replayer = Replayer(deep_trace, 4)
    for arm in range(3):
        rounds = np.array(
            [
                replayer.rounds_per_query(replayer.run(f"fixed:drafter-{arm}", seed))
                for seed in range(4000)
            ]
        )
        error = rounds.std(axis=0, ddof=1) / np.sqrt(len(rounds))
        z = (rounds.mean(axis=0) - replayer.expected_rounds[:, arm]) / np.maximum(error, 1e-9)
        assert np.abs(z).max() < 4.5


def test_uniform_numbers_are_uniform_and_independent_of_order():
    key = query_key(7, 3)
    numbers = np.array(
        [
            uniform(key, position, stream)
            for position in range(20000)
            for stream in (ACCEPTANCE, SELECTION)
        ]
    )
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 50  # chi-square, 19 degrees of freedom
    correlation = np.corrcoef(numbers[0::2], numbers[1::2])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(20000)
    other = np.array([uniform(query_key(7, 4), position, 0) for position in range(20000)])
    assert abs(np.corrcoef(numbers[0::2], other)[0, 1]) < 4 / np.sqrt(20000)


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=8).filter(lambda w: sum(w) > 1e-6),
    u=st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None)
def test_draw_is_the_inverse_cdf_and_never_a_drafter_of_zero_weight(weights, u):
    weights = np.array(weights) / sum(weights)
    arm = draw(weights, u)
    assert weights[arm] > 0
    assert weights[:arm].sum() <= u + 1e-12
    assert u < weights[: arm + 1].sum() + 1e-12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "unknown selector 'nonsense'"),
        ("hedge:speed=3", "unknown parameter 'speed'; it has: eta"),
        ("uniform:eta=1", "it has: none"),
        ("hedge:eta=1,eta=2", "parameter 'eta' is given twice"),
        ("hedge:eta=fast", "eta='fast' is not a number"),
        ("hedge:eta=nan", "outside"),
        ("hedge:eta=-0.5", "outside"),
        ("ucbspec:delta=0", "outside"),
        ("metasd-ucb:reward=0.5", "reward=0.5 is not a whole number"),
        ("fixed:nobody", "has no drafter 'nobody'; it has: drafter-0, drafter-1, drafter-2"),
        ("fixed", "names no drafter; write fixed:DRAFTER, with one of .*: drafter-0, drafter-1, "),
    ],
)
def test_bad_selectors_are_named(trace, text, message):
    with pytest.raises(HedgespecError, match=message):
        Replayer(trace).chooser(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "greedy"}, "rule greedy needs text written at temperature 0"),
        ({"rule": "typical"}, "unknown rule 'typical'"),
        ({"draft_length": -1}, "draft length must be at least 1"),
    ],
)
def test_bad_settings_are_named(trace, options, message):
    with pytest.raises(HedgespecError, match=message):
        Replayer(trace, **options)


def test_labels_tell_settings_apart_and_defaults_are_left_out(trace):
    replayer = Replayer(trace)
    assert replayer.chooser("hedge:eta=-1").label == "hedge"
    assert replayer.chooser("hedge:eta=0.10").label == "hedge:eta=0.1"
    assert replayer.chooser("hedge:eta=0.1000001").label == "hedge:eta=0.1000001"
    assert replayer.chooser("hedge:eta=5e-7").label == "hedge:eta=5e-07"


def test_draft_length_beyond_the_recorded_depth_is_refused(deep_trace):
    with pytest.raises(HedgespecError, match="recorded to depth 6; draft length 7 is longer"):
        Replayer(deep_trace, 7)


@pytest.mark.slow
def test_edited_selector_source_gives_a_new_kernel(tmp_path, trace, monkeypatch):
    """The disk cache notices edits: the stale kernel would pick drafter 0, the edited picks 2."""
    source = Path(importlib.import_module("hedgespec.selectors.uniform").__file__).read_text()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    picks = []
    for arm in (0, 2):
        (tmp_path / "edited_selector.py").write_text(
            source.replace(
                "weights[:] = 1.0 / weights.shape[0]", f"weights[:] = 0.0\n    weights[{arm}] = 1.0"
            )
        )
        sys.modules.pop("edited_selector", None)
        importlib.invalidate_caches()
        module = importlib.import_module("edited_selector")
        _compiled_copy.cache_clear()
        linecache.checkcache()
        kernel = selector_kernel(
            ConfiguredSelector(module.SELECTOR, "edited_selector", {}), parse_feedback("every:2")
        )
        choice = np.full(len(trace.tokens), -1, dtype=np.int16)
        acceptance = np.zeros((len(trace.tokens), 1, 3), dtype=np.float32)
        kernel(
            0,
            4,
            FullTask(
                np.arange(4),
                trace.offsets,
                trace.numbers,
                acceptance,
                np.zeros((len(trace.tokens), 3)),
                acceptance,
                acceptance,
                Feedback().schedule(1),
                LearnerRun(1, False, False, np.zeros((1, 1)), 0, np.zeros(0), 1),
            ),
            choice,
        )
        picks.append(set(choice.tolist()))
    assert picks == [{0}, {2}]
    assert len(list((tmp_path / "cache" / "kernels").glob("general-uniform_*.py"))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="where processes fork")
def test_a_forked_process_replays_on_threads_of_its_own(trace):
    """Those of a pool that was begun before are not there in it."""
    replayer = Replayer(trace, threads=2)
    before = replayer.run("uniform", 0).choice
    with multiprocessing.get_context("fork").Pool(1) as processes:
        found = processes.apply_async(_choice, (replayer,)).get(timeout=60)
    np.testing.assert_array_equal(found, before)


def _choice(replayer: Replayer) -> np.ndarray:
    return replayer.run("uniform", 0).choice
