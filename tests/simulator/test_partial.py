"""Some drafters are evaluated without the others: against plain NumPy, and what must be so."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from hedgespec.costs.estimate import evaluate_seconds
from hedgespec.errors import HedgespecError
from hedgespec.selectors.feedback import MOST_WAITING, parse_feedback
from hedgespec.selectors.feedback.binned import pack
from hedgespec.selectors.learning import parse_loss
from hedgespec.selectors.uniforms import decision_key, query_key, uniform
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from tests.helpers.marks import slow_but
from tests.helpers.plain import Wrapped, numbers, texts
from tests.helpers.reading import PlainReading
from tests.helpers.synthetic import write_trace

K, ARMS = 4, 5
ALONE = np.array([0.002, 0.003, 0.001, 0.002, 0.002])
TOGETHER = 0.006
READS = {8: 3.0, 20: 5.0}  # times as long as a round's tokens, on as many


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    trace = write_trace(
        tmp_path_factory.mktemp("partial") / "trace",
        depths=(1,) * ARMS,
        lengths=(200, 1, 6, 50),
        closeness=(0.6, 0.5, 0.3, 0.55, 0.2),
    )
    costs = Costs(
        "test",
        "float32",
        256,
        K,
        TargetCosts(0.02, 0.03),
        {
            name: DrafterCosts(0.001, K * 0.001, seconds)
            for name, seconds in zip(trace.manifest.drafter_names, ALONE, strict=True)
        },
        TOGETHER,
    )
    return replace(trace, manifest=replace(trace.manifest, costs=costs))


@pytest.fixture(scope="module")
def replayer(trace):
    return Replayer(trace, K)


def reads(seconds):
    return {str(tokens): factor * seconds for tokens, factor in READS.items()}


@pytest.fixture(scope="module")
def reader(trace):
    """With costs that say what it takes to read more tokens than a round's."""
    costs = trace.manifest.costs
    costs = replace(
        costs,
        reads=reads(TOGETHER),
        drafters={
            name: replace(one, reads=reads(one.evaluate)) for name, one in costs.drafters.items()
        },
    )
    return Replayer(replace(trace, manifest=replace(trace.manifest, costs=costs)), K)


def plain_reading(replayer):
    """Its costs as `PlainReading` takes them."""
    costs = replayer.trace.manifest.costs

    def known(seconds, more):
        return {K + 1: seconds} | {int(tokens): value for tokens, value in more.items()}

    return PlainReading(
        [known(one.evaluate, one.reads) for one in costs.drafters.values()],
        known(TOGETHER, costs.reads),
    )


def last_known(rounds, start, amounts):
    """How far the text is known before a round, by the delay policy (docs/metrics.md)."""
    if "batch" not in amounts:
        return start
    done, most = len(rounds), amounts["batch"]
    last = max(
        [0, *(2**n for n in range(20) if 2**n < min(most, done + 1)), *range(most, done + 1, most)]
    )
    return start if last == done else rounds[last][0]


