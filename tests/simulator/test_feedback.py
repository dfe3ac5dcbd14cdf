"""Every feedback setting against a plain Python transcription, and exact against Monte Carlo."""

from dataclasses import replace

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from hedgespec.reference import expected_tokens, replay
from hedgespec.selectors import BUILT_IN, FULL, built_in
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.selectors.losses import expected_emitted
from hedgespec.selectors.uniforms import query_key
from hedgespec.simulator import Replayer
from hedgespec.traces import Costs, DrafterCosts, TargetCosts, read_trace
from tests.helpers.marks import slow_but
from tests.helpers.plain import Wrapped, numbers, texts
from tests.helpers.synthetic import write_trace

K = 3
SETTINGS = (
    "queued",
    "oracle",
    "censored",
    "bold",
    "rounds:1",
    "rounds:3",
    "every:2",
    "every:3",
    "round",
    "actual",
    "rounds:2+every:2+actual",
    "oracle+round",
    "censored+round",
    "censored+actual",
    "oracle+actual",
    "every:2+round+actual",
    "censored+every:2",
    "oracle+every:3",
    "rounds:2+round",
)


@pytest.fixture(scope="module", params=[(1, 1, 1), (4, 4, 1)], ids=["prefix-only", "deep"])
def trace(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(folder, lengths=(1, 2, 40, 7, 60), depths=request.param)
    return read_trace(folder)


class Copies:
    """Copies of a learner that are served in turn."""

    def __init__(self, text, count, key):
        self.learners = [Wrapped(text, 3, K, key) for _ in range(count)]

    def play(self, position):
        return self.learners[position % len(self.learners)].play(position)

    def learn(self, position, played, loss):
        self.learners[position % len(self.learners)].learn(position, played, loss)


def plain_due(feedback, loss, losses):
    """What docs/metrics.md says of a setting, for all positions of all rounds so far; `losses` (L,
    N) are the whole ones of the text."""
    amounts = dict(feedback.modifiers)
    window = 1 if loss.accept_weight == 1 else K

    def due(rounds, start, length, gamma):
        # The verified text ends where the round began that is D rounds back.
        back = len(rounds) - amounts.get("rounds", 0)
        known = start if back == len(rounds) else rounds[back][0] if back >= 0 else 0
        for number, (begun, _, played, emitted) in enumerate(rounds):
            for position in range(begun, begun + emitted):
                if number % amounts.get("every", 1) or ("round" in amounts and position != begun):
                    continue
                found = losses[position]
                if feedback.arrival == "censored":
                    # Of the text that is there at the end of the position's own round.
                    there = min(K, begun + emitted - position)
                    found = 1 - expected_tokens(gamma, position, there) / (K + 1)
                elif np.isnan(found).any() or (
                    feedback.arrival != "foresight" and position + window > known
                ):
                    continue
                yield position, found, played if "actual" in amounts else None

    return due


def transcription(replayer, text, seed, feedback, loss):
    """The reference's decisions under a setting."""
    trace, whole = replayer.trace, replayer.losses(loss)
    copies = 2 * loss.window(K) if feedback.arrival == "bold" else 1
    choice = np.full(len(trace.tokens), -1, dtype=np.int16)
    for query, part, gamma, accept in texts(trace):
        key = query_key(seed, query)
        rounds = replay(
            gamma,
            accept,
            K,
            Copies(text, copies, key),
            *numbers(key, len(gamma)),
            plain_due(feedback, loss, whole[part]),
        )
        for start, drafter, *_ in rounds:
            choice[part.start + start] = drafter
    return choice


@pytest.mark.parametrize("text", slow_but(["normalhedge"], ["hedge:eta=2", "normalhedge"]))
@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_equals_its_transcription(trace, name, text):
    feedback = parse_feedback(name)
    if feedback.actual and text.startswith("hedge"):
        pytest.skip("hedge does not look at what was played")
    replayer = Replayer(trace, K)
    for loss in (Loss(), Loss(1.0), Loss(0.3, "realised")):
        if feedback.arrival == "censored" and loss != Loss():
            continue
        for seed in range(3):
            np.testing.assert_array_equal(
                replayer.run(text, seed, feedback, loss).choice,
                transcription(replayer, text, seed, feedback, loss),
                err_msg=f"{loss} {seed}",
            )


def test_every_setting_moves_something(tmp_path):
    """On drafters so much alike that the learner stays undecided."""
    write_trace(tmp_path / "trace", lengths=(2500,), closeness=(0.5, 0.5, 0.5))
    replayer = Replayer(read_trace(tmp_path / "trace"), K)
    runs = {
        name: tuple(
            tuple(replayer.run("normalhedge", seed, parse_feedback(name), Loss()).choice)
            for seed in range(8)
        )
        for name in SETTINGS
    }
    for name in SETTINGS:
        same = [other for other in SETTINGS if other != name and runs[other] == runs[name]]
        assert not same, (name, same)


def test_losses_equal_their_formulas(trace):
    replayer = Replayer(trace, K)
    gamma = trace.gamma
    length, accept = replayer.losses(Loss()), replayer.losses(Loss(1.0))
    np.testing.assert_allclose(accept, 1 - gamma[:, 0], atol=1e-7)
    mixed = replayer.losses(Loss(0.25))
    np.testing.assert_allclose(mixed, 0.25 * accept + 0.75 * length, atol=1e-7)
    prefill = replayer.losses(Loss(prefill=True))
    start = int(trace.offsets[2])
    one = gamma[start : start + K, 0, 0].astype(float)
    emitted = 1 + one[0] + one[0] * one[1] + one[0] * one[1] * one[2]
    assert prefill[start, 0] == pytest.approx(1 - emitted / (K + 1), rel=1e-6)


def test_a_prefilled_loss_is_of_the_arms_own_draft_length(trace):
    """Expected tokens of each length are what they are where it is the only one."""
    loss, lengths = Loss(prefill=True), (0, 1, 2, K)
    several = Replayer(trace, arm_lengths=lengths)
    expected = (1 - several.losses(loss)) * (K + 1)
    for arm, (name, length) in enumerate(
        zip(several.arms.names, several.arms.lengths, strict=True)
    ):
        if length:
            alone = Replayer(trace, int(length)).losses(loss)[:, several.arms.drafters[arm]]
            emitted = (1 - alone) * (length + 1)
        else:
            emitted = np.ones(len(trace.tokens))
        known = ~np.isnan(expected[:, arm])
        np.testing.assert_allclose(expected[known, arm], emitted[known], rtol=1e-6, err_msg=name)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "text",
    slow_but(
        ["hedge:eta=3", "best-fixed"],
        [
            "uniform",
            "hedge",
            "hedge:eta=3",
            "normalhedge",
            "fixed:drafter-1",
            "best-fixed",
            "oracle",
        ],
    ),
)
@pytest.mark.parametrize("name", ["queued", "bold", "oracle"])
def test_exact_expectations_equal_monte_carlo(trace, text, name):
    replayer = Replayer(trace, K)
    learns = text.split(":")[0] in BUILT_IN and text != "uniform"
    if name != "queued" and not learns:
        pytest.skip("feedback means nothing to it")
    feedback = parse_feedback(name) if learns else None
    exact = replayer.run_exact(text, feedback)
    runs = [replayer.run(text, seed, feedback) for seed in range(2000)]
    rounds = np.array([replayer.rounds_per_query(run).sum() for run in runs])
    expected, variance = exact.visits.sum(), exact.variance.sum()
    assert abs(rounds.mean() - expected) <= 4 * np.sqrt(variance / len(runs)) + 1e-9
    assert rounds.var() == pytest.approx(variance, rel=0.2, abs=1e-6)
    usage = np.mean([run.usage for run in runs], axis=0)
    np.testing.assert_allclose(usage, exact.usage, atol=0.5)
    np.testing.assert_allclose(exact.usage.sum(axis=1), replayer.rounds_per_query(exact))
    visited = np.mean([run.visits for run in runs], axis=0)
    assert np.abs(visited - exact.visits).max() < 5 * 0.5 / np.sqrt(len(runs))


