"""Recorded statistics are what the models' full logits say, however the work was cut up."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models.fitting import in_fitting_pieces  # noqa: E402
from hedgespec.tracegen import record as record_module  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question, read_questions  # noqa: E402
from hedgespec.tracegen.queries import batches  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.brute_force import brute_force, log_rounding, prompt_of  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

DRAFTERS = ("lm:{drafter}", "early-exit:2", "early-exit:3", "prompt-lookup:2", "ngram:2")


@pytest.fixture
def settings(tiny_models: dict[str, str], tmp_path: Path) -> RecordSettings:
    drafters = tuple(text.format(**tiny_models) for text in DRAFTERS)
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl"),
        out=tmp_path / "trace",
        name="tiny",
        drafters=drafters,
        max_new_tokens=40,
        batch_size=4,
        precision="full",
        costs=False,
    )


def brute_force_embedding(folder: str, prompt: list[int]) -> np.ndarray:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        return model.model(torch.tensor([prompt])).last_hidden_state[0].mean(dim=0).numpy()


def passed(*asked) -> tuple[np.ndarray, dict[str, float]]:
    """Brute force, and how near logs can be to it: a pass in float32 rounds logits of 10 and more,
    each machine in its own way."""
    p = brute_force(*asked)
    rounding = log_rounding(p, brute_force(*asked, dtype=torch.float64))
    return p, {"rtol": 0, "atol": 1e-5 + rounding}


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"), [(1.0, 1.0, 0), (0.7, 1.0, 0), (1.5, 0.8, 20)]
)
def test_statistics_equal_brute_force_from_full_logits(
    settings, tiny_models, temperature, top_p, top_k
):
    settings = replace(settings, temperature=temperature, top_p=top_p, top_k=top_k)
    record(settings)
    trace = read_trace(settings.out)
    names = trace.manifest.drafter_names
    assert names == ["drafter", "early-exit-2", "early-exit-3", "prompt-lookup", "ngram"]
    answers = {
        row["query_id"]: trace.tokens[trace.offsets[row["query"]] : trace.offsets[row["query"] + 1]]
        for row in trace.queries.iter_rows(named=True)
    }
    assert any("/" in query_id for query_id in answers), "second turns are recorded too"
    for row in trace.queries.iter_rows(named=True):
        span = slice(trace.offsets[row["query"]], trace.offsets[row["query"] + 1])
        answer = answers[row["query_id"]].tolist()
        prompt = prompt_of(settings, row["query_id"], answers)
        assert row["prompt_tokens"] == len(prompt)
        close = dict(rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            row["prompt_embedding"], brute_force_embedding(settings.target, prompt), **close
        )
        index = np.arange(len(answer))
        text = (prompt + answer, len(prompt), temperature)
        p, log_close = passed(settings.target, *text, None, top_p, top_k)
        np.testing.assert_allclose(trace.log_p[span], np.log(p[index, answer]), **log_close)
        models = [(tiny_models["drafter"], None), (settings.target, 2), (settings.target, 3)]
        for drafter, (folder, layers) in enumerate(models):
            q, log_close = passed(folder, *text, layers, top_p, top_k)
            top = q.argmax(axis=1)
            with np.errstate(divide="ignore"):
                log_q = np.log(q[index, answer])
            found = (span, 0, drafter)
            np.testing.assert_allclose(trace.log_q[found], log_q, **log_close)
            np.testing.assert_allclose(trace.gamma[found], np.minimum(p, q).sum(axis=1), **close)
            np.testing.assert_allclose(trace.p_top[found], p[index, top], **close)
            np.testing.assert_array_equal(trace.match[found], top == answer)


def test_context_drafters_equal_a_plain_search(settings):
    record(settings)
    trace = read_trace(settings.out)
    row = trace.queries.row(0, named=True)
    span = slice(trace.offsets[0], trace.offsets[1])
    answer = trace.tokens[span].tolist()
    prompt = prompt_of(settings, row["query_id"], {})
    tokens = prompt + answer
    for step, token in enumerate(answer):
        here = len(prompt) + step
        found: list[int] = []
        for n in (2, 1):
            found = [
                tokens[end]
                for end in range(n, here)
                if tokens[end - n : end] == tokens[here - n : here]
            ]
            if found:
                break
        lookup, ngram = trace.log_q[span][step, 0, 3:5]
        assert lookup == (0.0 if found and found[-1] == token else -np.inf)
        share = found.count(token) / len(found) if found else 0.0
        assert np.exp(ngram) == pytest.approx(share, abs=1e-6)


def test_greedy_text_is_the_argmax_and_all_statistics_are_zero_or_one(settings, tiny_models):
    settings = replace(settings, temperature=0.0, precision="compact")
    record(settings)
    trace = read_trace(settings.out)
    answer = trace.tokens[: trace.offsets[1]].tolist()
    prompt = prompt_of(settings, "0", {})
    p = brute_force(settings.target, prompt + answer, len(prompt), 1.0)
    q = brute_force(tiny_models["drafter"], prompt + answer, len(prompt), 1.0)
    assert p.argmax(axis=1).tolist() == answer
    np.testing.assert_array_equal(trace.match[: len(answer), 0, 0], q.argmax(axis=1) == answer)
    np.testing.assert_array_equal(trace.gamma, trace.match.astype(np.float32))
    assert not trace.log_p.any()


def same_tables(left: Path, right: Path, **tolerance: float) -> None:
    for name in ("queries.parquet", "tokens-00000.parquet"):
        a, b = pl.read_parquet(left / name), pl.read_parquet(right / name)
        assert a.columns == b.columns
        assert_frame_equal(a, b, check_exact=not tolerance, **tolerance)


def test_batched_equals_unbatched(settings, tmp_path):
    record(settings)
    record(replace(settings, batch_size=1, out=tmp_path / "single"))
    same_tables(settings.out, tmp_path / "single", abs_tol=1e-5, rel_tol=1e-5)


def test_nucleus_keeps_every_emitted_token(settings):
    settings = replace(settings, top_p=0.8, top_k=20)
    record(settings)
    trace = read_trace(settings.out)
    assert np.isfinite(trace.log_p).all()
    assert np.isneginf(trace.log_q[:, 0, 0]).any(), "the drafter's nucleus leaves tokens out"


def test_emitted_tokens_follow_the_recorded_distribution(settings):
    """If x ~ p then -log p(x) has the entropy's mean: compare across all recorded tokens."""
    record(replace(settings, max_new_tokens=120))
    trace = read_trace(settings.out)
    u = np.exp(trace.log_p)
    prompt = prompt_of(settings, "0", {})
    answer = trace.tokens[: trace.offsets[1]].tolist()
    p = brute_force(settings.target, prompt + answer, len(prompt), 1.0)
    expected, spread = (p * p).sum(axis=1), None
    spread = np.sqrt(((p**3).sum(axis=1) - expected**2).sum())
    assert abs(u[: len(answer)].sum() - expected.sum()) < 4 * spread


