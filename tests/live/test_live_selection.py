"""Live decoding with a pool: still lossless, and every decision is a replay's."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from transformers import MaxTimeCriteria, StoppingCriteriaList  # noqa: E402

from hedgespec.cli import main  # noqa: E402
from hedgespec.costs.estimate import target_seconds  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.hugging_face import speculative_generate  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.live.text_rounds import Rounds  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.drafters.session import DraftSession  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.selectors import BUILT_IN  # noqa: E402
from hedgespec.selectors.learning import parse_loss  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.simulator.fidelity import (  # noqa: E402
    check_fidelity,
    compare_seconds,
    passes_of,
    replayed_log,
)
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402
from hedgespec.traces import (  # noqa: E402
    Costs,
    DrafterCosts,
    TargetCosts,
    read_trace,
)
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.live_text import (  # noqa: E402
    PROMPT,
    law_of_two_tokens,
    plain_greedy,
    prompt_with_doubt,
    save_noisy_copy,
)
from tests.helpers.policies import POLICIES  # noqa: E402
from tests.helpers.seals import seal_results  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def specifications(tiny_models, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("pool")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    save_head(random_head(), folder / "head")
    return [
        f"lm=lm:{folder / 'noisy'}",
        "early-exit:3",
        "prompt-lookup",
        "ngram",
        f"eagle=eagle:{folder / 'head'}",
    ]


@pytest.fixture
def drafters(target, specifications) -> list[Drafter]:
    return make_drafters(specifications, target)


@pytest.mark.parametrize("policy", POLICIES)
def test_greedy_is_the_targets_text_whoever_drafts(target, drafters, policy):
    decoder = LiveDecoder(
        target,
        drafters,
        policy,
        DecoderSettings(sampling=Sampling(0.0), draft_length=4, **POLICIES[policy]),
    )
    for number, prompt in enumerate((PROMPT, [17], [5, 9, 7, 5, 9])):
        answer = decoder.generate(prompt, 40, number)
        assert answer.tokens == plain_greedy(target, prompt, 40)
    assert not decoder.dropped


def test_adaptive_selection_leaves_the_sampled_law_alone(target, drafters):
    """The selector's choice depends on the first token; the second must not depend on it."""
    sampling = Sampling(2.0, top_k=4)
    prompt = prompt_with_doubt(target, drafters, sampling)
    law = law_of_two_tokens(target, prompt, sampling)
    counts = np.zeros_like(law)
    used = set()
    decoder = LiveDecoder(
        target, drafters, "exp3spec", DecoderSettings(sampling=sampling, draft_length=1)
    )
    for run in range(600):
        answer = decoder.generate(prompt, 2, run)
        counts[tuple([*answer.tokens, 0][:2])] += 1
        used |= {done.drafter for done in answer.rounds}
    assert chi_square_p(counts, law) > 1e-3
    assert len(used) == len(drafters)


def logged(tiny_models, specifications, tmp_path, selector: str, temperature: float, *options: str):
    """A log made by the command line."""
    out = tmp_path / f"{selector}-{temperature}"
    command = [
        "live",
        "--target",
        tiny_models["target"],
        "--selector",
        selector,
        "--temperature",
        str(temperature),
        "--prompts",
        str(save_questions(tmp_path / "q.jsonl", 4)),
        "--max-new-tokens",
        "40",
        "--draft-length",
        "4",
        "--out",
        str(out),
        *options,
    ]
    for text in specifications:
        command += ["--drafter", text]
    assert main(command) == 0
    return out


@pytest.mark.matrix
@pytest.mark.parametrize(
    "selector", ["normalhedge", "exp3spec", "ucbspec", "metasd-ucb", "ftpl", "fixed:ngram", "none"]
)
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_replays_of_a_log_decide_as_live(
    tiny_models, specifications, tmp_path, capsys, selector, temperature
):
    out = logged(tiny_models, specifications, tmp_path, selector, temperature)
    rounds = pl.read_parquet(out / "rounds.parquet")
    assert check_fidelity(out) == len(rounds) > 20
    trace = read_trace(out / "trace")
    assert trace.manifest.tokens == rounds["emitted"].sum()
    assert (rounds["emitted"] <= rounds["drafted"] + 1).all()
    assert main(["fidelity", str(out)]) == 0
    assert "every decision replayed" in capsys.readouterr().out