class PlainText:
    """One text by docs/metrics.md. `loss` (L, N) are the losses at all of its positions."""

    def __init__(self, feedback, window, loss, key, own, reading):
        self.amounts, self.window, self.loss = dict(feedback.modifiers), window, loss
        self.key, self.own, self.reading = key, own, reading
        self.read, self.told, self.positions = np.zeros(ARMS, int), [], []
        self.debt, self.last_all, self.seconds = np.zeros(ARMS), 0, [0.0, 0.0]

    def known(self, position):
        return self.read >= position + self.window

    def totals(self):
        return np.sum(self.told, axis=0) if self.told else np.zeros(ARMS)

    def pairs(self, one, other):
        """Differences at the told positions that both have read."""
        told = np.array(self.positions, dtype=int)
        both = told[told + self.window <= self.read[[one, other]].min()]
        return self.loss[both, one] - self.loss[both, other]

    def worse(self, arm, leader, width):
        found = self.pairs(arm, leader)
        return len(found) > 1 and found.mean() > width * found.std(ddof=1) / np.sqrt(len(found))

    def chosen(self, rounds, due):
        """Who is evaluated before the next round, if a position of `due` is not known to any."""
        start = rounds[-1][0] + rounds[-1][1]
        if start - self.read.min() >= MOST_WAITING:
            return np.ones(ARMS, bool)
        if not any(position + self.window > self.read.max() for position in due):
            return np.zeros(ARMS, bool)
        chosen, number = np.ones(ARMS, bool), len(rounds)
        if "eliminate" in self.amounts:
            width, share = self.amounts["eliminate"]
            if int(share * number) == int(share * self.last_all):
                leader = int(self.totals().argmin())
                chosen = np.array([not self.worse(arm, leader, width) for arm in range(ARMS)])
        if "limited" in self.amounts:
            drafter, key = rounds[-1][2], decision_key(self.key, number)
            wanted = int(self.amounts["limited"][0]) - chosen[drafter]
            others = [arm for arm in range(ARMS) if chosen[arm] and arm != drafter]
            for place, arm in enumerate(others):
                chosen[arm] = uniform(key, arm, 0) * (len(others) - place) < wanted
                wanted -= chosen[arm]
        if "binned" in self.amounts:
            bins = plain_bins(self.amounts["binned"][0], decision_key(self.key, number))
            chosen &= bins == bins[rounds[-1][2]]
        if "budget" in self.amounts and (
            self.seconds[1] > self.amounts["budget"][0] * self.seconds[0]
        ):
            chosen[:] = False
        return chosen

    def evaluate(self, chosen, start, number):
        """Those chosen read on; what the learner was told of them before is made good."""
        before = [self.known(position) for position in self.positions]
        self.read[chosen] = start
        if chosen.all():
            self.last_all = number
        for entry, position in enumerate(self.positions):
            new = self.known(position) & ~before[entry]
            self.debt[new] += self.loss[position, new] - self.told[entry][new]
            self.told[entry][new] = self.loss[position, new]

    def tell(self, position):
        """What the learner is told of a position."""
        known = self.known(position)
        leader = min(np.flatnonzero(known), key=lambda arm: (self.totals()[arm], arm))
        found = np.array(
            [
                self.loss[position, arm]
                if known[arm]
                else self.loss[position, leader]
                + (pairs.mean() if len(pairs := self.pairs(arm, leader)) else 0.0)
                for arm in range(ARMS)
            ]
        )
        self.told.append(found)
        self.positions.append(position)
        self.debt += found
        shown = np.clip(self.debt, 0, 1)
        self.debt -= shown
        return shown

    def spend(self, chosen, arm, start):
        evaluation, catching_up = self.reading.round(np.flatnonzero(chosen), arm, start)
        self.seconds[0] += self.own[arm] + evaluation + catching_up
        self.seconds[1] += evaluation


def plain_bins(share, key):
    """The bin of each drafter: in random order, first fit."""
    bins, left = np.zeros(ARMS, int), []
    for arm in sorted(range(ARMS), key=lambda arm: uniform(key, arm, 0)):
        fitting = [place for place, room in enumerate(left) if (1 - 1e-9) * ALONE[arm] <= room]
        if not fitting:
            left.append(sum(share * ALONE))
        bins[arm] = fitting[0] if fitting else len(left) - 1
        left[bins[arm]] -= ALONE[arm]
    return bins


def plain_text(replayer, feedback, loss, text, key, loss_table, accept, name="ftl"):
    """(start, tokens, drafter, chosen) of each round of one text."""
    amounts, window = dict(feedback.modifiers), loss.window(K)
    learner = Wrapped(name, ARMS, K, key)
    plain = PlainText(
        feedback, window, loss_table, key, replayer.own_seconds(), plain_reading(replayer)
    )
    accept_u, select_u = numbers(key, len(accept))
    start, rounds, passed = 0, [], 0
    while start < len(accept):
        known = last_known(rounds, start, amounts)

        def due(limit, first=None, known=known):
            owner = [
                number for number, (begun, tokens, *_) in enumerate(rounds) for _ in range(tokens)
            ]
            return [
                position
                for position in range(first, limit - window + 1)
                if owner[position] % amounts.get("every", 1) == 0
            ]

        chosen = plain.chosen(rounds, due(known, passed)) if rounds else np.zeros(ARMS, bool)
        plain.evaluate(chosen, start, len(rounds))
        limit = min(known, plain.read.max())
        for position in due(limit, passed):
            shown = plain.tell(position)
            learner.learn(position, learner.play(position), shown)
        passed = max(passed, limit - window + 1)
        drafter = min(
            np.searchsorted(np.cumsum(learner.play(start)), select_u[start], "right"), ARMS - 1
        )
        plain.spend(chosen, drafter, start)
        accepted = np.append(
            accept_u[start : start + K] < accept[start : start + K, 0, drafter], False
        )
        tokens = min(int(accepted.argmin()) + 1, len(accept) - start)
        rounds.append((start, tokens, int(drafter), chosen))
        start += tokens
    return rounds