def recording(settings, out):
    """The command that records into `out` what `settings` say."""
    return [
        sys.executable,
        "-m",
        "hedgespec",
        "record",
        "--target",
        settings.target,
        "--prompts",
        str(settings.prompts),
        "--out",
        str(out),
        "--name",
        "tiny",
        "--max-new-tokens",
        "40",
        "--batch-size",
        "4",
        "--precision",
        "full",
        "--device",
        "cpu",
        *(part for drafter in settings.drafters for part in ("--drafter", drafter)),
    ]


def test_resumed_after_kill_equals_uninterrupted(settings, tmp_path):
    """kill -9 in mid-recording, twice; then --resume."""
    record(settings)
    out = tmp_path / "killed"
    command = [*recording(settings, out), "--no-costs"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    kept = 0
    for extra in ([], ["--resume"]):
        process = subprocess.Popen(command + extra, env=environment, stderr=subprocess.DEVNULL)
        parts = out / "parts"
        while process.poll() is None and len(list(parts.glob("*.queries.parquet"))) <= kept:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (out / "manifest.json").exists(), "killed too late to test anything"
        now = len(list(parts.glob("*.queries.parquet")))
        assert now > kept, "finished batches survive"
        kept = now
    assert main([*command[3:], "--resume"]) == 0
    same_tables(settings.out, out, abs_tol=1e-5, rel_tol=1e-5)
    assert not (out / "parts").exists()


def test_two_parts_make_the_trace_of_one(settings, tmp_path):
    """Each batch is recorded by one of two processes; the first merges."""
    record(settings)
    out = tmp_path / "parts"
    command = recording(settings, out)
    torchrun = {**os.environ, "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}
    running = [
        subprocess.Popen([*command, "--part", "0/2"], stderr=subprocess.PIPE, text=True),
        subprocess.Popen(command, env=torchrun, stderr=subprocess.PIPE, text=True),
    ]
    for process in running:
        assert process.wait(240) == 0, process.stderr.read()
    same_tables(settings.out, out, abs_tol=1e-5, rel_tol=1e-5)
    assert not (out / "parts").exists()
    recorded = [
        json.loads((folder / "manifest.json").read_text())["recording"]
        for folder in (settings.out, out)
    ]
    assert recorded[1]["tokens_in_these_seconds"] < recorded[0]["tokens_in_these_seconds"]


@pytest.mark.parametrize("part", ["2/2", "1", "-1/2", "1/0", "a/b"])
def test_parts_that_make_no_sense_are_told(settings, part):
    with pytest.raises(HedgespecError, match="expected I/N"):
        record(replace(settings, part=part))
    assert not settings.out.exists()


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([10, 12, 11], [[12, 11, 10]]),
        ([1200, 50, 60, 40, 55], [[1200], [60, 55, 50, 40]]),  # else most of each row is padding
        ([5, 6, 7, 8, 9], [[9, 8, 7, 6], [5]]),
        ([180, 70], [[180, 70]]),
    ],
)
def test_prompts_of_similar_length_are_written_together(lengths, expected):
    queries = [
        SimpleNamespace(prompt=[0] * length, limit=40, number=number)
        for number, length in enumerate(lengths)
    ]
    found = [[len(query.prompt) for query in batch] for batch in batches(queries, 4, 4096)]
    assert found == expected