@pytest.mark.matrix
@pytest.mark.parametrize(
    "text",
    [name for name in BUILT_IN if built_in(name).feedback == FULL and not built_in(name).draws],
)
def test_every_full_information_learner_is_exact(trace, text):
    replayer = Replayer(trace, K)
    exact = replayer.run_exact(text)
    rounds = [replayer.rounds_per_query(replayer.run(text, seed)).sum() for seed in range(400)]
    assert abs(np.mean(rounds) - exact.visits.sum()) <= 4 * np.sqrt(exact.variance.sum() / 400)


def test_exact_expectations_of_fixed_drafters_equal_the_table_of_all(trace):
    replayer = Replayer(trace, K)
    for arm in range(3):
        run = replayer.run_exact(f"fixed:drafter-{arm}")
        np.testing.assert_allclose(
            replayer.rounds_per_query(run), replayer.expected_rounds[:, arm], atol=1e-9
        )


@pytest.mark.parametrize("name", ["censored", "rounds:1", "every:2", "round", "actual"])
def test_no_exact_expectation_where_the_past_matters(trace, name):
    replayer = Replayer(trace, K)
    assert not replayer.is_exact("normalhedge", parse_feedback(name))
    with pytest.raises(HedgespecError, match="no exact expectation"):
        replayer.run_exact("normalhedge", parse_feedback(name))
    for text in ("ucbspec", "exp3spec"):
        assert not replayer.is_exact(text)
    assert not Replayer(trace, K, carry=0).is_exact("hedge")