def test_a_replay_charges_what_was_drafted_live(tiny_models, specifications, tmp_path, capsys):
    """A lookup that finds nothing drafts nothing; where the answer's end cut a draft, live had less
    room than a replay knows of."""
    out = logged(tiny_models, specifications, tmp_path, "fixed:prompt-lookup", 0.8)
    rounds, trace = pl.read_parquet(out / "rounds.parquet"), read_trace(out / "trace")
    replayer = Replayer(trace, 4)
    starts = trace.offsets[rounds["query"].to_numpy()] + rounds["position"].to_numpy()
    arm = trace.manifest.drafter_names.index("prompt-lookup")
    room = trace.manifest.sampling.max_new_tokens - rounds["position"].to_numpy()
    drafted = np.minimum(replayer.arms.drafted(trace)[starts, arm], room)
    np.testing.assert_array_equal(drafted, rounds["drafted"].to_numpy())
    assert set(drafted) >= {0, 4}
    live, replayed = compare_seconds(out)
    parts = sum(rounds[f"seconds_{part}"].sum() for part in ("select", "draft", "verify"))
    assert live == pytest.approx(parts), "evaluations were for the log alone"
    path = out / "trace" / "manifest.json"
    document = json.loads(path.read_text())
    document["costs"]["overhead"] += 0.5
    path.write_text(json.dumps(document))
    assert compare_seconds(out)[1] == pytest.approx(replayed + 0.5 * len(rounds))
    assert main(["fidelity", str(out)]) == 0
    assert "s replayed under the log's costs (+" in (said := capsys.readouterr().out)
    live, replayed = passes_of(replayed_log(out))
    assert live == pytest.approx(rounds["seconds_verify"].sum())
    costs = trace.manifest.costs
    assert replayed == pytest.approx(sum(target_seconds(costs, rounds["drafted"].to_numpy() + 1)))
    assert f"of these {live:.3g} s and {replayed:.3g} s are the target's passes" in said


def test_rounds_in_which_the_machine_was_busy_are_told(
    tiny_models, specifications, tmp_path, capsys
):
    out = logged(tiny_models, specifications, tmp_path, "none", 0.0)
    rounds = pl.read_parquet(out / "rounds.parquet")
    for slow, told in (
        ([1.0] * len(rounds), False),
        ([1.0] * 20 + [90.0] + [1.0] * (len(rounds) - 21), True),
    ):
        rounds.with_columns(seconds_verify=pl.Series(slow)).write_parquet(out / "rounds.parquet")
        seal_results(out)
        assert main(["fidelity", str(out)]) == 0
        assert (
            "; 90 s live in 1 of the rounds, which took over three times" in capsys.readouterr().out
        ) == told


@pytest.mark.matrix
@pytest.mark.parametrize("rule", ["auto", "gumbel", "block", "multi:3", "tree"])
@pytest.mark.parametrize("static", [False, True])
def test_without_a_drafter_every_round_is_one_token(target, drafters, rule, static):
    if static and rule in ("multi:3", "tree"):
        pytest.skip("branches do not run on fixed tensors")
    pool = drafters[:2] if static else drafters
    read = []
    for drafter in pool:
        drafter.session = lambda of=drafter.session: read.append(of) or of()
    decoder = LiveDecoder(
        target,
        pool,
        "none",
        DecoderSettings(
            sampling=Sampling(0.0 if rule == "auto" else 0.8), rule=rule, static=static, seed=3
        ),
    )
    answer = decoder.generate(PROMPT, 20)
    assert all(done.drafted == 0 and len(done.tokens) == 1 for done in answer.rounds)
    assert not answer.statistics
    if rule == "auto":
        assert answer.tokens == plain_greedy(target, PROMPT, 20)
    drafting = decoder.with_selector("hedge")
    text = drafting.generate(PROMPT, 20).tokens
    assert any(done.drafted for done in drafting.generate(PROMPT, 20).rounds)
    if rule in ("auto", "gumbel"):  # whose text is the same whoever drafts
        assert text == answer.tokens
    assert drafting.with_selector("none").generate(PROMPT, 20).tokens == answer.tokens


@pytest.mark.matrix
@pytest.mark.parametrize(
    "options",
    [
        ("--feedback", "rounds:1"),
        ("--feedback", "every:2"),
        ("--feedback", "bold"),
        ("--feedback", "censored"),
        ("--loss", "accept"),
        ("--estimator", "rb"),
        ("--loss", "hybrid:0.5", "--estimator", "realised"),
        ("--feedback", "eliminate:0.5,0.125"),
        ("--feedback", "batch:2+eliminate:1,0.2", "--rule", "block"),
        ("--feedback", "limited:2"),
    ],
)
def test_replays_of_a_log_know_its_settings(tiny_models, specifications, tmp_path, options):
    out = logged(tiny_models, specifications, tmp_path, "normalhedge", 0.8, *options)
    assert check_fidelity(out) > 20