@pytest.mark.matrix
@pytest.mark.parametrize(
    "label",
    [
        "eliminate:0.5,0.0625",
        "eliminate:2,0.3",
        "batch:4+eliminate:0.5,0.1",
        "limited:2",
        "every:2+eliminate:1,0.1",
        "eliminate:0.2,0.05+limited:2",
        "budget:0.02",
        "binned:0.45",
        "batch:2+eliminate:0.5,0.1+binned:0.6",
        "eliminate:0,0+budget:0.05",
    ],
)
@pytest.mark.parametrize("loss", ["length", "accept"])
def test_the_kernel_equals_its_transcription(replayer, label, loss):
    equals_its_transcription(replayer, label, loss)


@pytest.mark.parametrize("label", ["budget:0.05", "every:4+eliminate:0,0+budget:0.1"])
def test_a_budget_counts_what_more_tokens_take(reader, label):
    equals_its_transcription(reader, label, "accept")


def equals_its_transcription(replayer, label, loss):
    feedback, loss = parse_feedback(label), parse_loss(loss)
    run = replayer.run("ftl", 2, feedback, loss)
    losses = replayer.losses(loss)
    for query, part, _, accept in texts(replayer.trace):
        rounds = plain_text(
            replayer, feedback, loss, part, query_key(2, query), losses[part], accept
        )
        starts = np.flatnonzero(run.choice[part] >= 0)
        assert starts.tolist() == [begun for begun, *_ in rounds]
        assert run.choice[part][starts].tolist() == [drafter for *_, drafter, _ in rounds]
        np.testing.assert_array_equal(run.sets[part][starts], [chosen for *_, chosen in rounds])


@pytest.mark.parametrize("name", slow_but(["ftl"], ["ftl", "normalhedge"]))
def test_evaluating_all_is_the_feedback_without_a_set(replayer, name):
    for all_of, plain in (
        ("eliminate:100,1", "queued"),
        (f"limited:{ARMS}", "queued"),
        ("batch:4+eliminate:0,1", "batch:4"),
        ("every:3+budget:1", "every:3"),
    ):
        found, expected = (
            replayer.run(name, 1, parse_feedback(label)) for label in (all_of, plain)
        )
        np.testing.assert_array_equal(found.choice, expected.choice)
        np.testing.assert_array_equal(found.sets.all(axis=1), found.evaluated)
        if plain != "queued":  # which is evaluated at once, and not where it is needed
            np.testing.assert_array_equal(found.evaluated, expected.evaluated)


def test_a_set_is_what_its_policy_says(replayer):
    run = replayer.run("ftl", 0, parse_feedback("limited:2"))
    sizes = run.sets[run.evaluated].sum(axis=1)
    assert np.isin(sizes, [2, ARMS]).all()  # all where one had waited too long
    assert (sizes == 2).mean() > 0.9
    drafters = [
        run.choice[before]
        for before, after in pairwise(np.flatnonzero(run.choice >= 0))
        if run.evaluated[after]
    ]
    assert run.sets[run.evaluated][np.arange(len(sizes)), drafters].all()
    run = replayer.run("ftl", 0, parse_feedback("eliminate:0.5,0.0625"))
    assert 1 <= run.sets[run.evaluated].sum(axis=1).mean() < ARMS / 2


