"""Not drafting, and drafts that end early: rounds, seconds, losses and tables."""

from dataclasses import replace

import numpy as np
import pytest

from hedgespec.costs.estimate import target_seconds
from hedgespec.errors import HedgespecError
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, TargetCosts, Trace
from hedgespec.traces.drafted import drafted_tokens
from tests.helpers.synthetic import write_trace

K = 3
ONE, FOUR, EVALUATE, STEP, OVERHEAD = 0.02, 0.035, 0.002, 0.003, 0.001


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    found = write_trace(tmp_path_factory.mktemp("undrafted") / "trace", lengths=(40, 1, 90))
    drafters = {
        name: DrafterCosts(STEP, K * STEP, EVALUATE) for name in found.manifest.drafter_names
    }
    costs = Costs("test", "float32", 256, K, TargetCosts(ONE, FOUR), drafters, overhead=OVERHEAD)
    return replace(found, manifest=replace(found.manifest, costs=costs))


def with_lookup(trace: Trace, drafted: np.ndarray) -> Trace:
    """The trace, whose drafter 1 proposes so many tokens (T)."""
    drafters = list(trace.manifest.drafters)
    drafters[1] = replace(drafters[1], kind="prompt-lookup", statistics=("drafted", "matched"))
    return replace(
        trace,
        manifest=replace(trace.manifest, drafters=drafters),
        optional={
            "drafted/drafter-1": drafted.astype(np.uint16),
            "matched/drafter-1": np.minimum(drafted, 2).astype(np.uint8),
        },
    )


@pytest.mark.parametrize("arms", [{}, {"arms": ("none", "all*3")}, {"arm_lengths": (0, 1, 3)}])
def test_without_a_drafter_a_round_is_one_token_and_one_pass(trace, arms):
    replayer = Replayer(trace, **(arms or {"draft_length": K}))
    texts = ["none"] + ["fixed:none"] * bool(arms)
    for text in texts:
        for run in (replayer.run(text, 3), replayer.run_exact(text)):
            np.testing.assert_array_equal(run.visits, np.ones(131))
            seconds, evaluation = replayer.seconds(run)
            np.testing.assert_allclose(seconds, ONE + OVERHEAD)
            assert not evaluation.any()


def test_the_arm_none_is_one_arm_with_its_own_losses(trace):
    replayer = Replayer(trace, arm_lengths=(0, 1, 3))
    assert replayer.arms.names[:3] == ["none", "drafter-0*1", "drafter-0*3"]
    assert len(replayer.arms.names) == 7
    known = slice(0, 30)
    for text, lost in (("length", 1 - 1 / (K + 1)), ("accept", 1.0)):
        np.testing.assert_allclose(replayer.losses(parse_loss(text))[known, 0], lost)
    seconds = replayer.own_seconds()
    np.testing.assert_allclose(
        replayer.losses(Loss(seconds=True))[known, 0], seconds[0] / seconds.max()
    )
    dear = replace(trace.manifest.costs, target=TargetCosts(ONE, 40 * ONE))
    dear = Replayer(
        replace(trace, manifest=replace(trace.manifest, costs=dear)), arm_lengths=(0, 1, 3)
    )
    usage = dear.run_exact("hedge:eta=3", loss=Loss(seconds=True)).usage.sum(axis=0)
    assert usage.argmax() == 0, "a learner may choose not to draft"


def test_what_cannot_be_an_arm_is_told(trace):
    for options, message in (
        ({"arms": ("none",)}, "arms: none alone"),
        ({"arm_lengths": (0,)}, "none alone"),
        ({"arm_lengths": (0, 0, 2)}, "arm_lengths names none twice"),
        ({"arms": ("none*2", "all")}, "expected DRAFTER.*; or none"),
        ({"arms": ("none@block", "all")}, "expected DRAFTER.*; or none"),
    ):
        with pytest.raises(HedgespecError, match=message):
            Replayer(trace, **options)
    drafters = [replace(trace.manifest.drafters[0], name="none"), *trace.manifest.drafters[1:]]
    called = replace(trace, manifest=replace(trace.manifest, drafters=drafters))
    assert Replayer(called, arms=("none", "all*2")).arms.names[0] == "none"
    with pytest.raises(HedgespecError, match="a drafter called none"):
        Replayer(called, arm_lengths=(0, 2))