def test_a_changed_decision_or_statistic_is_named(tiny_models, specifications, tmp_path, capsys):
    out = logged(tiny_models, specifications, tmp_path, "normalhedge", 0.8)
    rounds = pl.read_parquet(out / "rounds.parquet")
    other = next(name for name in rounds["drafter"].unique() if name != rounds["drafter"][12])
    changed = rounds.with_row_index().with_columns(
        pl.when(pl.col("index") == 12).then(pl.lit(other)).otherwise("drafter").alias("drafter")
    )
    changed.drop("index").write_parquet(out / "rounds.parquet")
    seal_results(out)
    assert main(["fidelity", str(out)]) == 1
    query, position = rounds["query"][12], rounds["position"][12]
    assert (
        f"first in round 12 (query {query}, position {position}), field drafter"
        in capsys.readouterr().err
    )
    moved = [
        [weight + 1e-15 for weight in row] if number == 20 else row
        for number, row in enumerate(rounds["weights"].to_list())
    ]
    rounds.with_columns(weights=pl.Series(moved)).write_parquet(out / "rounds.parquet")
    seal_results(out)
    with pytest.raises(HedgespecError, match=r"first in round 20 .* field weights"):
        check_fidelity(out)
    rounds.filter(pl.int_range(pl.len()) != 7).write_parquet(out / "rounds.parquet")
    seal_results(out)
    with pytest.raises(HedgespecError, match="do not cover the trace's tokens"):
        check_fidelity(out)


def test_a_log_keeps_the_loss_and_the_seconds_it_took(target, drafters, tmp_path):
    """Whatever costs the trace of the log may hold: the seconds were given to the decoder."""
    decoder = LiveDecoder(
        target,
        drafters,
        "normalhedge",
        DecoderSettings(
            sampling=Sampling(0.8),
            draft_length=4,
            evaluate_all=True,
            timed=True,
            round_seconds=(1.0, 3.0, 2.0, 2.5, 4.0),
            feedback="every:2",
        ),
    )
    log = LiveLog(tmp_path / "log", decoder, LogSettings("made", 40))
    query = Query.of(target.tokenizer, 0, Question("q", "made", ["w1 w2 w3 w1 w2"]), [], 40)
    log.add(query, decoder.generate(query.prompt, 40, 0))
    log.finish()
    assert json.loads((tmp_path / "log" / "run.json").read_text())["loss"] == "seconds:gamma"
    assert check_fidelity(tmp_path / "log") > 5


def test_a_log_says_how_far_its_costs_are_from_its_rounds(target, drafters, tmp_path):
    decoder = LiveDecoder(
        target,
        drafters,
        "uniform",
        DecoderSettings(sampling=Sampling(0.8), draft_length=4, evaluate_all=True, timed=True),
    )
    query = Query.of(target.tokenizer, 0, Question("q", "made", ["w1 w2 w3 w1 w2"]), [], 30)
    answer = decoder.generate(query.prompt, 30, 0)
    one = float(np.median([one.seconds["verify"] for one in answer.rounds]))
    slower = {}
    for scale in (1.0, 2.0):
        costs = Costs(
            "a CPU",
            "float32",
            20,
            4,
            TargetCosts(scale * one, scale * one),
            {drafter.name: DrafterCosts(1.0, 1.0, 1.0) for drafter in drafters},
        )
        log = LiveLog(tmp_path / f"log-{scale}", decoder, LogSettings("made", 30))
        log.costs = costs
        assert log.slower_than_costs is None
        log.add(query, answer)
        slower[scale] = log.slower_than_costs
    assert 0.5 < slower[1.0] < 1.5
    assert slower[2.0] == pytest.approx(slower[1.0] / 2)