def test_a_carried_learner_goes_on_and_the_order_matters(trace):
    def total(carry, text="hedge:eta=5"):
        replayer = Replayer(trace, K, carry=carry)
        return [replayer.run(text, seed).choice.tolist() for seed in range(20)]

    assert total(None) != total(0)
    assert total(0) == total(0)
    assert any(total(0) != total(order) for order in range(1, 6))
    assert total(None, "uniform") == total(0, "uniform")


def test_censoring_locks_the_learner_where_waiting_does_not(tmp_path):
    """Truncation hits a drafter whose late acceptances are good: flat .62 against .40 then .95."""
    write_trace(tmp_path / "trace", lengths=(6000,), depths=(5, 5), closeness=(0.5, 0.5))
    trace = read_trace(tmp_path / "trace")
    gamma = np.empty((6000, 5, 2), dtype=np.float32)
    gamma[:, :, 0] = 0.62
    gamma[:, 0, 1], gamma[:, 1:, 1] = 0.40, 0.95
    rng = np.random.default_rng(0)
    accepted = rng.random(gamma.shape) < gamma
    with np.errstate(divide="ignore"):
        log_q = np.log(accepted.astype(np.float32)) + trace.log_p[:, None, None]
    replayer = Replayer(replace(trace, gamma=gamma, log_q=log_q), 5)

    def replay(name):
        run = replayer.run("normalhedge", 0, parse_feedback(name), Loss())
        return 6000 / run.visits.sum(), run.usage[0, 1] / run.visits.sum()

    # Expected emitted tokens of a round: 2.482 of the flat drafter, 2.810 of the other.
    waiting, share = replay("queued")
    assert waiting > 2.7
    assert share > 0.95
    censored, share = replay("censored")
    assert censored < 2.6
    assert share < 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sometimes", "unknown feedback 'sometimes'"),
        ("rounds:0", "unknown feedback 'rounds:0'"),
        ("every", "unknown feedback 'every'"),
        ("bold+every:2", "stands alone"),
        ("oracle+rounds:2", "delays queued only"),
        ("censored+rounds:1", "delays queued only"),
    ],
)
def test_bad_feedback_is_named(text, message):
    with pytest.raises(HedgespecError, match=message):
        parse_feedback(text)


