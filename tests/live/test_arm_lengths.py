"""Live arms of several draft lengths: lossless in all engines, and every decision is a replay's."""

import json

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.costs.estimate import round_seconds  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.selectors.arms import NO_DRAFTER  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402
from hedgespec.traces import Costs, DrafterCosts, TargetCosts, read_trace  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.live_text import (  # noqa: E402
    PROMPT,
    law_of_two_tokens,
    plain_greedy,
    prompt_with_doubt,
    save_noisy_copy,
)
from tests.helpers.seals import seal_results  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = (0, 1, 4)
PROMPTS = (PROMPT, [17], [5, 9, 7, 5, 9])
# Selectors, and how they learn: each kind of evaluation, and each kind of learner.
POLICIES = {
    "uniform": {},
    "normalhedge": {},
    "hedge": {"feedback": "rounds:2"},
    "ftl": {"feedback": "eliminate:0.5,0.125"},
    "squint": {"feedback": "limited:2"},
    "adahedge": {"feedback": "every:3", "loss": "length"},
    "exp3spec": {},
    "metasd-ucb": {},
    "adaptive-length": {},
    "fixed:lm*1": {},
    "fixed:none": {},
    "none": {},
}


@pytest.fixture(scope="module")
def specifications(tiny_models, tmp_path_factory) -> list[str]:
    """All can run on fixed tensors."""
    folder = tmp_path_factory.mktemp("pool")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    save_head(random_head(), folder / "head")
    return [
        f"lm=lm:{folder / 'noisy'}",
        "early-exit:3",
        f"eagle=eagle:{folder / 'head'}",
        "prompt-lookup",
    ]


@pytest.fixture
def drafters(target, specifications) -> list[Drafter]:
    return make_drafters(specifications, target)


def decoder_of(
    target, drafters, policy, temperature=0.8, lengths=LENGTHS, **options
) -> LiveDecoder:
    decoder = LiveDecoder(
        target,
        drafters,
        policy,
        DecoderSettings(sampling=Sampling(temperature), arm_lengths=lengths, **options),
    )
    if policy in ("normalhedge", "ftl", "squint"):  # the default loss is then in seconds
        seconds = decoder.round_seconds(costs_of(drafters))
        decoder = decoder.with_selector(policy, round_seconds=seconds)
    return decoder


def costs_of(drafters) -> Costs:
    """Not drafting is dear, so that all arms are chosen."""
    return Costs(
        "a CPU",
        "float32",
        20,
        4,
        TargetCosts(1.0, 1.2),
        {drafter.name: DrafterCosts(0.02, 0.08, 0.03) for drafter in drafters},
    )


@pytest.mark.matrix
@pytest.mark.parametrize("engine", ["fixed tensors", "eager", "branches"])
@pytest.mark.parametrize("policy", POLICIES)
def test_greedy_is_the_targets_text_whatever_is_drafted(target, drafters, policy, engine):
    decoder = decoder_of(
        target,
        drafters,
        policy,
        0.0,
        static=engine == "fixed tensors",
        rule="multi:2" if engine == "branches" else "auto",
        **POLICIES[policy],
    )
    for number, prompt in enumerate(PROMPTS):
        answer = decoder.generate(prompt, 30, number)
        assert answer.tokens == plain_greedy(target, prompt, 30)
    assert not decoder.dropped


def drafts_of(decoder: LiveDecoder) -> set[tuple[str, int]]:
    """Arms that ran with room for all, and what they drafted; what they emitted fits."""
    found = set()
    for number, prompt in enumerate(PROMPTS[::2]):  # behind one token a head proposes nothing
        for one in decoder.generate(prompt, 60, number).rounds:
            drafter, length = NO_DRAFTER, 0
            if one.arm != NO_DRAFTER:
                drafter, length = decoder.arms.drafters[one.arm], decoder.arms.lengths[one.arm]
            assert one.drafter == drafter
            assert one.drafted <= length
            assert 1 <= len(one.tokens) <= one.drafted + 1
            if 60 - one.position >= length:
                found.add((decoder.arms.names[one.arm], one.drafted))
    return found