def test_logged_losses_are_the_replays_and_a_changed_one_is_named(
    tiny_models, specifications, tmp_path
):
    out = logged(tiny_models, specifications, tmp_path, "normalhedge", 0.8)
    trace, losses = read_trace(out / "trace"), pl.read_parquet(out / "losses.parquet")
    at = trace.offsets[losses["query"].to_numpy()] + losses["position"].to_numpy()
    np.testing.assert_array_equal(
        np.array(losses["losses"].to_list()), Replayer(trace, 4).losses(parse_loss("accept"))[at]
    )
    run = json.loads((out / "run.json").read_text())
    assert (run["feedback"], run["loss"]) == ("queued", "accept"), "those in force"
    assert len(losses) > 40
    query, position, values = losses.row(30)
    moved = [*values[:1], values[1] + 1e-15, *values[2:]]
    rows = losses["losses"].to_list()
    rows[30] = moved
    losses.with_columns(losses=pl.Series(rows)).write_parquet(out / "losses.parquet")
    seal_results(out)
    name = trace.manifest.drafter_names[1]
    with pytest.raises(
        HedgespecError,
        match=(f"first in the loss of {name} at query {query}, position {position}: live"),
    ):
        check_fidelity(out)
    losses.filter(pl.int_range(pl.len()) != 30).write_parquet(out / "losses.parquet")
    seal_results(out)
    with pytest.raises(
        HedgespecError,
        match=(
            f"first in what is learned: live query .*, replayed query {query}, position {position}"
        ),
    ):
        check_fidelity(out)


def test_another_seed_decides_otherwise(tiny_models, specifications, tmp_path):
    out = logged(tiny_models, specifications, tmp_path, "exp3spec", 0.8)
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**run, "seed": run["seed"] + 1}))
    with pytest.raises(HedgespecError, match="field drafter"):
        check_fidelity(out)


class Faulty(DraftSession):
    """Drafts like another session until its patience ends."""

    def __init__(self, session: DraftSession, fault: Callable[[], "torch.Tensor"], patience: int):
        super().__init__()
        self._session, self._fault, self._left = session, fault, patience

    def step(self, token):
        self._left -= 1
        return self._session.step(token) if self._left > 0 else self._fault()

    def _extend(self, tokens, states, rows):
        self._session.verified = self.verified
        return self._session._extend(tokens, states, rows)

    def _cut(self, length):
        self._session._cut(length)


def out_of_memory() -> "torch.Tensor":
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def defect() -> "torch.Tensor":
    raise RuntimeError("a defect\nwith more lines")


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (defect, "RuntimeError: a defect"),
        (out_of_memory, "OutOfMemoryError"),
        (lambda: torch.full((64,), torch.nan), "NaN"),
    ],
)
@pytest.mark.parametrize("selector", ["normalhedge", "ucbspec"])
def test_a_faulty_drafter_is_dropped_and_the_text_stays(
    target, drafters, monkeypatch, fault, reason, selector
):
    sound = drafters[0].session
    monkeypatch.setattr(drafters[0], "session", lambda: Faulty(sound(), fault, 3))
    decoder = LiveDecoder(
        target, drafters, selector, DecoderSettings(sampling=Sampling(0.0), draft_length=4)
    )
    with pytest.warns(RuntimeWarning, match=f"drafter lm is dropped.*{reason}"):
        answer = decoder.generate(PROMPT, 40)
    assert answer.tokens == plain_greedy(target, PROMPT, 40)
    assert reason in decoder.dropped["lm"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        assert decoder.generate([17], 20).tokens == plain_greedy(target, [17], 20)


def test_ctrl_c_keeps_the_text_and_the_log(
    tiny_models, specifications, tmp_path, monkeypatch, capsys
):
    """The third answer is interrupted after some rounds."""
    real = Rounds._round

    def interrupted(self):
        if self._request.query == 2 and len(self._answer.rounds) > 4:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(Rounds, "_round", interrupted)
    out = tmp_path / "log"
    command = [
        "live",
        "--target",
        tiny_models["target"],
        "--temperature",
        "0.8",
        "--prompts",
        str(save_questions(tmp_path / "q.jsonl", 4)),
        "--out",
        str(out),
        "--max-new-tokens",
        "40",
        "--drafter",
        "ngram",
        "--drafter",
        "early-exit:3",
    ]
    assert main(command) == 130
    assert "interrupted" in capsys.readouterr().out
    assert read_trace(out / "trace").manifest.queries == 3
    assert check_fidelity(out) > 5


@pytest.fixture
def inputs(target) -> dict[str, "torch.Tensor"]:
    ids = torch.tensor([PROMPT])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 30},
        {"max_new_tokens": 30, "repetition_penalty": 1.7},
        {"max_new_tokens": 25, "no_repeat_ngram_size": 2},
        {"max_new_tokens": 30, "min_new_tokens": 30},
        {"max_new_tokens": 1},
        {"max_length": 20},
    ],
)
def test_generate_gives_the_same_greedy_text_with_and_without_drafters(
    target, drafters, inputs, options
):
    decoder = LiveDecoder(target, drafters, "normalhedge")
    expected = target.model.generate(**inputs, do_sample=False, **options)
    found = target.model.generate(
        **inputs, do_sample=False, custom_generate=speculative_generate, decoder=decoder, **options
    )
    assert found.tolist() == expected.tolist()
    assert len(decoder.last.tokens) == found.shape[1] - len(PROMPT)