def test_what_makes_no_sense_for_a_learner_is_refused_by_name(trace):
    replayer = Replayer(trace, K)
    for text, feedback, loss, message in (
        ("ucbspec", Feedback("bold"), None, "ucbspec learns from the tokens of its own rounds"),
        ("exp3spec", None, Loss(1.0), "loss='accept' makes no sense for it"),
        ("hedge", parse_feedback("actual"), None, "hedge does not look at what was played"),
        (
            "hedge",
            Feedback("censored"),
            Loss(1.0),
            "feedback='censored' cuts the sums of the length loss",
        ),
    ):
        with pytest.raises(HedgespecError, match=message):
            replayer.run(text, 0, feedback, loss)
    for text in ("hybrid:0", "hybrid:1.5", "speed"):
        with pytest.raises(HedgespecError, match="unknown loss"):
            parse_loss(text)
    with pytest.raises(HedgespecError, match="unknown estimator 'magic'"):
        parse_loss("length", "magic")


@pytest.mark.parametrize("name", SETTINGS)
def test_labels_are_read_back(name):
    assert parse_feedback(parse_feedback(name).label) == parse_feedback(name)


def costly(trace, evaluate=0.002, steps=(0.001, 0.010, 0.001)):
    drafters = {
        name: DrafterCosts(step, K * step, evaluate)
        for name, step in zip(trace.manifest.drafter_names, steps, strict=True)
    }
    costs = Costs("test", "float32", 256, K, TargetCosts(0.02, 0.03), drafters)
    return replace(trace, manifest=replace(trace.manifest, costs=costs))


def test_the_seconds_loss_is_time_per_expected_token(trace):
    replayer = Replayer(costly(trace), K)
    table = replayer.losses(Loss(seconds=True))
    start = int(trace.offsets[2])
    per_token = []
    for arm, step in enumerate((0.001, 0.010, 0.001)):
        emitted = expected_emitted(trace.gamma, trace.gamma, start, K, arm)
        per_token.append((0.002 + (K - 1) * step + 0.03) / emitted)
    dearest = 0.002 + (K - 1) * 0.010 + 0.03
    np.testing.assert_allclose(table[start], np.array(per_token) / dearest, rtol=1e-6)
    known = table[~np.isnan(table)]
    assert known.min() > 0
    assert known.max() <= 1 + 1e-9
    with pytest.raises(HedgespecError, match="holds no measured costs"):
        Replayer(trace, K).losses(Loss(seconds=True))


def test_seconds_turn_the_learner_to_the_cheap_drafter(tmp_path):
    """Drafter 1 is a little better and ten times dearer."""
    trace = costly(write_trace(tmp_path / "trace", lengths=(600,), closeness=(0.7, 0.8, 0.1)))
    replayer = Replayer(trace, K)
    length, seconds = (
        replayer.run_exact("hedge:eta=0.5", loss=loss).usage[0]
        for loss in (Loss(), Loss(seconds=True))
    )
    assert length.argmax() == 1
    assert seconds.argmax() == 0


def test_tokens_per_second_count_evaluation_where_it_is_needed(trace):
    replayer = Replayer(costly(trace), K)
    own = np.array([0.002 + (K - 1) * step + 0.03 for step in (0.001, 0.010, 0.001)])
    for text, further in (
        ("fixed:drafter-0", 0),
        ("ucbspec", 0),
        ("best-fixed", 0),
        ("uniform", 0),
        ("hedge", 0.004),
    ):
        for feedback in (None, parse_feedback("every:4")) if text == "hedge" else (None,):
            run = replayer.run(text, 0, feedback)
            seconds, evaluation = replayer.seconds(run)
            assert (evaluation.sum() > 0) == (further > 0)
            np.testing.assert_allclose(evaluation, run.evaluated * further)
            alone = np.where(run.visits, own[run.choice], 0)
            np.testing.assert_allclose(seconds, alone + evaluation)
    assert np.isnan(Replayer(trace, K).seconds(run)).all()


