"""Live decoding with draft trees: lossless, the recorder's trees, and logs that replay."""

import io
import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.models.trees import make_trees  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402
from hedgespec.tracegen.score import score  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.live_text import (  # noqa: E402
    PROMPT,
    law_of_two_tokens,
    plain_greedy,
    save_noisy_copy,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DYNAMIC = "dynamic:12,3,3"
SAMPLING = Sampling(1.5, top_k=5)
GREEDY = Sampling(0.0)
PROMPTS = (PROMPT, [17], [20, 21, 22, 20])


@pytest.fixture(scope="module")
def static(tmp_path_factory) -> str:
    """A tree from a file: ranks that skip, branches of different lengths."""
    path = tmp_path_factory.mktemp("shape") / "tree.json"
    path.write_text("[[0], [1], [3], [0, 0], [0, 2], [1, 0], [0, 0, 0], [0, 0, 1]]")
    return f"static:{path}"


@pytest.fixture(scope="module")
def drafters(target, tiny_models, tmp_path_factory):
    """One of each kind; the last works at temperature 0 only."""
    folder = tmp_path_factory.mktemp("pool")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    save_head(random_head(), folder / "eagle")
    save_head(random_head(masks=2), folder / "parallel")
    save_redrafter(random_recurrent(list(range(3, 43))), folder / "redrafter")
    return make_drafters(
        [
            f"lm=lm:{folder / 'noisy'}",
            "exit=early-exit:3",
            f"eagle:{folder / 'eagle'}",
            f"parallel:{folder / 'parallel'}",
            "prompt-lookup",
            "ngram",
            f"redrafter:{folder / 'redrafter'}",
        ],
        target,
    )


def decoder_of(
    target,
    drafters,
    selector="uniform",
    trees=(DYNAMIC,),
    sampling=SAMPLING,
    rule="tree",
    **options,
) -> LiveDecoder:
    able = [drafter for drafter in drafters if sampling.temperature == 0 or not drafter.greedy_only]
    return LiveDecoder(
        target,
        able,
        selector,
        DecoderSettings(rule=rule, trees=tuple(trees), sampling=sampling, **options),
    )


def logged(folder, decoder, new_tokens=40, queries=3):
    """Answers, and the trace of the log that is written of them."""
    log = LiveLog(folder, decoder, LogSettings("prompts", new_tokens))
    answers = []
    for number in range(queries):
        prompt = PROMPTS[number % len(PROMPTS)]
        answers.append(decoder.generate(prompt, new_tokens, number))
        log.add(
            Query(
                number, Question(f"q{number}", "d", [""]), 0, f"{number:064x}", prompt, new_tokens
            ),
            answers[-1],
        )
    log.finish()
    return answers, read_trace(folder / "trace")


def test_greedy_text_is_the_targets_own(target, drafters, static):
    for selector, shape in (("uniform", DYNAMIC), ("uniform", static), ("normalhedge", DYNAMIC)):
        decoder = decoder_of(target, drafters, selector, (shape,), GREEDY)
        right = set()
        for prompt in PROMPTS:
            answer = decoder.generate(prompt, 24)
            assert answer.tokens == plain_greedy(target, prompt, 24)
            right |= {done.drafter for done in answer.rounds if len(done.tokens) > 1}
        assert right >= {0, 1}


def test_the_default_tree_is_eagle_2s(target, drafters):
    decoder = decoder_of(target, drafters, "fixed:lm", (), GREEDY)
    assert (decoder.tree.id, decoder.draft_length) == ("dynamic", 8)
    answer = decoder.generate(PROMPT, 30)
    assert answer.tokens == plain_greedy(target, PROMPT, 30)
    assert answer.rounds[0].drafted == 59
    assert max(len(done.tokens) for done in answer.rounds) > 3


def test_text_has_the_targets_distribution(tiny_models, tmp_path):
    """The first two tokens of many answers of a small model, with a selector that adapts."""
    sampling, runs = Sampling(2.0, top_k=4), 250
    target = load_model(tiny_models["drafter"], "cpu", "float32")
    save_noisy_copy(tmp_path / "noisy", tiny_models["drafter"])
    drafters = make_drafters([f"lm:{tmp_path / 'noisy'}", "early-exit:1"], target)
    decoder = LiveDecoder(
        target,
        drafters,
        "exp3spec",
        DecoderSettings(rule="tree", trees=("dynamic:12,1,4",), sampling=sampling),
    )
    law = law_of_two_tokens(target, PROMPT, sampling)
    counts, accepted = np.zeros_like(law), np.zeros(3)
    for query in range(runs):
        answer = decoder.generate(PROMPT, 3, query)
        counts[tuple([*answer.tokens, 0][:2])] += 1
        accepted[len(answer.rounds[0].tokens) - 1] += 1
    assert chi_square_p(counts, law) > 1e-3
    assert chi_square_p(counts[law > 0], np.roll(law[law > 0], 1)) < 1e-6, "it can fail"
    assert (accepted > 0.04 * runs).all(), "whole trees, parts and none of them"


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLING], ids=["greedy", "sampled"])
def test_the_log_holds_what_a_recording_of_the_text_holds(
    target, drafters, static, tmp_path, sampling
):
    """Depths, masses and nodes of every position and drafter; rounds are as long as depths say."""
    for number, shape in enumerate((DYNAMIC, static)):
        decoder = decoder_of(target, drafters, "uniform", (shape,), sampling, evaluate_all=True)
        answers, trace = logged(tmp_path / f"log{number}", decoder)
        names = trace.manifest.drafter_names
        [info] = trace.manifest.rules
        assert (info.name, info.levels, info.id) == ("tree", 4 - number, shape)
        scores, _ = score(
            target,
            decoder.drafters,
            list(PROMPTS),
            [answer.tokens for answer in answers],
            sampling,
            256,
            trees=list(make_trees([shape]).values()),
        )
        depth, nodes, mass = (trace.rules[f"{part}.tree"] for part in ("depth", "nodes", "mass"))
        for arm, name in enumerate(names):
            for found, column in ((depth, "depth"), (nodes, "nodes")):
                np.testing.assert_array_equal(
                    found[:, 0, arm], scores.drafters[f"{column}.tree/{name}"]
                )
            for level in range(info.levels):
                np.testing.assert_allclose(
                    mass[:, level, arm], scores.drafters[f"mass.tree/{name}@{level + 1}"], atol=1e-4
                )
        assert (depth.max(axis=(0, 1)) > 0).sum() > 3
        lengths = []
        for begin, answer in zip(trace.offsets, answers, strict=False):
            for done in answer.rounds:
                expected = min(
                    int(depth[begin + done.position, 0, done.drafter]) + 1,
                    len(answer.tokens) - done.position,
                )
                assert len(done.tokens) == expected
                assert done.drafted <= nodes[begin + done.position, 0, done.drafter]
                lengths.append(expected)
        assert max(lengths) > 2


