"""Decoding on fixed tensors is decoding: the same tokens, decisions and statistics."""

import copy
import warnings

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.decoded import Answer  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.live.static_drafters import Exits, Heads, Reader  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.eagle.stack import stack_heads  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402
from hedgespec.traces.drafted import COPYING  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy, save_noisy_copy  # noqa: E402
from tests.helpers.marks import slow_but  # noqa: E402
from tests.helpers.policies import POLICIES  # noqa: E402
from tests.helpers.seals import seal_results  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
SOME = ["eliminate:0.5,0.125", "limited:2", "batch:4+eliminate:1,0.05"]
PROMPTS = (PROMPT, [17], [5, 9, 7, 5, 9], PROMPT * 4)


@pytest.fixture(scope="module")
def specifications(tiny_models, tmp_path_factory) -> list[str]:
    """Heads of one shape that are not side by side, one of another, models, and copying ones."""
    folder = tmp_path_factory.mktemp("pool")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    for name, head in {
        "a": random_head(0),
        "b": random_head(1),
        "c": random_head(2),
        "old": random_head(generation=1),
    }.items():
        save_head(head, folder / name)
    return [
        f"a=eagle:{folder / 'a'}",
        f"lm=lm:{folder / 'noisy'}",
        f"b=eagle:{folder / 'b'}",
        f"old=eagle:{folder / 'old'}",
        "early-exit:3",
        "prompt-lookup",
        f"c=eagle:{folder / 'c'}",
        "ngram:2",
    ]


@pytest.fixture(scope="module", params=DEVICES)
def target(request, tiny_models):
    return load_model(tiny_models["target"], request.param, "float32")


@pytest.fixture
def drafters(target, specifications):
    return make_drafters(specifications, target)


def decoder_of(target, drafters, policy="normalhedge", temperature=0.8, **options) -> LiveDecoder:
    return LiveDecoder(
        target,
        drafters,
        policy,
        DecoderSettings(
            sampling=Sampling(temperature), **{"draft_length": 4, "static": True, **options}
        ),
    )


def stacked(answer, name: str) -> np.ndarray:
    return np.concatenate([getattr(part, name) for part in answer.statistics])


def copied(drafters, answer) -> list[tuple[int, int]]:
    """Where drafters that copy drafted, and how much."""
    return [
        (one.position, one.drafted)
        for one in answer.rounds
        if drafters[one.drafter].kind in COPYING
    ]


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("policy", "temperature", "logged"),
    [
        *((policy, 0.8, True) for policy in POLICIES),
        ("normalhedge", 0.0, True),
        ("normalhedge", 0.8, False),
        ("ucbspec", 0.0, False),
        ("metasd-ucb", 0.8, False),
    ],
)
def test_fixed_tensors_change_nothing(target, drafters, policy, temperature, logged):
    options = {**POLICIES[policy], "evaluate_all": logged}
    static = decoder_of(target, drafters, policy, temperature, **options)
    eager = decoder_of(target, drafters, policy, temperature, static=False, **options)
    for number, prompt in enumerate(PROMPTS):
        found, expected = (one.generate(prompt, 30, number) for one in (static, eager))
        assert found.tokens == expected.tokens
        assert [(one.position, one.drafter, one.tokens) for one in found.rounds] == [
            (one.position, one.drafter, one.tokens) for one in expected.rounds
        ]
        assert copied(drafters, found) == copied(drafters, expected)
        for name in ("log_p", "log_q", "gamma", "p_top", "match") if logged else ():
            np.testing.assert_allclose(
                stacked(found, name), stacked(expected, name), rtol=1e-4, atol=1e-4
            )
    assert not static.dropped


def test_heads_of_one_shape_run_together(target, drafters):
    decoder = decoder_of(target, drafters)
    decoder.generate(PROMPT, 3)
    groups = [one.group for one in decoder.engine._parts._drafting.groups]
    assert [(type(group), [drafter.name for drafter in group.drafters]) for group in groups] == [
        (Heads, ["a", "b", "c"]),
        (Reader, ["lm"]),
        (Heads, ["old"]),
        (Exits, ["early-exit-3"]),
    ]


