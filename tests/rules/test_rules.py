"""Real decoding under every rule is what its gamma, a and replay say; none changes the text's law.

Exact laws come from all texts of a tiny history-dependent pair (V = 5, T = 4): chi-square of
300,000 real decodes against them, on the joint law of text and round starts.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.rules import RULES, Rule, parse_rule  # noqa: E402
from hedgespec.selectors.learning import parse_loss  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.traces import Trace  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.real_decoding import TinyPair  # noqa: E402
from tests.helpers.rule_decoding import Trees, all_texts, decode, law_of_starts, without  # noqa: E402

VOCABULARY, LENGTH, DRAFTERS, DRAFT_LENGTH = 5, 4, 2, 3
DECODES = 300_000
CHAINS = ("sampling", "onehot", "block", "gumbel")
SEVERAL = ("multi:3", "multi-without:3", "kseq:3")


@pytest.fixture(scope="module")
def pair() -> TinyPair:
    return TinyPair.random(3, VOCABULARY, LENGTH, DRAFTERS)


@pytest.fixture(scope="module")
def trees(pair) -> Trees:
    return Trees(pair, DRAFT_LENGTH, nodes=7, width=3)


def made_for(rule: Rule, pair: TinyPair, trees: Trees) -> tuple[Trace, np.ndarray]:
    """All texts, with the statistics of this rule."""
    if rule.path_only:
        return all_texts(pair, DRAFT_LENGTH, trees=trees)
    return all_texts(pair, DRAFT_LENGTH, (rule,) if rule.recorded else ())


def exact_without_replacement(p: np.ndarray, q: np.ndarray, left: int) -> np.ndarray:
    """P(x is emitted and accepted) for all x, every order of tried tokens enumerated."""
    both = np.minimum(p, q)
    if left == 1 or both.sum() > 1 - 1e-12:
        return both
    later = np.maximum(p - q, 0) / (1 - both.sum())
    rejected = np.maximum(q - p, 0)
    for token in np.flatnonzero(rejected):
        rest = np.where(np.arange(len(q)) == token, 0, q)
        both = both + rejected[token] * exact_without_replacement(
            later, rest / rest.sum(), left - 1
        )
    return both


def put_exact(trace, pair, rule):
    """The trace with enumerated gamma and a instead of estimates."""
    code = {}
    for arm, place, prefix in np.ndindex(pair.q.shape[:3]):
        joint = exact_without_replacement(
            pair.p[place, prefix], pair.q[arm, place, prefix], rule.candidates
        )
        code[arm, place, prefix] = joint.sum(), joint / pair.p[place, prefix]
    texts = trace.tokens.reshape(-1, LENGTH)
    for number, text in enumerate(texts):
        prefix = 0
        for place, token in enumerate(text):
            for arm in range(DRAFTERS):
                gamma, a = code[arm, place, prefix]
                trace.rules[f"gamma.{rule.label}"][number * LENGTH + place, 0, arm] = gamma
                trace.rules[f"a.{rule.label}"][number * LENGTH + place, 0, arm] = a[token]
            prefix = prefix * VOCABULARY + token


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CHAINS, *SEVERAL, "tree"])
def test_real_decoding_has_the_law_that_the_replay_says(pair, trees, name):
    """Text, acceptances, mean and variance of rounds."""
    rule = parse_rule(name)
    trace, texts = made_for(rule, pair, trees)
    if name.startswith("multi-without"):
        put_exact(trace, pair, rule)
    rule.check(trace)
    tokens, starts = decode(
        pair, rule, DRAFT_LENGTH, DECODES, seed=1, trees=trees if rule.path_only else None
    )
    number = tokens @ VOCABULARY ** np.arange(LENGTH - 1, -1, -1)
    assert chi_square_p(np.bincount(number, minlength=len(texts)), texts) > 1e-3
    law = law_of_starts(rule.realised(trace, DRAFT_LENGTH), LENGTH, DRAFT_LENGTH)
    np.testing.assert_allclose(law.sum(axis=1), 1, atol=1e-6)
    cell = number * 2**LENGTH + starts @ 2 ** np.arange(LENGTH)
    counts = np.bincount(cell, minlength=law.size)
    assert chi_square_p(counts, texts[:, None] * law) > 1e-3

    exact = Replayer(trace, DRAFT_LENGTH, name).run_exact("uniform")
    rounds = np.add.reduceat(exact.visits, trace.offsets[:-1])
    mean = texts @ rounds
    variance = texts @ (exact.variance + rounds**2) - mean**2
    found = starts.sum(axis=1)
    assert abs(found.mean() - mean) < 4 * np.sqrt(variance / DECODES)
    squares = (found - found.mean()) ** 2
    assert abs(found.var() - variance) < 4 * squares.std() / np.sqrt(DECODES)


@pytest.mark.slow
def test_control_another_rules_law_is_noticed(pair):
    trace, texts = all_texts(pair, DRAFT_LENGTH)
    tokens, starts = decode(pair, parse_rule("block"), DRAFT_LENGTH, 200_000, seed=1)
    cell = (tokens @ VOCABULARY ** np.arange(LENGTH - 1, -1, -1)) * 2**LENGTH + (
        starts @ 2 ** np.arange(LENGTH)
    )
    law = law_of_starts(parse_rule("sampling").realised(trace, DRAFT_LENGTH), LENGTH, DRAFT_LENGTH)
    counts = np.bincount(cell, minlength=law.size)
    assert chi_square_p(counts, texts[:, None] * law) < 1e-12


@pytest.mark.parametrize("name", ["block", "gumbel", "multi:2", "tree"])
def test_a_replay_draws_from_its_own_exact_law(pair, trees, name):
    trace, _ = made_for(parse_rule(name), pair, trees)
    replayer = Replayer(trace, DRAFT_LENGTH, name)
    for selector in ("uniform", "hedge:eta=2"):
        exact = replayer.run_exact(selector)
        rounds = [
            replayer.rounds_per_query(replayer.run(selector, seed)).sum() for seed in range(60)
        ]
        error = np.sqrt(exact.variance.sum() / 60)
        assert abs(np.mean(rounds) - exact.visits.sum()) < 4 * error, selector


def test_block_is_never_below_sampling_and_multi_never_below_either(pair):
    rules = tuple(map(parse_rule, ("multi:3", "kseq:3", "multi:1", "kseq:1", "multi-without:1")))
    trace, _ = all_texts(pair, DRAFT_LENGTH, rules)
    rounds = {
        name: Replayer(trace, DRAFT_LENGTH, name).expected_rounds
        for name in ("sampling", "block", *(rule.label for rule in rules))
    }
    assert (rounds["block"] <= rounds["sampling"] + 1e-6).all()
    assert (rounds["block"] < rounds["sampling"] - 1e-2).any()
    assert (rounds["multi:3"] <= rounds["sampling"] + 1e-6).all()
    assert (trace.rules["gamma.kseq:3"] >= trace.gamma - 1e-6).all()
    for one in ("multi:1", "kseq:1", "multi-without:1"):
        np.testing.assert_allclose(rounds[one], rounds["sampling"], rtol=1e-5)


def test_block_survival_is_the_least_product(pair):
    """s_l = min_{m<=l} min(1, prod_{j<=m} q_j/p_j), transcribed."""
    trace, _ = all_texts(pair, DRAFT_LENGTH)
    realised = parse_rule("block").realised(trace, DRAFT_LENGTH)
    ratio = np.exp(trace.log_q[:, 0] - trace.log_p[:, None])
    for start in (0, 4, 401, len(ratio) - 4):
        survival = np.minimum.accumulate(np.minimum(1, np.cumprod(ratio[start : start + 3], 0)))
        steps = [realised[start + level, level] for level in range(3)]
        np.testing.assert_allclose(np.cumprod(steps, axis=0), survival, rtol=1e-5, atol=1e-7)


def test_block_with_a_token_that_was_no_proposal_accepts_none_behind_it():
    trace, _ = all_texts(TinyPair.random(0, 3, 3, 1), 2)
    trace.log_q[1] = -np.inf
    realised = parse_rule("block").realised(trace, 2)
    assert np.isfinite(realised).all()
    assert realised[1, 0, 0] == realised[1, 1, 0] == realised[2, 1, 0] == 0


def random_rows(count: int, seed: int = 0, vocabulary: int = 8) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    p, q = (torch.from_numpy(rng.dirichlet(np.full(vocabulary, 0.4), count)) for _ in range(2))
    q[:, 2], p[:, 5] = 0, 0
    return p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)


@pytest.mark.parametrize("name", ["gumbel", "multi:2", "multi:4", "kseq:2", "kseq:5"])
def test_gamma_is_the_mean_of_a(name):
    p, q = random_rows(200)
    rule = parse_rule(name)
    mean = sum(
        p[:, token] * rule.reduce(p, q, torch.full((200,), token))["a"].nan_to_num()
        for token in range(8)
    )
    torch.testing.assert_close(
        mean,
        rule.reduce(p, q, torch.zeros(200, dtype=torch.long))["gamma"].double(),
        atol=2e-6,
        rtol=0,
    )


def test_gumbel_is_the_double_sum_and_lies_between_its_bounds():
    p, q = random_rows(50)
    gamma = parse_rule("gumbel").reduce(p, q, torch.zeros(50, dtype=torch.long))["gamma"]
    for row in range(50):
        expected = sum(
            1 / sum(max(p[row, u] / p[row, v], q[row, u] / q[row, v]) for u in range(8))
            for v in range(8)
            if p[row, v] > 0 and q[row, v] > 0
        )
        assert float(gamma[row]) == pytest.approx(float(expected), abs=1e-6)
    common = torch.minimum(p, q).sum(-1)
    assert (gamma <= common + 1e-6).all()
    assert (gamma >= common / (2 - common) - 1e-6).all()


def test_estimates_without_replacement_are_unbiased():
    p, q = random_rows(6, seed=4)
    rule, repeats = parse_rule("multi-without:3"), 4000
    generator = torch.Generator().manual_seed(1)
    for row in range(6):
        joint = exact_without_replacement(p[row].numpy(), q[row].numpy(), 3)
        token = int(p[row].argmax())
        found = rule.reduce(
            p[row].expand(repeats, -1),
            q[row].expand(repeats, -1),
            torch.full((repeats,), token),
            generator,
        )
        a = joint[token] / float(p[row, token])
        for statistic, exact in (("gamma", joint.sum()), ("a", a)):
            values = found[statistic]
            error = float(values.std()) / np.sqrt(repeats) + 1e-6
            assert abs(float(values.mean()) - exact) < 4 * error, statistic


def test_under_gumbel_coupling_the_text_is_the_same_whoever_drafts(pair):
    """Token for token, with the same random numbers: other drafters, draft lengths, none at all."""
    rule = parse_rule("gumbel")
    other = TinyPair(pair.p, TinyPair.random(9, VOCABULARY, LENGTH, 1).q)
    texts = [
        decode(one, rule, DRAFT_LENGTH, 5000, seed=3)
        for one in (pair, other, TinyPair(pair.p, pair.p[None]), TinyPair(pair.p, 0 * pair.q))
    ]
    for tokens, starts in texts[1:]:
        np.testing.assert_array_equal(tokens, texts[0][0])
        assert (starts != texts[0][1]).any()


def test_a_tree_that_is_a_chain_is_the_chain_under_onehot(pair):
    chain = Trees(pair, DRAFT_LENGTH, nodes=VOCABULARY**DRAFT_LENGTH, width=1)
    trace, _ = all_texts(pair, DRAFT_LENGTH, trees=chain)
    assert chain.nodes.max() == DRAFT_LENGTH
    tree, onehot = (Replayer(trace, DRAFT_LENGTH, name) for name in ("tree", "onehot"))
    np.testing.assert_array_equal(tree.expected_rounds, onehot.expected_rounds)
    for selector in ("fixed:d1", "uniform", "exp3spec", "best-fixed", "oracle"):
        np.testing.assert_array_equal(tree.run(selector, 0).choice, onehot.run(selector, 0).choice)
    for estimator in ("realised", "rb"):
        loss = parse_loss("length", estimator)
        np.testing.assert_allclose(tree.losses(loss), onehot.losses(loss), atol=1e-6)
    # Behind the text's path a tree has no gamma: rb stands for it.
    np.testing.assert_array_equal(
        tree.losses(parse_loss("length", "gamma")), tree.losses(parse_loss("length", "rb"))
    )


def test_length_losses_of_a_tree_count_its_levels(pair, trees):
    """realised = 1 + depth, rb = 1 + sum_l 1{depth >= l-1} mass_l; rb is unbiased, as realised."""
    trace, texts = all_texts(pair, DRAFT_LENGTH, trees=trees)
    replayer = Replayer(trace, DRAFT_LENGTH, "tree")
    starts = trace.offsets[:-1]
    emitted = {
        estimator: (1 - replayer.losses(parse_loss("length", estimator))[starts])
        * (DRAFT_LENGTH + 1)
        for estimator in ("realised", "rb")
    }
    depth, mass = (trace.rules[f"{part}.tree"][starts] for part in ("depth", "mass"))
    np.testing.assert_allclose(emitted["realised"], 1 + depth[:, 0], atol=1e-6)
    visited = depth >= np.arange(DRAFT_LENGTH)[:, None]
    np.testing.assert_allclose(emitted["rb"], 1 + (visited * mass).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(texts @ emitted["rb"], texts @ emitted["realised"], atol=1e-5)


def test_a_tree_may_be_cut_but_not_be_longer(pair, trees):
    trace, _ = all_texts(pair, DRAFT_LENGTH, trees=trees)
    assert Replayer(trace, rule="tree").draft_length == DRAFT_LENGTH
    assert (
        Replayer(trace, 1, "tree").expected_rounds >= Replayer(trace, rule="tree").expected_rounds
    ).all()
    with pytest.raises(HedgespecError, match="rule tree was recorded to level 3; draft length 4"):
        Replayer(trace, 4, "tree")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gumbel",
            "holds no statistics of rule gumbel; to record them: hedgespec record --out "
            "recordings/tiny-gumbel --rules gumbel",
        ),
        (
            "tree",
            "holds no statistics of rule tree; to record them: hedgespec record --out "
            "recordings/tiny-tree --trees dynamic",
        ),
        ("tree:wide", "hedgespec record --out recordings/tiny-tree-wide --trees wide=dynamic"),
        ("multi", "needs a number of candidates"),
        ("multi:0", "needs a number of candidates"),
        ("kseq:x", "needs a number of candidates"),
        ("block:2", "rule block takes no argument: leave :2 out"),
        ("sampling:", "unknown rule 'sampling:'"),
        ("greedy", "needs text written at temperature 0"),
        ("tree:A", "a tree's name holds"),
        ("typical", "unknown rule 'typical'; choose from auto, sampling, greedy, onehot, block"),
    ],
)
def test_what_cannot_be_replayed_is_told(pair, name, message):
    trace, _ = all_texts(pair, DRAFT_LENGTH)
    with pytest.raises(HedgespecError) as caught:
        Replayer(trace, DRAFT_LENGTH, name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "statistic", "value", "message"),
    [
        ("gumbel", "gamma", 0.999, "row 7 of all tokens, drafter d1, depth 1: gamma.gumbel"),
        ("multi:2", "gamma", 0.001, "gamma.multi:2 is 0.00100, but lies in"),
        ("tree", "mass", 0.0, "less than p ="),
    ],
)
def test_statistics_that_contradict_each_other_are_told(
    pair, trees, name, statistic, value, message
):
    rule = parse_rule(name)
    trace, _ = made_for(rule, pair, trees)
    values = trace.rules[f"{statistic}.{name}"]
    row = 7 if name != "tree" else int(np.flatnonzero(trace.rules["depth.tree"][:, 0, 1])[0])
    values[row, 0, 1] = value
    with pytest.raises(HedgespecError) as caught:
        rule.check(trace)
    assert message in str(caught.value)
    with pytest.raises(HedgespecError, match="holds no statistics"):
        rule.check(without(trace, name))


def test_every_rule_says_what_it_is():
    for name, rule in RULES.items():
        assert rule.name == name
        assert rule.help
        assert rule.source
        assert rule.__module__ == f"hedgespec.rules.{name.replace('-', '_')}"


def test_arms_mix_drafters_rules_and_draft_lengths(pair, trees):
    rules = (parse_rule("gumbel"),)
    trace, _ = all_texts(pair, DRAFT_LENGTH, rules, trees)
    arms = ("d0@tree", "d1@sampling*2", "all@block", "d1@gumbel*1", "d0")
    mixed = Replayer(trace, arms=arms)
    assert mixed.arms.names == [
        "d0@tree",
        "d1@sampling*2",
        "d0@block",
        "d1@block",
        "d1@gumbel*1",
        "d0",
    ]
    alone = [
        Replayer(trace, length, rule).expected_rounds[:, drafter]
        for drafter, length, rule in (
            (0, 3, "tree"),
            (1, 2, "sampling"),
            (0, 3, "block"),
            (1, 3, "block"),
            (1, 1, "gumbel"),
            (0, 3, "sampling"),
        )
    ]
    np.testing.assert_allclose(mixed.expected_rounds, np.stack(alone, axis=1), atol=1e-6)
    run = mixed.run_exact("hedge")
    best = mixed.expected_rounds.min(axis=1).sum()
    assert best < run.visits.sum() < mixed.expected_rounds.max(axis=1).sum()
    with pytest.raises(HedgespecError, match="arms='nobody@tree': expected DRAFTER"):
        Replayer(trace, arms=("nobody@tree",))
    with pytest.raises(HedgespecError, match="names d0@block twice"):
        Replayer(trace, arms=("all@block", "d0@block"))