@pytest.mark.matrix
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLING], ids=["greedy", "sampled"])
@pytest.mark.parametrize("selector", ["normalhedge", "exp3spec", "ucbspec", "fixed:eagle"])
def test_the_replay_of_a_log_comes_to_the_same_decisions(
    target, drafters, tmp_path, selector, sampling
):
    decoder = decoder_of(target, drafters[1:5], selector, sampling=sampling, evaluate_all=True)
    answers, trace = logged(tmp_path / "log", decoder, queries=2)
    assert check_fidelity(tmp_path / "log") == sum(len(answer.rounds) for answer in answers)
    if selector.startswith("fixed"):  # nothing is random, once the text is known
        rounds = Replayer(trace, rule="tree").run(selector, 5).choice >= 0
        assert rounds.sum() == sum(len(answer.rounds) for answer in answers)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("selector", "feedback", "loss", "options"),
    [
        ("hedge", "rounds:2", "realised", {}),
        ("squint", "every:9", "rb", {}),
        ("normalhedge", "censored", "gamma", {"draft_length": 2}),
        ("metasd-ucb", None, None, {}),
    ],
)
def test_so_it_does_with_other_feedback_losses_and_lengths(
    target, drafters, tmp_path, selector, feedback, loss, options
):
    learning = {"loss": "length", "estimator": loss} if loss else {}
    decoder = decoder_of(
        target,
        drafters[1:4],
        selector,
        ("wide=" + DYNAMIC,),
        rule="tree:wide",
        feedback=feedback,
        evaluate_all=True,
        **learning,
        **options,
    )
    logged(tmp_path / "log", decoder, queries=2)
    assert check_fidelity(tmp_path / "log") > 20
    run = json.loads((tmp_path / "log" / "run.json").read_text())
    assert (run["rule"], run["draft_length"]) == ("tree:wide", options.get("draft_length", 4))