@pytest.mark.parametrize("changes", [{}, {"reduced": False}, {"generation": 1}])
def test_stacked_heads_are_the_heads(changes):
    heads = [random_head(seed, **changes) for seed in range(3)]
    embedding, output = torch.nn.Embedding(63, 32), torch.nn.Linear(32, 63, bias=False)
    for head in heads:
        head.attach(embedding, output)
    before = [head.state_dict()["fc.weight"].clone() for head in heads]
    ids, places = torch.tensor([[4, 9, 2, 7]]), torch.arange(4)[None]
    states = [torch.randn(1, 4, 32) for _ in range(3)]
    with torch.inference_mode():
        stacked_heads = stack_heads(heads)
        for head, weight in zip(heads, before, strict=True):
            assert torch.equal(head.fc.weight, weight)
        features = stacked_heads.fuse([state.expand(3, -1, -1) for state in states])
        residual, tensors = stacked_heads.project(
            stacked_heads.embed(ids).expand(3, -1, -1), features, places
        )
        logits = stacked_heads.logits(stacked_heads.finish(residual, tensors[2]))
        for number, head in enumerate(heads):
            own = head.fuse(states)
            torch.testing.assert_close(features[number], own[0])
            residual, tensors = head.project(head.embed(ids), own, places)
            torch.testing.assert_close(
                logits[number], head.logits(head.finish(residual, tensors[2]))[0]
            )


def test_answers_may_end_anywhere(target, drafters):
    for room in (1, 2, 5, 6, 17):
        for policy in ("normalhedge", "exp3spec"):
            found, expected = (
                decoder_of(target, drafters, policy, 0.0, static=static).generate(
                    PROMPT, room, stop=lambda tokens: len(tokens) == 13
                )
                for static in (True, False)
            )
            assert found.tokens == expected.tokens
            assert [one.drafted for one in found.rounds] == [one.drafted for one in expected.rounds]


def test_a_longer_text_gets_more_room(target, drafters):
    decoder = decoder_of(target, drafters, temperature=0.0)
    for prompt, count in ((PROMPT, 4), (PROMPT * 20, 40), (PROMPT, 30)):
        assert decoder.generate(prompt, count).tokens == (
            decoder_of(target, drafters, temperature=0.0, static=False)
            .generate(prompt, count)
            .tokens
        )