def test_generate_stops_where_criteria_say_and_streams(target, drafters, inputs):
    class Streamer:
        def __init__(self):
            self.tokens, self.ended = [], False

        def put(self, value):
            self.tokens += value.flatten().tolist()

        def end(self):
            self.ended = True

    streamer = Streamer()
    decoder = LiveDecoder(target, drafters, "hedge")
    whole = target.model.generate(**inputs, do_sample=False, max_new_tokens=30)[0].tolist()

    def seven(ids, scores, **_):
        return torch.tensor([ids.shape[1] >= len(PROMPT) + 7])

    found = target.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=30,
        stopping_criteria=StoppingCriteriaList([seven, MaxTimeCriteria(1000)]),
        custom_generate=speculative_generate,
        decoder=decoder,
        token_streamer=streamer,
    )[0].tolist()
    assert found == whole[: len(PROMPT) + 7] == streamer.tokens
    assert streamer.ended


def test_generate_samples_from_the_warped_law(target, drafters):
    sampling = Sampling(2.0, top_k=4)
    prompt = prompt_with_doubt(target, drafters, sampling)
    law = law_of_two_tokens(target, prompt, sampling)
    counts = np.zeros_like(law)
    ids = torch.tensor([prompt])
    for run in range(300):
        decoder = LiveDecoder(
            target, drafters, "uniform", DecoderSettings(seed=run, draft_length=2)
        )
        found = target.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=2.0,
            top_k=4,
            max_new_tokens=2,
            custom_generate=speculative_generate,
            decoder=decoder,
        )
        counts[tuple([*found[0, len(prompt) :].tolist(), 0][:2])] += 1
    assert chi_square_p(counts, law) > 1e-3


def test_generate_refuses_what_it_cannot_do(target, drafters, inputs, tiny_models):
    decoder = LiveDecoder(target, drafters, "hedge")
    both = {name: torch.cat([tensor, tensor]) for name, tensor in inputs.items()}
    call = {"custom_generate": speculative_generate, "max_new_tokens": 3}
    with pytest.raises(HedgespecError, match="one text at a time, not a batch of 2"):
        target.model.generate(**both, decoder=decoder, **call)
    other = load_model(tiny_models["target"], "cpu", "float32")
    with pytest.raises(HedgespecError, match="made for another model"):
        other.model.generate(**inputs, decoder=decoder, **call)


@pytest.mark.parametrize(
    ("selector", "options", "message"),
    [
        ("nobody", {}, "unknown selector 'nobody'"),
        ("fixed:nobody", {}, "there is no such arm; the pool has lm, early-exit-3"),
        ("hedge", {"draft_length": 0}, "draft_length must be at least 1, not 0"),
        ("oracle", {}, "unknown selector"),
    ],
)
def test_bad_settings_are_told(target, drafters, selector, options, message):
    with pytest.raises(HedgespecError, match=message):
        LiveDecoder(target, drafters, selector, DecoderSettings(**options))
    with pytest.raises(HedgespecError, match="there is no drafter"):
        LiveDecoder(target, [], "hedge")


@pytest.mark.matrix
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_learner_decodes(target, drafters, name):
    decoder = LiveDecoder(target, drafters, name, DecoderSettings(sampling=Sampling(0.8)))
    assert decoder.generate(PROMPT, 12).tokens


def test_the_documentation_runs(tiny_models):
    text = (Path(__file__).parents[2] / "docs" / "live.md").read_text()
    first, in_memory, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    first = first.replace("smollm2-135m-instruct", tiny_models["target"])
    first = first.replace("exit:25", "exit:3")
    target, small = (
        load_model(tiny_models[name], "cpu", "float32") for name in ("target", "drafter")
    )
    memory: dict[str, object] = {
        "model": target.model,
        "tokenizer": target.tokenizer,
        "small_model": small.model,
    }
    exec(in_memory.replace("exit:25", "exit:3"), memory)
    assert memory["text"]
    names: dict[str, object] = {}
    exec(first, names)
    exec(second.replace("200", "20"), names)
    assert (
        names["decoder"].last.tokens
        == names["texts"][0, names["inputs"]["input_ids"].shape[1] :].tolist()
    )