@pytest.mark.slow
def test_losses_over_the_chance_of_their_bin_are_unbiased(replayer):
    """As the learner draws one drafter, it draws its bin: 1[i evaluated] / P(bin of i) is 1 on
    average, for each drafter, and what is evaluated stays within the budget."""
    seconds, share, draws = (
        replayer._seconds_in_part._replace(own=replayer.own_seconds()),
        0.45,
        20_000,
    )
    weights, rng = np.array([0.05, 0.1, 0.5, 0.15, 0.2]), np.random.default_rng(0)
    bins, total = np.empty(ARMS, np.int64), np.zeros(ARMS)
    for key in range(draws):
        pack(seconds, share, key, bins)
        chance = np.array([weights[bins == one].sum() for one in bins])
        chosen = bins == bins[rng.choice(ARMS, p=weights)]
        assert ALONE[chosen].sum() <= share * ALONE.sum() * (1 + 1e-8)
        total += chosen / chance
    np.testing.assert_allclose(total / draws, 1, atol=0.06)
    assert len(set(np.round(total / draws, 6))) > 1


def test_who_takes_more_than_the_budget_has_a_bin_of_its_own(replayer):
    bins = np.empty(ARMS, np.int64)
    pack(replayer._seconds_in_part._replace(own=replayer.own_seconds()), 0.01, 3, bins)
    assert sorted(bins) == list(range(ARMS))
    pack(replayer._seconds_in_part._replace(own=replayer.own_seconds()), 1.0, 3, bins)
    assert not bins.any()


def test_limited_draws_uniformly(replayer):
    """Of the drafters that did not run, each as often."""
    counts, chances = np.zeros(ARMS), np.zeros(ARMS)
    for seed in range(30):
        run = replayer.run("hedge:eta=0.01", seed, parse_feedback("limited:3"))
        starts = np.flatnonzero(run.choice >= 0)
        for before, after in pairwise(starts):
            if run.sets[after].sum() == 3:
                others = np.arange(ARMS) != run.choice[before]
                counts += run.sets[after] & others
                chances += others * 2 / (ARMS - 1)
    np.testing.assert_allclose(counts, chances, atol=5 * np.sqrt(chances.max() / 2))
    assert chances.min() > 500


def test_a_budget_bounds_the_share_of_evaluation(replayer):
    for share in (0.01, 0.05, 0.2):
        seconds, evaluation = replayer.seconds(
            replayer.run("ftl", 0, parse_feedback(f"budget:{share}"))
        )
        one = TOGETHER / seconds[:200].sum()  # the last one may go beyond
        assert share / 2 - one < evaluation[:200].sum() / seconds[:200].sum() <= share + one


@pytest.mark.parametrize(
    ("name", "feedback"),
    [
        ("normalhedge", "batch:16"),
        ("hedge", "every:4"),
        ("ftl", "first:60"),
        ("ucbspec", None),
        ("exp3spec", None),
        ("ftl", "eliminate:0.5,0.0625"),
        ("ftl", "every:8+limited:2"),
        ("hedge", "queued"),
    ],
)
def test_seconds_count_the_tokens_that_are_read(reader, replayer, name, feedback):
    """Those since the last evaluation, and those that a drafter has missed before it drafts."""
    feedback = None if feedback is None else parse_feedback(feedback)
    run = reader.run(name, 3, feedback)
    seconds, evaluation = reader.seconds(run)
    own, expected = reader.own_seconds(), np.zeros((2, len(seconds)))
    for begin, end in pairwise(reader.trace.offsets):
        plain = plain_reading(reader)
        for start in np.flatnonzero(run.choice[begin:end] >= 0):
            row = begin + start
            chosen = (
                range(ARMS)
                if run.sets is None and run.evaluated[row]
                else []
                if run.sets is None
                else np.flatnonzero(run.sets[row])
            )
            arm = run.choice[row]
            further, catching_up = plain.round(chosen, arm, start)
            expected[:, row] = own[arm] + further + catching_up, further
    np.testing.assert_allclose(seconds, expected[0], atol=1e-12)
    np.testing.assert_allclose(evaluation, expected[1], atol=1e-12)
    less = replayer.seconds(run)[0].sum()
    assert (
        seconds.sum() == less
        if name == "hedge" and feedback == parse_feedback("queued")
        else (seconds.sum() > less * 1.001)
    )