def test_without_a_log_the_selector_decides_as_with_one(target, drafters):
    """Evaluated only where it learns from: all drafters, or the one that ran."""
    for selector in ("normalhedge", "metasd-ucb"):
        found, expected = (
            decoder_of(target, drafters[1:4], selector, evaluate_all=every).generate(PROMPT, 30)
            for every in (False, True)
        )
        assert found.tokens == expected.tokens
        for one, other in zip(found.rounds, expected.rounds, strict=True):
            assert one.drafter == other.drafter
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)


def test_a_tree_that_is_a_chain_is_the_chain_under_onehot(target, drafters, tmp_path):
    (tmp_path / "chain.json").write_text("[[0], [0, 0], [0, 0, 0]]")
    tree = decoder_of(target, drafters, trees=(f"static:{tmp_path / 'chain.json'}",))
    chain = decoder_of(target, drafters, rule="onehot", trees=(), draft_length=3)
    for query, prompt in enumerate(PROMPTS):
        found, expected = (one.generate(prompt, 40, query) for one in (tree, chain))
        assert [(done.drafter, done.tokens) for done in found.rounds] == [
            (done.drafter, done.tokens) for done in expected.rounds
        ]
        drafted = [(done.position, done.drafted) for done in found.rounds]
        assert drafted == [(done.position, done.drafted) for done in expected.rounds]


def test_a_drafter_whose_trees_fail_is_dropped(target, drafters, monkeypatch):
    lm, _, eagle, *_ = drafters
    decoder = LiveDecoder(
        target,
        [lm, eagle],
        "normalhedge",
        DecoderSettings(rule="tree", trees=(DYNAMIC,), sampling=GREEDY, evaluate_all=True),
    )
    growth = type(eagle.session())

    def broken(session):
        if session.verified > len(PROMPT) + 6:
            raise RuntimeError("no memory left")
        return original(session)

    original = growth.growth
    monkeypatch.setattr(growth, "growth", broken)
    with pytest.warns(RuntimeWarning, match="drafter eagle is dropped.*no memory left"):
        answer = decoder.generate(PROMPT, 30)
    assert answer.tokens == plain_greedy(target, PROMPT, 30)
    gamma = np.concatenate([part.rules["gamma.tree"] for part in answer.statistics])
    assert gamma[:6, :, 1].any()
    assert not gamma[-10:, :, 1].any()
    assert gamma[-10:, :, 0].any()


def test_a_text_may_fill_the_context(target, drafters):
    """Trees that would reach behind it are cut."""
    prompt = [3, 4] * 122
    decoder = decoder_of(target, drafters, "uniform", ("dynamic:20,6,3",), GREEDY)
    answer = decoder.generate(prompt, 12)
    assert answer.tokens == plain_greedy(target, prompt, 12)


def test_a_chat_drafts_trees_too(tiny_models, tmp_path, monkeypatch, capsys):
    """By the command line, with a log that replays."""
    monkeypatch.setattr("sys.stdin", io.StringIO("w1 w2 w3\nw4 w1 w2\n"))
    command = [
        "live",
        "--chat",
        "--target",
        tiny_models["target"],
        "--drafter",
        "early-exit:3",
        "--drafter",
        "prompt-lookup",
        "--rule",
        "tree:small",
        "--trees",
        "dynamic",
        f"small={DYNAMIC}",
        "--max-new-tokens",
        "12",
        "--no-costs",
        "--out",
        str(tmp_path / "log"),
    ]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert f"tree:small {DYNAMIC}, K = 4" in shown
    assert shown.count("MAT") == 3
    assert re.search(
        r"2 answers, 24 tokens: MAT [\d.]+, [\d.]+ tokens/s decoding, [\d.]+ tokens/s "
        "with reading the prompt, evaluating all drafters for the log",
        " ".join(shown.split()),
    )
    assert main(["fidelity", str(tmp_path / "log")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rule": "tree:wide"},
            "rule tree:wide: there is no tree of that name; give one, as in "
            r"trees=\('wide=dynamic',\)",
        ),
        (
            {"rule": "block"},
            r"trees=\('dynamic:12,3,3',\): rule block drafts no trees; "
            "give rule='tree'",
        ),
        ({"trees": ("oak",)}, "unknown kind"),
        ({"draft_length": 5}, "rule tree: its trees have 4 levels; draft length 5 is longer"),
        ({"draft_length": 0}, "draft_length must be at least 1, not 0"),
        ({"static": True}, "rule tree cannot run on fixed tensors"),
    ],
)
def test_what_cannot_be_drafted_is_told(target, drafters, options, message):
    with pytest.raises(HedgespecError, match=message):
        decoder_of(target, drafters, **options)