@pytest.mark.parametrize("static", [True, False])
def test_an_arm_drafts_its_length_and_none_drafts_nothing(target, drafters, static):
    decoder = decoder_of(target, drafters, "uniform", static=static)
    assert decoder.arms.names == [
        "none",
        *(
            f"{name}*{length}"
            for name in ("lm", "early-exit-3", "eagle", "prompt-lookup")
            for length in (1, 4)
        ),
    ]
    lookup = {f"prompt-lookup*{length}" for length in (1, 4)}  # drafts nothing where it finds none
    whole = {(name, int(name.partition("*")[2] or 0)) for name in decoder.arms.names}
    found = drafts_of(decoder)
    assert whole - found <= {(name, int(name[-1])) for name in lookup}
    assert found - whole <= {(name, 0) for name in lookup}


@pytest.mark.matrix
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rule", ["sampling", "block", "gumbel"])
def test_fixed_tensors_change_nothing(target, drafters, policy, rule):
    static, eager = (
        decoder_of(
            target,
            drafters[:3],
            policy,
            static=static,
            rule=rule,
            evaluate_all=True,
            **POLICIES[policy],
        )
        for static in (True, False)
    )
    for number, prompt in enumerate(PROMPTS):
        found, expected = (one.generate(prompt, 30, number) for one in (static, eager))
        assert [(one.arm, one.tokens, one.evaluated) for one in found.rounds] == [
            (one.arm, one.tokens, one.evaluated) for one in expected.rounds
        ]


@pytest.mark.matrix
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rule", ["sampling", "block", "gumbel"])
def test_nor_do_they_where_one_drafter_copies(target, drafters, policy, rule):
    """At the text's end fixed tensors draft the whole length, others what there is room for, which
    block verification sees."""
    static, eager = (
        decoder_of(
            target,
            drafters,
            policy,
            static=static,
            rule=rule,
            evaluate_all=True,
            **POLICIES[policy],
        )
        for static in (True, False)
    )
    last = 30 - max(LENGTHS) * (rule == "block")
    for number, prompt in enumerate(PROMPTS):
        found, expected = (one.generate(prompt, 30, number) for one in (static, eager))
        assert [
            (one.arm, one.tokens, one.evaluated) for one in found.rounds if one.position <= last
        ] == [
            (one.arm, one.tokens, one.evaluated) for one in expected.rounds if one.position <= last
        ]


@pytest.mark.parametrize("static", [True, False])
def test_lengths_that_adapt_leave_the_sampled_law_alone(target, drafters, static):
    """The choice depends on the first token; the second must not depend on it."""
    sampling = Sampling(2.0, top_k=4)
    prompt = prompt_with_doubt(target, drafters[:3], sampling)
    law = law_of_two_tokens(target, prompt, sampling)
    counts, used = np.zeros_like(law), set()
    decoder = LiveDecoder(
        target,
        drafters[:3],
        "exp3spec",
        DecoderSettings(sampling=sampling, arm_lengths=(0, 1, 2), static=static),
    )
    for run in range(400):
        answer = decoder.generate(prompt, 2, run)
        counts[tuple([*answer.tokens, 0][:2])] += 1
        used |= {done.arm for done in answer.rounds}
    assert chi_square_p(counts, law) > 1e-3
    assert used == set(range(7))


def logged(decoder: LiveDecoder, folder, limit=40) -> int:
    """Write a log of some answers; the number of rounds."""
    log, rounds = LiveLog(folder, decoder, LogSettings("made", limit)), 0
    for number, prompt in enumerate(PROMPTS):
        answer = decoder.generate(prompt, limit, number)
        log.add(
            Query(number, Question(str(number), "domain", ["?"]), 0, "0" * 64, prompt, limit),
            answer,
        )
        rounds += len(answer.rounds)
    log.finish()
    return rounds


@pytest.mark.matrix
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_replays_of_a_log_decide_as_live(target, drafters, tmp_path, policy, static):
    decoder = decoder_of(
        target, drafters, policy, static=static, evaluate_all=True, timed=True, **POLICIES[policy]
    )
    rounds = logged(decoder, tmp_path / "log")
    assert check_fidelity(tmp_path / "log") == rounds > 20
    table = pl.read_parquet(tmp_path / "log" / "rounds.parquet")
    assert set(table["arm"]) <= {*decoder.arms.names, "none"}
    assert (table["arm"].str.split("*").list.first() == table["drafter"]).all()