@pytest.mark.parametrize(("name", "caught_up"), [("hedge", False), ("uniform", True)])
def test_an_expectation_reads_as_its_replays(reader, replayer, name, caught_up):
    """Also where drafters catch up, which one replay stands for."""
    exact = [one.sum() for one in reader.seconds(reader.run_exact(name))]
    found = np.mean(
        [
            [values.sum() for values in reader.seconds(reader.run(name, seed))]
            for seed in range(200)
        ],
        axis=0,
    )
    np.testing.assert_allclose(found, exact, rtol=0.01)
    without = replayer.seconds(replayer.run_exact(name))[0].sum()
    assert (exact[0] > 1.02 * without) == caught_up


@pytest.mark.parametrize(
    ("feedback", "measured", "overhead"),
    [("limited:2", 0.5, 0.5), ("limited:2", None, 0.25), ("every:2", 0.5, 0.25)],
)
def test_evaluations_in_part_have_an_overhead_of_their_own(replayer, feedback, measured, overhead):
    costs = replayer.trace.manifest.costs
    free = replayer.under(replace(costs, evaluation_overhead=0.0, part_overhead=0.0))
    dear = replayer.under(replace(costs, evaluation_overhead=0.25, part_overhead=measured))
    run = replayer.run("hedge", 1, parse_feedback(feedback))
    evaluated = run.evaluated > 0 if run.sets is None else run.sets.any(axis=1)
    more = dear.seconds(run)[0] - free.seconds(run)[0]
    np.testing.assert_allclose(more, overhead * evaluated, atol=1e-12)
    assert 0 < evaluated.sum() < len(evaluated)


def test_a_budget_needs_costs(trace):
    bare = replace(trace, manifest=replace(trace.manifest, costs=None))
    Replayer(bare, K).run("ftl", 0, parse_feedback("limited:2"))
    with pytest.raises(HedgespecError, match="holds no measured costs"):
        Replayer(bare, K).run("ftl", 0, parse_feedback("budget:0.1"))


def test_evaluated_drafters_and_their_seconds_are_counted(replayer):
    run = replayer.run("ftl", 3, parse_feedback("eliminate:0.5,0.0625"))
    seconds, evaluation = replayer.seconds(run)
    names = np.array(replayer.trace.manifest.drafter_names)
    for start in np.flatnonzero(run.choice >= 0):
        chosen, arm = run.sets[start], run.choice[start]
        further = evaluate_seconds(replayer.trace.manifest.costs, names[chosen])
        further -= ALONE[arm] * chosen[arm]
        assert evaluation[start] == pytest.approx(further)
        assert seconds[start] == pytest.approx(replayer.own_seconds()[arm] + further)
    assert not evaluation[run.choice < 0].any()
    np.testing.assert_array_equal(replayer.evaluated_drafters(run), run.sets.sum(axis=1))


def test_arms_of_one_drafter_are_evaluated_once(trace):
    pairs = Replayer(trace, arm_lengths=(1, K))
    run = pairs.run("ftl", 0, parse_feedback("eliminate:0.5,0.0625"), parse_loss("seconds"))
    np.testing.assert_array_equal(run.sets[:, ::2], run.sets[:, 1::2])
    np.testing.assert_array_equal(pairs.evaluated_drafters(run), run.sets[:, ::2].sum(axis=1))
    whole = pairs.run("ftl", 0)
    np.testing.assert_array_equal(pairs.evaluated_drafters(whole), whole.evaluated * ARMS)


def test_tables_count_evaluated_drafters(tmp_path):
    write_trace(tmp_path / "trace", lengths=(60, 90))
    results = run_sweep(
        [tmp_path / "trace"],
        SweepSettings(selectors=("ftl", "best-fixed"), seeds=2, feedbacks=("queued", "limited:2")),
    )
    total = results.per_query.group_by("selector", "feedback", "seed").agg(
        pl.col("evaluations", "evaluated_drafters").sum()
    )
    for selector, feedback, _, evaluations, drafters in total.iter_rows():
        each = {"queued": 3, "limited:2": 2}.get(feedback, 0)
        assert drafters == pytest.approx(each * evaluations), selector
    assert results.summary["evaluated_drafters"].to_list() == pytest.approx(
        [
            *results.per_query.group_by("selector", "feedback", "seed", maintain_order=True).agg(
                pl.col("evaluated_drafters").sum()
            )["evaluated_drafters"]
        ]
    )
