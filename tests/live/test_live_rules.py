"""Live decoding under each rule: lossless, as its replay says, on both engines; logs replay."""

import json

import numpy as np
import pytest
from scipy.stats import chi2

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.models.cached import CachedModel  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy, save_noisy_copy  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CHAINS = ("sampling", "onehot", "block", "gumbel")
SEVERAL = ("multi:2", "multi-without:3", "kseq:2")
SAMPLING = Sampling(1.5, top_k=5)


@pytest.fixture(scope="module")
def drafters(target, tiny_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    save_head(random_head(), folder / "head")
    return make_drafters(
        [f"lm=lm:{folder / 'noisy'}", "early-exit:3", f"eagle=eagle:{folder / 'head'}"], target
    )


def decoder_of(target, drafters, rule, selector="uniform", **options) -> LiveDecoder:
    return LiveDecoder(
        target,
        drafters,
        selector,
        DecoderSettings(rule=rule, **{"sampling": SAMPLING, "draft_length": 3, **options}),
    )


def next_law(target, tokens: list[int]) -> np.ndarray:
    from hedgespec.models.distributions import probabilities

    with torch.inference_mode():
        logits = target.model(torch.tensor([tokens])).logits[:, -1]
    return probabilities(logits, SAMPLING)[0].double().numpy()


@pytest.mark.parametrize("rule", [*CHAINS, *SEVERAL])
def test_greedy_text_is_the_targets_own(target, drafters, rule):
    for static in (False, True) if rule in CHAINS else (False,):
        decoder = decoder_of(target, drafters, rule, sampling=Sampling(0.0), static=static)
        assert decoder.generate(PROMPT, 24).tokens == plain_greedy(target, PROMPT, 24)


@pytest.mark.parametrize("rule", ["onehot", "block", "gumbel", *SEVERAL])
def test_text_has_the_targets_distribution(target, drafters, rule):
    """The first two tokens of many answers; rounds of three, so that both are drafted."""
    runs = 120
    decoder = decoder_of(target, drafters, rule, static=False)
    first = next_law(target, PROMPT)
    likely = int(first.argmax())
    second = next_law(target, [*PROMPT, likely])
    counts = np.zeros((2, len(first)))
    accepted = 0
    for query in range(runs):
        answer = decoder.generate(PROMPT, 3, query)
        tokens = answer.tokens
        accepted += len(tokens) - len(answer.rounds)
        counts[0, tokens[0]] += 1
        counts[1, tokens[1]] += tokens[0] == likely and len(tokens) > 1
    for found, law in zip(counts, (first, second), strict=True):
        expected = found.sum() * law
        assert not found[expected == 0].any()
        used = expected > 0
        statistic = ((found - expected)[used] ** 2 / expected[used]).sum()
        assert chi2.sf(statistic, used.sum() - 1) > 1e-3
    assert 0.1 * runs < accepted < 1.9 * runs, "both acceptance and rejection"


@pytest.mark.parametrize("rule", ["onehot", "block", "gumbel"])
def test_fixed_tensors_change_nothing(target, drafters, rule):
    """But where a text ends: there fixed tensors draft the full length and cut it."""
    static, eager = (
        decoder_of(target, drafters, rule, "normalhedge", static=static, evaluate_all=True)
        for static in (True, False)
    )
    for query in range(4):
        found, expected = (one.generate(PROMPT, 30, query) for one in (static, eager))
        rounds = [
            [
                (done.position, done.drafter, done.tokens)
                for done in answer.rounds
                if done.position < 26
            ]
            for answer in (found, expected)
        ]
        assert rounds[0] == rounds[1]
        one, other = (
            np.concatenate([part.gamma for part in answer.statistics])
            for answer in (found, expected)
        )
        np.testing.assert_allclose(one[:26], other[:26], atol=1e-4)


def test_under_gumbel_coupling_the_text_is_the_same_whoever_drafts(target, drafters):
    decoders = [
        decoder_of(target, drafters[:count], "gumbel", selector, draft_length=length)
        for count, selector, length in (
            (3, "uniform", 3),
            (3, "normalhedge", 3),
            (1, "fixed:lm", 1),
            (2, "fixed:early-exit-3", 5),
        )
    ]
    for query in range(5):
        answers = [decoder.generate(PROMPT, 30, query) for decoder in decoders]
        assert all(answer.tokens == answers[0].tokens for answer in answers)
        assert len({len(answer.rounds) for answer in answers}) > 1
    other = decoder_of(target, drafters, "gumbel", seed=1)
    assert other.generate(PROMPT, 30).tokens != decoders[0].generate(PROMPT, 30).tokens


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("rule", "selector", "feedback", "loss"),
    [
        ("onehot", "normalhedge", None, None),
        ("block", "normalhedge", None, None),
        ("block", "hedge", "rounds:2", "realised"),
        ("block", "metasd-ucb", None, None),
        ("gumbel", "squint", "every:2", "rb"),
        ("gumbel", "exp3spec", None, None),
        ("onehot", "metasd-ucb", None, None),
        ("block", "squint", "censored", None),
        ("multi:2", "normalhedge", None, None),
        ("multi-without:2", "normalhedge", None, None),
        ("kseq:2", "ucbspec", None, None),
    ],
)
def test_the_replay_of_a_log_comes_to_the_same_decisions(
    target, drafters, tmp_path, rule, selector, feedback, loss
):
    learning = {"loss": "length", "estimator": loss} if loss else {}
    decoder = decoder_of(
        target, drafters, rule, selector, feedback=feedback, evaluate_all=True, **learning
    )
    log = LiveLog(tmp_path / "log", decoder, LogSettings("prompts", 40))
    for number in range(3):
        query = Query(number, Question(f"q{number}", "d", [""]), 0, f"{number:064x}", PROMPT, 40)
        log.add(query, decoder.generate(PROMPT, 40, number))
    log.finish()
    assert check_fidelity(tmp_path / "log") > 20
    run = json.loads((tmp_path / "log" / "run.json").read_text())
    assert run["rule"] == rule
    trace = read_trace(tmp_path / "log" / "trace")
    assert [item.name for item in trace.manifest.rules] == (
        [rule] if rule in ("gumbel", *SEVERAL, "multi-without:2") else []
    )