def test_an_arm_that_drafts_nothing_may_be_the_only_one_known(target, drafters, tmp_path):
    """A bad pool: paired elimination leaves `none` alone, which reads nothing."""
    decoder = LiveDecoder(
        target,
        drafters[2:3],
        "ftl",
        DecoderSettings(
            sampling=Sampling(4.0),
            arm_lengths=(0, 3),
            feedback="eliminate:0,0.05",
            loss="seconds",
            round_seconds=(1.0, 5.0),
            evaluate_all=True,
            timed=True,
        ),
    )
    rounds = logged(decoder, tmp_path / "log")
    assert check_fidelity(tmp_path / "log") == rounds
    table = pl.read_parquet(tmp_path / "log" / "rounds.parquet")
    assert table["arm"].to_list().count("none") > 0.8 * rounds
    assert table["evaluated"].sum() < 0.5 * rounds
    assert (table["evaluated"] == (table["evaluated_set"].list.len() > 0)).all()


def test_a_log_names_arms_and_a_changed_one_is_named(
    tiny_models, specifications, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "log"
    command = [
        "live",
        "--target",
        tiny_models["target"],
        "--selector",
        "normalhedge",
        "--temperature",
        "0.8",
        "--prompts",
        str(save_questions(tmp_path / "q.jsonl", 3)),
        "--max-new-tokens",
        "30",
        "--arm-lengths",
        "0",
        "1",
        "3",
        "--out",
        str(out),
    ]
    for text in specifications[1:3]:
        command += ["--drafter", text]
    first, meter = [], LiveDecoder.meter
    monkeypatch.setattr(
        LiveDecoder,
        "meter",
        lambda decoder: (found := meter(decoder), first.append(found.costs))[0],
    )
    assert main(command) == 0
    assert "K = 0 1 3: early-exit-3  eagle" in capsys.readouterr().out
    run = json.loads((out / "run.json").read_text())
    assert (run["arm_lengths"], run["draft_length"]) == ([0, 1, 3], 3)
    assert (run["loss"], len(run["round_seconds"])) == ("seconds:gamma", 5)
    costs = read_trace(out / "trace").manifest.costs
    assert set(costs.widths) >= {"1", "2", "4"}, "each arm's pass of the target was measured"
    lengths = np.array([0, 1, 3, 1, 3])
    names = [None, "early-exit-3", "early-exit-3", "eagle", "eagle"]
    assert run["round_seconds"] == pytest.approx(
        round_seconds(first[0], names, lengths, lengths).tolist()
    ), "what was known before the first answer; between answers costs are measured again"
    assert main(["fidelity", str(out)]) == 0
    rounds = pl.read_parquet(out / "rounds.parquet")
    place = rounds["arm"].to_list().index("eagle*3")
    rounds.with_row_index().with_columns(
        arm=pl.when(pl.col("index") == place).then(pl.lit("eagle*1")).otherwise("arm")
    ).drop("index").write_parquet(out / "rounds.parquet")
    seal_results(out)
    assert main(["fidelity", str(out)]) == 1
    assert "field arm: live eagle*1, replayed eagle*3" in capsys.readouterr().err
    (out / "run.json").write_text(json.dumps({**run, "arm_lengths": [0, 1, "3"]}))
    with pytest.raises(HedgespecError, match='field "arm_lengths" is not a list of draft lengths'):
        check_fidelity(out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draft_length": 3}, "give draft_length or arm_lengths, not both"),
        ({"lengths": (0,)}, "arm_lengths: none alone leaves nothing to choose"),
        ({"lengths": (2, 2)}, r"arm_lengths names lm\*2 twice"),
        ({"lengths": (2, -1)}, "arm_lengths must be at least 0, not -1"),
        ({"rule": "tree"}, "arm_lengths: rule tree drafts trees, and a tree cut at a level is not"),
        (
            {"round_seconds": (1.0, 2.0)},
            "round_seconds are 2 numbers; there are 9 to choose between",
        ),
    ],
)
def test_what_cannot_be_is_told(target, drafters, options, message):
    with pytest.raises(HedgespecError, match=message):
        decoder_of(target, drafters, "hedge", **options)
    with pytest.raises(HedgespecError, match=r"no such arm; the pool has none, lm\*1"):
        decoder_of(target, drafters, "fixed:lm")