def test_only_drafters_of_some_arm_are_evaluated(trace):
    trace = costly(trace)
    costs = replace(trace.manifest.costs, evaluate_all=0.005)
    together = replace(trace, manifest=replace(trace.manifest, costs=costs))
    for told, arms, further in (
        (trace, (), 0.004),
        (together, (), 0.003),
        (trace, ("drafter-0", "drafter-2", "drafter-2*2"), 0.002),
        (together, ("drafter-0", "drafter-2", "drafter-2*2"), 0.002),
    ):
        replayer = Replayer(told, K, arms=arms)
        np.testing.assert_allclose(replayer.evaluating_seconds(), further, atol=1e-12)


def test_pairs_of_drafter_and_length_replay_as_the_shorter_drafts(trace):
    pairs = Replayer(trace, arm_lengths=(1, 3, 2))
    assert pairs.arms.names[:4] == ["drafter-0*1", "drafter-0*3", "drafter-0*2", "drafter-1*1"]
    for arm, name in enumerate(pairs.arms.names):
        drafter, length = name.split("*")
        alone = Replayer(trace, int(length))
        for seed in range(5):
            np.testing.assert_array_equal(
                pairs.run(f"fixed:{name}", seed).visits, alone.run(f"fixed:{drafter}", seed).visits
            )
        np.testing.assert_allclose(
            pairs.run_exact(f"fixed:{name}").visits,
            alone.run_exact(f"fixed:{drafter}").visits,
            atol=1e-12,
        )
        start = int(trace.offsets[2])
        emitted = (1 - pairs.losses(Loss())[start, arm]) * 4
        number = int(drafter[-1])
        assert emitted == pytest.approx(
            expected_emitted(trace.gamma, trace.gamma, start, int(length), number), rel=1e-6
        )


def test_seconds_choose_the_draft_length(trace):
    replayer = Replayer(costly(trace), arm_lengths=(1, 3))
    seconds = replayer.own_seconds()
    slope = (0.03 - 0.02) / K
    assert seconds[2] == pytest.approx(0.002 + 0.02 + slope)
    assert seconds[3] == pytest.approx(0.002 + 2 * 0.010 + 0.02 + 3 * slope)
    np.testing.assert_allclose(replayer.evaluating_seconds(), 0.004)


def test_bad_arm_lengths_are_told(trace):
    with pytest.raises(HedgespecError, match="arm_lengths names drafter-0\\*2 twice"):
        Replayer(trace, arm_lengths=(2, 2))
    with pytest.raises(HedgespecError, match="not both"):
        Replayer(trace, 3, arm_lengths=(2,))
    with pytest.raises(HedgespecError, match="at least 1"):
        Replayer(trace, arm_lengths=(3, -1))


def test_the_fastest_drafters_have_the_fewest_seconds(trace):
    replayer = Replayer(costly(trace), K)
    starts = trace.offsets[:-1]
    seconds = np.stack(
        [
            np.add.reduceat(replayer.seconds(replayer.run_exact(f"fixed:{name}"))[0], starts)
            for name in replayer.arms.names
        ],
        axis=1,
    )
    fixed, single = (
        np.add.reduceat(replayer.seconds(replayer.run_exact(name))[0], starts)
        for name in ("fastest-fixed", "fastest-single")
    )
    np.testing.assert_allclose(fixed, seconds.min(axis=1))
    assert single.sum() == pytest.approx(seconds.sum(axis=0).min())
    best = replayer.expected_rounds.sum(axis=0).argmin()
    dear = Replayer(costly(trace, steps=np.where(np.arange(3) == best, 1.0, 0.001).tolist()), K)
    rounds = dear.run_exact("best-fixed").visits.sum()
    assert dear.run_exact("fastest-fixed").visits.sum() > rounds
    with pytest.raises(HedgespecError, match="holds no measured costs"):
        Replayer(trace, K).chooser("fastest-fixed")