@pytest.mark.matrix
@pytest.mark.parametrize("rule", [*CHAINS, *SEVERAL])
def test_rounds_are_as_many_as_the_replay_of_the_same_text_says(target, drafters, tmp_path, rule):
    """Exact expectations on the texts that were decoded, a fixed drafter of the first depth."""
    decoder = decoder_of(target, drafters[:1], rule, "fixed:lm", evaluate_all=True)
    log = LiveLog(tmp_path / "log", decoder, LogSettings("prompts", 25))
    rounds = 0
    for number in range(8):
        answer = decoder.generate(PROMPT, 25, number)
        rounds += len(answer.rounds)
        log.add(
            Query(number, Question(f"q{number}", "d", [""]), 0, f"{number:064x}", PROMPT, 25),
            answer,
        )
    log.finish()
    exact = Replayer(read_trace(tmp_path / "log" / "trace"), 3, rule).run_exact("fixed:lm")
    error = np.sqrt(exact.variance.sum())
    assert abs(rounds - exact.visits.sum()) < 4 * error + 1e-4 * rounds
    if rule == "onehot":  # nothing is random given the text
        assert rounds == pytest.approx(exact.visits.sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("kseq:11", "rule kseq:11 with draft length 3 drafts 1463 tokens a round, more than 1024"),
        ("greedy", "rule greedy needs temperature 0"),
        ("typical", "unknown rule 'typical'"),
    ],
)
def test_rules_that_cannot_be_decoded_with_are_told(target, drafters, rule, message):
    with pytest.raises(HedgespecError, match=message):
        decoder_of(target, drafters, rule)


def test_a_tree_is_read_as_its_paths_are(tiny_models):
    """Every node sees the text and its own path; what is kept is as if it had been read alone.

    In double precision, where passes of other lengths round alike.
    """
    target = load_model(tiny_models["target"], "cpu", "float32")
    target.model.double()
    text = torch.tensor(PROMPT)
    tokens, parents = torch.tensor([9, 17, 17, 20, 5, 9]), [-1, 0, 0, 1, 1, 2]
    layers = (2, target.layers)
    with torch.inference_mode():
        model = CachedModel(target)
        model.read(text)
        final, states = model.read_tree(tokens, parents, layers)
        for node in range(len(tokens)):
            path = [node]
            while parents[path[0]] >= 0:
                path.insert(0, parents[path[0]])
            alone = CachedModel(target)
            alone.read(text)
            expected, expected_states = alone.read(tokens[path], layers)
            torch.testing.assert_close(final[node], expected[-1], rtol=1e-9, atol=1e-10)
            torch.testing.assert_close(
                states[2][node], expected_states[2][-1], rtol=1e-9, atol=1e-10
            )
        model.keep(path)
        assert model.length == alone.length
        torch.testing.assert_close(model.read(text)[0], alone.read(text)[0], rtol=1e-9, atol=1e-10)


def test_branches_of_a_draft_do_not_touch_each_other(target, drafters, tmp_path):
    save_head(random_head(masks=2), tmp_path / "masks")
    save_redrafter(random_recurrent(list(range(3, 43))), tmp_path / "recurrent")
    drafters = [
        *drafters,
        *make_drafters(
            [f"parallel:{tmp_path / 'masks'}", f"redrafter:{tmp_path / 'recurrent'}", "ngram"],
            target,
        ),
    ]
    text = torch.tensor(PROMPT)
    layers = {layer for drafter in drafters for layer in drafter.target_layers}
    with torch.inference_mode():
        states = target.hidden_states(text[None, :-1], torch.ones(1, len(text) - 1), tuple(layers))
        known = {layer: state[0] for layer, state in states.items()}
        for drafter in drafters:
            root = drafter.session()
            root.extend(text, known)
            paths = [(9, 17), (9, 5), (20, 17)]
            branches = [root.fork() for _ in paths]
            for branch, path in zip(branches, paths, strict=True):
                branch.step(path[0])
            found = [
                branch.fork().step(path[1]) for branch, path in zip(branches, paths, strict=True)
            ]
            for path, logits in zip(paths, found, strict=True):
                alone = drafter.session()
                alone.extend(text, known)
                alone.step(path[0])
                torch.testing.assert_close(logits, alone.step(path[1]))