def test_rounds_cost_what_is_drafted(trace):
    """Three lines of Python for each round."""
    rng = np.random.default_rng(0)
    drafted = rng.integers(0, 6, 131)
    replayer = Replayer(with_lookup(trace, drafted), K)
    for text in ("fixed:drafter-1", "uniform"):
        run = replayer.run(text, 1)
        seconds, _ = replayer.seconds(run)
        for start in np.flatnonzero(run.visits):
            count = min(K, drafted[start]) if run.choice[start] == 1 else K
            steps = min(count, K - 1)
            assert seconds[start] == pytest.approx(
                EVALUATE + steps * STEP + ONE + count * (FOUR - ONE) / K + OVERHEAD
            )
    exact = replayer.run_exact("fixed:drafter-1")
    np.testing.assert_allclose(
        replayer.expected_seconds[:, 1],
        np.add.reduceat(replayer.seconds(exact)[0], trace.offsets[:-1]),
    )
    totals = [replayer.seconds(replayer.run("uniform", seed))[0].sum() for seed in range(200)]
    expected = replayer.seconds(replayer.run_exact("uniform"))[0].sum()
    assert abs(np.mean(totals) - expected) < 5 * np.std(totals) / np.sqrt(200)


def test_old_traces_tell_what_a_lookup_proposes(trace):
    """Where it was accepted, or its last token stands earlier in the answer."""
    drafters = list(trace.manifest.drafters)
    drafters[1] = replace(drafters[1], kind="prompt-lookup")
    found = replace(
        trace,
        manifest=replace(trace.manifest, drafters=drafters),
        p_top=np.zeros_like(trace.p_top),
        gamma=np.zeros_like(trace.gamma),
        log_q=np.full_like(trace.log_q, -np.inf),
    )
    found.p_top[2, 0, 1], found.gamma[1, 0, 1] = 0.3, 0.1
    drafted = drafted_tokens(found, 1)
    for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True):
        for t in range(begin, end):
            before = trace.tokens[begin:t].tolist()
            proposes = t in (1, 2) or (t > begin and before[-1] in before[:-1])
            assert (drafted[t] > 0) == proposes
    assert drafted_tokens(found, 0) is None
    seconds = Replayer(found, K).round_seconds()
    assert seconds[0, 1] == pytest.approx(EVALUATE + ONE + OVERHEAD)
    np.testing.assert_allclose(seconds[:, 0], seconds[0, 0])


def test_a_lookup_goes_first_where_it_matches(trace):
    drafted = np.where(np.arange(131) % 3 == 0, 7, 0)
    drafted[::2] = np.minimum(drafted[::2], 1)
    found = with_lookup(trace, drafted)
    replayer = Replayer(found, K)
    for text, least in (("lookup-first:drafter-2", 1), ("lookup-first:drafter-2,2", 2)):
        run = replayer.run(text, 0)
        starts = run.visits
        np.testing.assert_array_equal(
            run.choice[starts], np.where(np.minimum(drafted, 2) >= least, 1, 2)[starts]
        )
    for text, message in (
        ("lookup-first", "names no drafter; write lookup-first:DRAFTER"),
        ("lookup-first:drafter-2,0", "shortest match"),
        ("lookup-first:drafter-2,x", "shortest match"),
    ):
        with pytest.raises(HedgespecError, match=message):
            replayer.chooser(text)
    with pytest.raises(HedgespecError, match="is one of prompt-lookup, ngram"):
        Replayer(trace, K).chooser("lookup-first:drafter-2")


def test_tables_hold_rounds_without_drafts(trace, tmp_path):
    folder = tmp_path / "trace"
    plain = write_trace(folder, lengths=(30, 20))
    results = run_sweep(
        [folder], SweepSettings(("none", "hedge"), arms=("none", "all*2"), answer="q1")
    )
    rows = {row["selector"]: row for row in results.summary.iter_rows(named=True)}
    assert rows["none"]["mat"] == 1
    assert rows["none"]["rounds"] == plain.manifest.tokens
    answer = results.answer.filter(results.answer["selector"] == "none")
    assert answer["drafter"].unique().to_list() == ["none"]
    assert answer["round"].to_list() == list(range(20))
    results.save(tmp_path / "out")
    assert "none" not in run_sweep([folder], SweepSettings()).summary["selector"], "no seconds"


def test_passes_of_one_token_are_read_from_the_costs(trace):
    costs = trace.manifest.costs
    np.testing.assert_allclose(
        target_seconds(costs, np.array([[1, 4], [2, 7]])),
        [[ONE, FOUR], [ONE + 0.005, FOUR + 0.015]],
    )