def test_resume_refuses_other_settings(settings, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record_module._Recorder, "_record_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(settings)
    monkeypatch.undo()
    with pytest.raises(HedgespecError, match="unfinished recording; add resume=True"):
        record(settings)
    with pytest.raises(HedgespecError, match="cannot resume: seed was 0 and is now 1"):
        record(replace(settings, seed=1, resume=True))
    record(replace(settings, resume=True))
    with pytest.raises(HedgespecError, match="already holds a whole trace"):
        record(replace(settings, resume=True))


@pytest.fixture
def interrupted(settings, monkeypatch) -> RecordSettings:
    """Settings of a recording that was stopped after its first batch."""
    real = record_module._Recorder._record_batch
    done = []

    def one_batch(self, name, batch):
        if done:
            raise KeyboardInterrupt
        done.append(name)
        return real(self, name, batch)

    monkeypatch.setattr(record_module._Recorder, "_record_batch", one_batch)
    with pytest.raises(KeyboardInterrupt):
        record(settings)
    monkeypatch.undo()
    return replace(settings, resume=True)


def test_damaged_leftovers_are_named(interrupted):
    part = next((interrupted.out / "parts").glob("*.tokens.parquet"))
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(HedgespecError, match=f"{part.name}: not readable as Parquet"):
        record(interrupted)
    part.write_bytes(whole)
    (interrupted.out / "recording.json").write_text("[]")
    with pytest.raises(HedgespecError, match="cannot resume"):
        record(interrupted)


def test_leftovers_of_killed_processes_are_removed(interrupted):
    (interrupted.out / "parts" / ".x.123.tmp").write_text("half")
    (interrupted.out / ".queries.parquet.123.tmp").write_text("half")
    record(interrupted)
    assert {path.name for path in interrupted.out.iterdir()} == {
        "manifest.json",
        "queries.parquet",
        "tokens-00000.parquet",
    }
    # killed just after the manifest was written: reading works, the rest goes with the next call
    (interrupted.out / "parts").mkdir()
    (interrupted.out / "recording.json").write_text("{}")
    read_trace(interrupted.out)
    with pytest.raises(HedgespecError, match="already holds a whole trace"):
        record(interrupted)
    assert not (interrupted.out / "parts").exists()
    assert not (interrupted.out / "recording.json").exists()


def test_square_brackets_in_the_folders_name(settings, tmp_path):
    record(replace(settings, out=tmp_path / "z[1]"))
    assert read_trace(tmp_path / "z[1]").name == "tiny"


def test_nothing_is_loaded_when_the_output_cannot_be_written(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HedgespecError, match="is a file, not a folder"):
        record(replace(settings, out=tmp_path / "file", target="/no/such/model"))


def save_learned_positions(folder: Path, tokenizer_of: str, context: int) -> str:
    """A random GPT-2, which fails beyond its context instead of extrapolating."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=context,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    model.save_pretrained(folder)
    return str(folder)


def test_answers_stay_within_the_contexts_of_target_and_drafters(settings, tiny_models, tmp_path):
    long_and_short = tmp_path / "lengths.jsonl"
    long_and_short.write_text(
        "\n".join(
            json.dumps({"question_id": count, "turns": ["w1 " * count, "w2"]})
            for count in (28, 3, 20, 5)
        )
    )
    small = save_learned_positions(tmp_path / "small", settings.target, 32)
    wide = save_learned_positions(tmp_path / "wide", settings.target, 64)
    manifest = record(
        replace(
            settings,
            target=wide,
            prompts=long_and_short,
            max_new_tokens=20,
            drafters=(f"lm:{small}", "early-exit:1"),
        )
    )
    queries = read_trace(settings.out).queries
    assert (queries["prompt_tokens"] + queries["output_tokens"]).max() <= 32
    assert "28/1" in manifest.recording["left_out_for_lack_of_context"]
    assert set(queries["query_id"]) >= {"28", "3", "20", "5"}


def test_memory_shortage_shrinks_the_batch_and_changes_nothing(settings, tmp_path, monkeypatch):
    record(settings)
    real = record_module.generate_answers
    sizes = []

    def tight(target, prompts, *rest):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(target, prompts, *rest)

    monkeypatch.setattr(record_module, "generate_answers", tight)
    record(replace(settings, out=tmp_path / "tight"))
    assert max(sizes) == 4
    same_tables(settings.out, tmp_path / "tight", abs_tol=1e-5, rel_tol=1e-5)


def test_a_single_query_that_does_not_fit_is_a_clear_error():
    def never(_: object) -> list[int]:
        raise torch.OutOfMemoryError

    with pytest.raises(HedgespecError, match="out of memory with a single query"):
        in_fitting_pieces(never, [1, 2, 3])


def test_another_tokenizer_is_refused(settings, tiny_models):
    with pytest.raises(HedgespecError, match="its tokenizer differs from the target's"):
        record(replace(settings, drafters=(f"lm:{tiny_models['other']}",)))
    assert not settings.out.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "/no/such/model"}, "cannot load model '/no/such/model'"),
        ({"target": "/no/such/model.gguf"}, "no such GGUF file"),
        ({"drafters": ("telepathy:3",)}, "unknown family 'telepathy'"),
        ({"drafters": ("early-exit:4",)}, "the layer must be a number from 1 to 3"),
        ({"drafters": ("ngram:0",)}, "must lie in 1..99"),
        ({"drafters": ("ngram", "ngram:2")}, "two drafters are called 'ngram'"),
        ({"temperature": -1.0}, "^temperature must be 0"),
        ({"temperature": 1e-40}, "^temperature must be 0"),
        ({"top_p": 0.0}, "^top_p must lie in"),
        ({"drafters": ("Big=ngram",)}, "drafter name 'Big' may hold only a-z"),
        ({"drafters": ("ngram:²",)}, "must lie in 1..99"),
        ({"seed": -1}, "^seed must be at least 0, not -1"),
        ({"seed": 10**23}, "^seed must be at most 9223372036854775807, not 1000"),
        ({"name": "m[/foo]"}, "a trace's name may hold"),
        ({"per_domain": 0}, "^per_domain must be at least 1"),
        ({"max_new_tokens": 0}, "^max_new_tokens must be at least 1"),
        ({"prompts": Path("/no/such/file")}, "cannot read prompts"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(settings, change, message):
    with pytest.raises(HedgespecError, match=message):
        record(replace(settings, **change))
    assert not settings.out.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not a question"),
        ('{"question_id": 1}', "line 1: not a question"),
        ('{"question_id": 1, "turns": []}', '"turns" must be a list'),
        ('{"question_id": 1, "turns": ["a", ""]}', '"turns" must be a list'),
        ('{"question_id": 1, "turns": ["a"]}\n{"question_id": 1, "turns": ["b"]}', "appears twice"),
        ('{"question_id": 1, "turns": ["' + "w1 " * 300 + '"]}', "300 prompt tokens"),
        ('{"question_id": 1, "category": ["math"], "turns": ["a"]}', "neither a text nor a number"),
        (
            '{"question_id": 1, "category": "a\\u0000b", "turns": ["a"]}',
            '"category" .* control char',
        ),
        ('{"question_id": 1, "question_id": 2, "turns": ["a"]}', "'question_id' stands twice"),
        ('{"question_id": "", "turns": ["a"]}', '"question_id" is empty'),
        ('{"question_id": 1, "turns": ["\\ud800"]}', "half a surrogate pair"),
        (
            '{"question_id": "1/1", "turns": ["a"]}\n{"question_id": 1, "turns": ["a", "b"]}',
            "twice",
        ),
        ("[" * 100_000, "line 1: not a question"),
        ("", "holds no question"),
    ],
)
def test_bad_question_files(settings, tmp_path, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(line)
    with pytest.raises(HedgespecError, match=message):
        record(replace(settings, prompts=path))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ('{"question_id": 0, "category": "", "turns": ["a"]}', [("0", "none")]),
        ('{"question_id": 0, "category": null, "turns": ["a"]}', [("0", "none")]),
        (
            '{"category": "math", "turns": ["a"]}\n\n{"question_id": null, "turns": ["b"]}',
            [("line-1", "math"), ("line-3", "none")],
        ),
        ('\ufeff{"question_id": 7, "turns": ["a"]}\r\n', [("7", "none")]),
        (
            '{"question_id": 7, "category": "math", "turns": ["a"]}\n'
            '{"question_id": 7, "category": "code", "turns": ["b", "c"]}',
            [("7", "math"), ("code-7", "code")],
        ),
    ],
)
@pytest.mark.filterwarnings('ignore:.* have no "category"')
def test_question_files_of_the_field_are_read(tmp_path, lines, found):
    path = tmp_path / "questions.jsonl"
    path.write_text(lines, encoding="utf-8")
    assert [(question.id, question.domain) for question in read_questions(path)] == found


def test_questions_without_a_category_are_told(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"turns": ["a"]}\n{"turns": ["b"], "category": "math"}\n{"turns": ["c"]}')
    with pytest.warns(UserWarning, match='2 of 3 questions have no "category": they are all of'):
        read_questions(path)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no system turn') }}",
        "{{ tools.names.first }}",
        "{% if %}",
        "",
        {"chat": "x", "tools": "y"},
    ],
)
def test_chat_templates_that_fail_are_one_clear_error(tiny_models, template):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    tokenizer.chat_template = template or "{% if false %}x{% endif %}"
    with pytest.raises(HedgespecError, match="chat template"):
        Query.of(tokenizer, 0, Question("1", "a", ["w1"]), [], 5)


def templated(folder: Path, tiny_models: dict[str, str], text: str) -> str:
    """A folder of the tiny target with a chat template."""
    if not folder.exists():
        shutil.copytree(tiny_models["target"], folder)
    (folder / "chat_template.jinja").write_text(text)
    return str(folder)


LATER_TURNS = "{{ messages[0]['content'] }}{% if messages|length > 1 %} w9{% endif %}"


@pytest.mark.parametrize(
    "tomorrow",
    ["w9 {{ messages[0]['content'] }}", "w9 w9 {{ messages[0]['content'] }}", LATER_TURNS],
)
def test_an_interrupted_recording_notices_other_prompts(
    settings, tiny_models, tmp_path, monkeypatch, tomorrow
):
    """A chat template may print the date, and in later turns only."""
    target = templated(tmp_path / "dated", tiny_models, "{{ messages[0]['content'] }}")
    settings = replace(settings, target=target, drafters=("ngram",))
    real = record_module._Recorder._record_batch

    def stop_late(self, name, batch):
        done = real(self, name, batch)
        if name.startswith("turn1"):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(record_module._Recorder, "_record_batch", stop_late)
    with pytest.raises(KeyboardInterrupt):
        record(settings)
    monkeypatch.undo()
    templated(tmp_path / "dated", tiny_models, tomorrow)
    with pytest.raises(HedgespecError, match=r"cannot resume: .*prompts"):
        record(replace(settings, resume=True))


def test_nan_from_a_drafter_stops_with_its_name(settings, monkeypatch):
    from hedgespec.models.drafters.early_exit import EarlyExit

    real = EarlyExit.logits
    monkeypatch.setattr(EarlyExit, "logits", lambda self, *rest: real(self, *rest) * torch.nan)
    with pytest.raises(HedgespecError, match="drafter early-exit-2 gave NaN logits"):
        record(settings)


def test_what_lookups_match_and_propose_is_recorded(settings):
    """Drafts are followed step by step, as they are decoded: they end before they begin, or not."""
    record(replace(settings, features=True))
    trace = read_trace(settings.out)
    assert json.loads((settings.out / "manifest.json").read_text())["version"] == 3
    drafters = {drafter.name: drafter for drafter in trace.manifest.drafters}
    assert drafters["ngram"].statistics == ("drafted", "matched", "q_top", "entropy")
    assert drafters["drafter"].statistics == ("q_top", "entropy")
    row = trace.queries.row(0, named=True)
    answer = trace.tokens[trace.offsets[0] : trace.offsets[1]].tolist()
    prompt = prompt_of(settings, row["query_id"], {})
    for step in range(len(answer)):
        text, drafted, matched = prompt + answer[:step], 0, 0
        while drafted < 6:
            length, follower = longest_match(text, 2)
            if length == 0:
                break
            matched = matched or length
            text, drafted = [*text, follower], drafted + 1
        for name in ("prompt-lookup", "ngram"):
            assert min(trace.optional[f"drafted/{name}"][step], 6) == drafted
            assert trace.optional[f"matched/{name}"][step] == matched


def longest_match(tokens: list[int], longest: int) -> tuple[int, int]:
    """Length of the longest earlier match of the last tokens, and what followed the latest."""
    here = len(tokens)
    for n in range(longest, 0, -1):
        for end in range(here - 1, n - 1, -1):
            if tokens[end - n : end] == tokens[here - n : here]:
                return n, tokens[end]
    return 0, -1


def test_how_sure_drafters_are_is_recorded_at_temperature_one(settings, tiny_models):
    settings = replace(settings, features=True, temperature=0.0)
    record(settings)
    trace = read_trace(settings.out)
    row = trace.queries.row(0, named=True)
    answer = trace.tokens[trace.offsets[0] : trace.offsets[1]].tolist()
    prompt = prompt_of(settings, row["query_id"], {})
    q = brute_force(tiny_models["drafter"], prompt + answer, len(prompt), 1.0, None, 1.0, 0)
    found = {
        name: trace.optional[f"{name}/drafter"][: len(answer)] for name in ("q_top", "entropy")
    }
    np.testing.assert_allclose(found["q_top"], q.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(found["entropy"], -(q * np.log(q)).sum(axis=1), atol=1e-4)
    lookup = trace.optional["q_top/prompt-lookup"]
    assert set(lookup) <= {0.0, 1.0}
    np.testing.assert_array_equal(lookup > 0, trace.optional["drafted/prompt-lookup"] > 0)