@pytest.mark.matrix
@pytest.mark.parametrize("selector", ["normalhedge", "exp3spec", "ucbspec", "metasd-ucb"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_replays_of_a_log_decide_as_live(target, drafters, tmp_path, selector, temperature):
    decoder = decoder_of(target, drafters, selector, temperature, evaluate_all=True, timed=True)
    log = LiveLog(tmp_path / "log", decoder, LogSettings("prompts", 40))
    rounds = 0
    for number, prompt in enumerate(PROMPTS):
        answer = decoder.generate(prompt, 40, number)
        log.add(
            Query(number, Question(str(number), "domain", ["?"]), 0, "0" * 64, prompt, 40), answer
        )
        rounds += len(answer.rounds)
    log.finish()
    assert check_fidelity(tmp_path / "log") == rounds > 20


@pytest.mark.parametrize("feedback", slow_but(["eliminate:0.5,0.125"], SOME))
def test_replays_of_a_log_choose_who_is_evaluated_as_live(target, drafters, tmp_path, feedback):
    decoder = decoder_of(
        target, drafters, "normalhedge", 0.8, evaluate_all=True, timed=True, feedback=feedback
    )
    log = LiveLog(tmp_path / "log", decoder, LogSettings("prompts", 60))
    sets = []
    for number, prompt in enumerate(PROMPTS):
        answer = decoder.generate(prompt, 60, number)
        log.add(
            Query(number, Question(str(number), "domain", ["?"]), 0, "0" * 64, prompt, 60), answer
        )
        sets += [len(one.evaluated) for one in answer.rounds]
    log.finish()
    assert check_fidelity(tmp_path / "log") == len(sets)
    assert 0 < min(size for size in sets if size) < len(drafters)
    rounds = pl.read_parquet(tmp_path / "log" / "rounds.parquet")
    assert rounds["evaluated_set"].list.len().to_list() == sets
    changed = rounds.with_columns(
        pl.when(pl.col("evaluated"))
        .then(pl.lit(["a"], dtype=pl.List(pl.String)))
        .otherwise("evaluated_set")
        .alias("evaluated_set")
    )
    changed.write_parquet(tmp_path / "log" / "rounds.parquet")
    seal_results(tmp_path / "log")
    with pytest.raises(HedgespecError, match="field evaluated_set"):
        check_fidelity(tmp_path / "log")


@pytest.mark.matrix
@pytest.mark.parametrize("feedback", slow_but(["eliminate:0.5,0.125"], SOME))
@pytest.mark.parametrize("logged", slow_but([True], [True, False]))
def test_some_drafters_are_evaluated_alike_on_fixed_tensors(target, drafters, feedback, logged):
    """One by one, together or while drafting: each token of a drafter once."""
    options = {"feedback": feedback, "evaluate_all": logged}
    static, eager = (
        decoder_of(target, drafters, "ftl", 0.8, static=static, **options)
        for static in (True, False)
    )
    for number, prompt in enumerate(PROMPTS):
        found, expected = (one.generate(prompt, 150, number) for one in (static, eager))
        assert found.tokens == expected.tokens
        assert [(one.drafter, one.evaluated) for one in found.rounds] == [
            (one.drafter, one.evaluated) for one in expected.rounds
        ]
        for name in ("log_p", "log_q", "gamma", "p_top", "match") if logged else ():
            assert len(stacked(found, name)) == len(found.tokens)
            np.testing.assert_allclose(
                stacked(found, name), stacked(expected, name), rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("feedback", ["rounds:1", "rounds:3", "every:8"])
def test_evaluation_beside_the_next_round_or_seldom(target, drafters, feedback):
    """The engine keeps what is launched and what is needed apart."""
    options = {"feedback": feedback, "temperature": 0.8}
    found, expected = (
        decoder_of(target, drafters, static=static, **options) for static in (True, False)
    )
    for number in range(3):
        one, other = (decoder.generate(PROMPT, 60, number) for decoder in (found, expected))
        assert one.tokens == other.tokens
        for mine, theirs in zip(one.rounds, other.rounds, strict=True):
            np.testing.assert_allclose(mine.weights, theirs.weights, atol=1e-4)


@pytest.mark.parametrize("feedback", slow_but(["eliminate:0.5,0.125"], SOME))
@pytest.mark.filterwarnings("ignore:drafter lm is dropped")
def test_a_drafter_may_be_dropped_while_some_are_evaluated(target, drafters, tmp_path, feedback):
    """What it read before counts; from then on its acceptance probability is 0."""
    decoder = decoder_of(
        target, drafters, "normalhedge", 0.8, evaluate_all=True, timed=True, feedback=feedback
    )
    log = LiveLog(tmp_path / "log", decoder, LogSettings("prompts", 60))
    for number, prompt in enumerate(PROMPTS):
        answer = Answer()
        for count, _ in enumerate(decoder.rounds(prompt, 60, number, answer=answer)):
            if (number, count) == (1, 5):
                with torch.no_grad():
                    drafters[1].reader[0].model.get_output_embeddings().weight.fill_(torch.nan)
        log.add(
            Query(number, Question(str(number), "domain", ["?"]), 0, "0" * 64, prompt, 60), answer
        )
    log.finish()
    assert list(decoder.dropped) == ["lm"]
    assert check_fidelity(tmp_path / "log") > 20


@pytest.mark.matrix
@pytest.mark.parametrize("policy", ["normalhedge", "ucbspec", "metasd-ucb"])
@pytest.mark.parametrize("fault", ["nan", "raises"])
@pytest.mark.parametrize("part", ["a", "lm"])
def test_a_faulty_drafter_is_dropped_and_the_text_stays(
    target, drafters, monkeypatch, policy, fault, part
):
    """From its second text on; a group that raises is dropped as a whole."""
    decoder = decoder_of(target, drafters, policy, 0.0)
    decoder.generate(PROMPT, 5)
    group = decoder.engine._parts._drafting.one([one.name for one in drafters].index(part)).group
    if fault == "nan":
        weight = (
            drafters[0].head.fc.weight
            if part == "a"
            else (drafters[1].reader[0].model.get_output_embeddings().weight)
        )
        with torch.no_grad():
            weight.fill_(torch.nan)
    else:

        def defect(*_, **__):
            raise RuntimeError("a defect\nwith more lines")

        monkeypatch.setattr(group, "logits", defect)
        decoder.engine.forget_graphs()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number, prompt in enumerate(PROMPTS):
            answer = decoder.generate(prompt, 30, number)
            assert answer.tokens == plain_greedy_on(target, prompt, 30)
    assert any(f"drafter {part} is dropped" in str(one.message) for one in told)
    lost = {part} if fault == "nan" or part == "lm" else {"a", "b", "c"}
    assert lost >= set(decoder.dropped) >= {part}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        answer = decoder.generate(PROMPT, 20)
    assert answer.tokens == plain_greedy_on(target, PROMPT, 20)


def test_costs_are_measured_and_decoding_goes_on(target, drafters):
    decoder = decoder_of(target, drafters, temperature=0.0)
    costs = decoder.costs()
    assert list(costs.drafters) == [drafter.name for drafter in drafters]
    assert costs.evaluate_all > 0
    assert costs.target.one > 0
    assert costs.target.round > 0
    assert all(
        one.evaluate > 0
        and one.step > 0
        and one.draft == pytest.approx((one.begin or 0.0) + 3 * one.step)
        for one in costs.drafters.values()
    )
    assert [name for name, one in costs.drafters.items() if one.begin] == [
        "early-exit-3",
        "prompt-lookup",
        "ngram",
    ]
    assert decoder.generate(PROMPT, 30).tokens == plain_greedy_on(target, PROMPT, 30)


def plain_greedy_on(target, prompt, count):
    """`plain_greedy` by a copy on the CPU: graphs know where the target's weights are."""
    return plain_greedy(
        LanguageModel(target.id, copy.deepcopy(target.model).to("cpu"), target.tokenizer),
        prompt,
        count,
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; minutes on a CPU")
def test_compiled_kernels_change_nothing(tiny_models, specifications):
    target = load_model(tiny_models["target"], "cuda", "float32")
    drafters = make_drafters(specifications, target)
    for policy in ("normalhedge", "fixed:old"):
        plain, compiled = (
            decoder_of(target, drafters, policy, 0.8, compiled=compiled)
            for compiled in (False, True)
        )
        for number, prompt in enumerate(PROMPTS):
            assert (
                compiled.generate(prompt, 30, number).tokens
                == plain.generate(prompt, 30, number).tokens
            )


@pytest.mark.parametrize("static", [True, False])
def test_selectors_that_share_a_decoder_decode_as_with_one_of_their_own(target, drafters, static):
    shared = decoder_of(target, drafters, "ucbspec", static=static)
    lengths = {"arm_lengths": (0, 2, 4)}
    for policy, own in (
        ("normalhedge", {}),
        ("normalhedge", {"feedback": "every:4"}),
        ("fixed:b", {}),
        ("metasd-ucb", {}),
        ("ucbspec", {}),
        ("hedge", {"draft_length": 2, "feedback": "every:3"}),
        ("uniform", lengths),
        ("normalhedge", lengths),
        ("metasd-ucb", lengths),
    ):
        mine = shared.with_selector(policy, **own)
        anew = {"draft_length": None, **own} if own is lengths else own
        other = decoder_of(target, drafters, policy, static=static, **anew)
        for number, prompt in enumerate(PROMPTS[:2]):
            found, expected = (one.generate(prompt, 30, number) for one in (mine, other))
            assert [(one.drafter, one.tokens, one.evaluated) for one in found.rounds] == [
                (one.drafter, one.tokens, one.evaluated) for one in expected.rounds
            ]
        assert mine.engine is shared.engine
        assert mine.label == other.label
    with pytest.raises(HedgespecError, match="rule of a decoder cannot change"):
        shared.with_selector("normalhedge", rule="block")
    with pytest.raises(HedgespecError, match="drafts of 9 tokens do not fit a decoder of 4"):
        shared.with_selector("normalhedge", draft_length=9)
    with pytest.raises(HedgespecError, match="cannot share a decoder"):
        decoder_of(
            target, drafters, "normalhedge", feedback="rounds:2", static=static
        ).with_selector("fixed:b")


def test_fixed_tensors_are_refused_where_a_drafter_has_none(target, tmp_path):
    save_head(random_head(masks=2), tmp_path / "masks")
    pool = make_drafters(["ngram", f"parallel:{tmp_path / 'masks'}"], target)
    with pytest.raises(HedgespecError, match="can run on fixed tensors"):
        decoder_of(target, pool)
    assert decoder_of(target, pool[:1]).engine.beside is False


def test_another_decoder_of_the_same_heads_leaves_a_decoder_its_weights(target, drafters):
    """CUDA graphs know where weights lie: what another decoder moves must not be theirs."""

    def places() -> list[int]:
        return [
            parameter.data_ptr()
            for one in decoder.engine._parts._drafting.groups
            if isinstance(one.group, Heads)
            for head in (one.group._stacked, *one.group._heads)
            for parameter in head.parameters()
        ]

    decoder = decoder_of(target, drafters, temperature=0.0)
    decoder.generate(PROMPT, 5)
    before = places()
    for others in (drafters, drafters[:3], drafters[:1]):
        decoder_of(target, others, temperature=0.0).generate(PROMPT, 5)
        assert places() == before
    assert decoder.generate(PROMPT, 20).tokens == plain_greedy_on(target, PROMPT, 20)
