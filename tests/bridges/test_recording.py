"""Traces recorded from servers hold the truth; wrong servers are refused, and nothing is lost."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("httpx")

from hedgespec.bridges import client as client_module
from hedgespec.bridges.answers import read_answers
from hedgespec.bridges.crew import as_finished
from hedgespec.bridges.record import record_from_servers
from hedgespec.bridges.settings import ServerSettings
from hedgespec.bridges.tokenizer import tokenizer_of
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.tracegen.settings import RecordSettings
from hedgespec.traces import read_trace
from tests.helpers import served
from tests.helpers.served import ENGINES, TinyModel, serving, tokenize, whole_law

TARGET = TinyModel(1)
DRAFTER = TinyModel(2, near=TARGET)
HOW = ServerSettings(concurrency=3, timeout=5, retries=1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(client_module, "_PAUSE", 0.001)
    monkeypatch.setattr(client_module.Client.__init__, "__defaults__", (0.001, None))
    monkeypatch.delenv("HEDGESPEC_API_KEY", raising=False)


@pytest.fixture
def questions(tmp_path) -> Path:
    path = tmp_path / "questions.jsonl"
    lines = [
        {
            "question_id": number,
            "category": f"d{number % 2}",
            "turns": [f"w{number + 5} w7", "w9"][: 1 + number % 2],
        }
        for number in range(6)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def settings(questions: Path, target, drafter, **changed) -> RecordSettings:
    return RecordSettings(
        **{
            "target": target.address,
            "prompts": questions,
            "out": questions.parent / "trace",
            "name": "served",
            "drafters": (f"small={drafter.address}",),
            "max_new_tokens": 24,
            "temperature": 0.7,
            "top_k": 6,
            "precision": "full",
            "draft_length": 3,
            **changed,
        }
    )


def served_tokenizer(engine: str, monkeypatch) -> ServerSettings:
    """SGLang renders no template: a tokenizer stands in."""
    if engine != "sglang":
        return HOW

    class Tokenizer:
        chat_template = "plain"

        def apply_chat_template(self, messages, **_):
            return "".join(f"{one['content']}\n" for one in messages)

        def __call__(self, text, **_):
            return {"input_ids": tokenize(text)}

        def decode(self, tokens, **_):
            return " ".join(f"w{token}" for token in tokens)

    monkeypatch.setattr("hedgespec.bridges.record.tokenizer_of", lambda *_: Tokenizer())
    return replace(HOW, tokenizer="stand-in")


def prompts_of(trace) -> list[list[int]]:
    """The prompt of each query; a second turn has the first answer in it."""
    found, texts = [], {}
    for number, name in enumerate(trace.queries["query_id"]):
        question, _, turn = name.partition("/")
        text = f"w{int(question) + 5} w7\n"
        if turn:
            text += f"{texts[question]}\nw9\n"
        found.append(tokenize(text))
        answer = trace.tokens[trace.offsets[number] : trace.offsets[number + 1]].tolist()
        ended = trace.queries["finish_reason"][number] == "eos"
        texts[question] = " ".join(f"w{token}" for token in answer[: -1 if ended else None])
    return found


def check_truth(trace, temperature: float, top_k: int, bounded: bool = False) -> None:
    """Every column is what whole distributions of both models give."""
    for number, prompt in enumerate(prompts_of(trace)):
        rows = slice(trace.offsets[number], trace.offsets[number + 1])
        tokens = trace.tokens[rows].astype(int)
        assert trace.queries["prompt_tokens"][number] == len(prompt)
        p, q = (
            whole_law(model.along(prompt, tokens.tolist()), temperature, top_k, 1.0)
            for model in (TARGET, DRAFTER)
        )
        at = np.arange(len(tokens))
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(trace.log_p[rows], np.log(p[at, tokens]), atol=1e-5)
            np.testing.assert_allclose(trace.log_q[rows, 0, 0], np.log(q[at, tokens]), atol=1e-5)
        assert (trace.match[rows, 0, 0] == (q.argmax(axis=1) == tokens)).all()
        gamma = np.minimum(p, q).sum(axis=1)
        if bounded:
            low, high = (
                trace.optional[f"{name}/small"][rows] for name in ("gamma_low", "gamma_high")
            )
            assert (low <= gamma + 1e-5).all()
            assert (gamma <= high + 1e-5).all()
        else:
            np.testing.assert_allclose(trace.gamma[rows, 0, 0], gamma, atol=1e-5)
            np.testing.assert_allclose(trace.p_top[rows, 0, 0], p[at, q.argmax(axis=1)], atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trace_from_servers_holds_the_truth(engine, questions, monkeypatch):
    how = served_tokenizer(engine, monkeypatch)
    with serving(engine, TARGET) as target, serving(engine, DRAFTER) as drafter:
        manifest = record_from_servers(settings(questions, target, drafter), how)
    trace = read_trace(questions.parent / "trace")
    assert manifest.queries == len(trace.queries) == 9
    check_truth(trace, 0.7, 6)
    assert trace.manifest.target.weights_sha256 is None
    assert trace.manifest.recording["servers"]["small"]["engine"] == engine
    assert trace.manifest.recording["gamma"] == "exact"
    assert ("log_softmax_gap" in trace.manifest.recording) == (engine != "sglang")
    assert "127.0.0.1" not in (questions.parent / "trace" / "manifest.json").read_text()
    assert Replayer(trace).expected_rounds.sum() < manifest.tokens


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, 0), (1.0, 0)])
def test_greedy_and_free_laws(temperature, top_k, questions):
    with serving("vllm", TARGET) as target, serving("llama-server", DRAFTER) as drafter:
        asked = settings(questions, target, drafter, temperature=temperature, top_k=top_k)
        record_from_servers(asked, replace(HOW, top_logprobs=8))
    trace = read_trace(asked.out)
    check_truth(trace, temperature, top_k, bounded=temperature == 1)
    bounds = trace.manifest.drafters[0].statistics
    assert bounds == (("gamma_low", "gamma_high") if temperature else ())
    assert ("bounded" in trace.manifest.recording["gamma"]) == bool(temperature)
    document = json.loads((asked.out / "manifest.json").read_text())
    assert document["version"] == 4


def test_what_bounds_and_missing_embeddings_mean_is_told(questions):
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER) as drafter:
        asked = settings(questions, target, drafter, temperature=1.0, top_k=0)
        record_from_servers(asked, replace(HOW, top_logprobs=8))
    with pytest.warns(UserWarning, match="trace served: gamma is known between bounds.*middle"):
        run_sweep([asked.out], SweepSettings(selectors=("fixed:small",), seeds=1))
    replayer = Replayer(read_trace(asked.out))
    with pytest.raises(HedgespecError, match="has no prompt embeddings"):
        replayer.check_router(None)


def test_a_whole_vocabulary_needs_no_top_k(questions):
    with serving("llama-server", TARGET) as target, serving("llama-server", DRAFTER) as drafter:
        record_from_servers(
            settings(questions, target, drafter, top_k=0), replace(HOW, top_logprobs=1000)
        )
    check_truth(read_trace(questions.parent / "trace"), 0.7, 0)


def test_given_answers_of_a_trace_and_of_a_file_are_scored(questions):
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER) as drafter:
        asked = settings(questions, target, drafter)
        record_from_servers(asked, HOW)
        first = read_trace(asked.out)
        again = replace(asked, out=questions.parent / "again")
        record_from_servers(again, replace(HOW, answers=asked.out))
        assert (read_trace(again.out).gamma == first.gamma).all()
        assert "log_softmax_gap" not in read_trace(again.out).manifest.recording
        with pytest.raises(HedgespecError, match=r"temperature.*sampled with 0\.7"):
            record_from_servers(
                replace(again, temperature=1.0, out=questions.parent / "other"),
                replace(HOW, answers=asked.out),
            )
        lines = [
            {"question_id": number, "choices": [{"turns": ["w4 w5 w6", "w8"]}]}
            for number in range(6)
        ]
        given = questions.parent / "answers.jsonl"
        given.write_text("\n".join(map(json.dumps, lines)))
        texts = replace(asked, out=questions.parent / "texts", temperature=1.0, top_k=0)
        record_from_servers(texts, replace(HOW, answers=given))
        assert read_trace(texts.out).tokens[:3].tolist() == [4, 5, 6]
        given.write_text(json.dumps(lines[0]))
        with pytest.raises(HedgespecError, match="no answer to question 1"):
            record_from_servers(
                replace(texts, out=questions.parent / "few"), replace(HOW, answers=given)
            )


REFUSED = {
    "off by one": ({"off_by_one": True}, "off by one"),
    "renormed": ({"renormed": True}, "processed"),
    "another tokenizer": (
        {"other_tokenizer": True},
        r"/tokenize.*tokens\[\d+\].*another tokenizer",
    ),
    "cap": ({"cap": 4}, "cap"),
}


def test_answers_of_a_file_must_be_texts_once_each(tmp_path):
    given = tmp_path / "answers.jsonl"
    good = {"question_id": 1, "choices": [{"turns": ["w4"]}]}
    for lines, message in (
        ([good, "{"], "answers.jsonl: line 2: is no JSON"),
        ([good, []], "line 2: is no JSON object"),
        ([good, {"question_id": 2}], "line 2: no answer; expected"),
        ([good, {**good, "choices": [{"turns": "w4"}]}], "line 2: no answer"),
        ([good, {**good, "choices": [{"turns": [None]}]}], "line 2: no answer"),
        ([good, {**good, "question_id": None}], "line 2: no answer"),
        ([good, good], "line 2: a second answer to question 1"),
    ):
        given.write_text(
            "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        )
        with pytest.raises(HedgespecError, match=message):
            read_answers(given)
    with pytest.raises(HedgespecError, match="nowhere: cannot be read"):
        read_answers(tmp_path / "nowhere")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_drafter_is_refused_before_anything_is_written(
    engine, fault, questions, monkeypatch
):
    wrong, message = REFUSED[fault]
    how = served_tokenizer(engine, monkeypatch)
    with serving(engine, TARGET) as target, serving(engine, DRAFTER, **wrong) as drafter:
        asked = settings(questions, target, drafter)
        with pytest.raises(HedgespecError, match=rf"server small.*{message}"):
            record_from_servers(asked, how)
    assert not asked.out.exists()


def test_processed_logs_of_written_tokens_are_refused(questions):
    with (
        serving("vllm", TARGET, processed=True) as target,
        serving("vllm", DRAFTER) as drafter,
        pytest.raises(HedgespecError, match=r"server target.*processed.*--logprobs-mode"),
    ):
        record_from_servers(settings(questions, target, drafter), HOW)


def test_lists_of_another_model_are_refused(questions):
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER) as drafter:
        monkeyed = TinyModel(9)
        target.scored = lambda text, start: [
            monkeyed.logs(text[:place]) for place in range(start, len(text))
        ]
        with pytest.raises(HedgespecError, match=r"server target.*differ by"):
            record_from_servers(settings(questions, target, drafter), HOW)


@pytest.mark.parametrize(
    "wrong", [{"dies_after": 14}, {"fails": range(15, 10_000)}], ids=["dies", "status 500"]
)
def test_what_was_recorded_before_a_server_failed_is_kept(wrong, questions):
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER, **wrong) as drafter:
        asked = settings(questions, target, drafter)
        with pytest.raises(HedgespecError, match=r"server small.*[1-9] of 9 answers are kept"):
            record_from_servers(asked, HOW)
        kept = {path.name: path.read_bytes() for path in (asked.out / "parts").glob("*.parquet")}
        assert kept
        with pytest.raises(HedgespecError, match="unfinished"):
            record_from_servers(asked, HOW)
        drafter.wrong.dies_after, drafter.wrong.fails = None, range(0)
        written = target.count
        manifest = record_from_servers(replace(asked, resume=True), HOW)
    assert manifest.queries == 9
    check_truth(read_trace(asked.out), 0.7, 6)
    assert target.count - written < 9 * 2 + 10, "answers that were there are not written anew"


def test_a_resumed_recording_must_be_the_same(questions):
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER, dies_after=14) as drafter:
        asked = settings(questions, target, drafter)
        with pytest.raises(HedgespecError):
            record_from_servers(asked, HOW)
        drafter.wrong.dies_after = None
        with pytest.raises(HedgespecError, match=r"temperature was 0\.7 and is now 1"):
            record_from_servers(replace(asked, resume=True, temperature=1.0), HOW)


def test_passing_faults_are_tried_again(questions):
    with (
        serving("vllm", TARGET, fails=range(3, 4)) as target,
        serving("vllm", DRAFTER, fails=range(5, 6)) as drafter,
    ):
        assert record_from_servers(settings(questions, target, drafter), HOW).queries == 9


def test_a_slow_server_is_told_with_its_time_out(questions):
    with (
        serving("vllm", TARGET, seconds=1.4) as target,
        serving("vllm", DRAFTER) as drafter,
        pytest.raises(HedgespecError, match=r"server target.*no reply within.*timeout 1"),
    ):
        record_from_servers(
            settings(questions, target, drafter), replace(HOW, timeout=1, retries=0)
        )


def test_nobody_there(questions, capsys):
    assert (
        main(
            [
                "record",
                "--target",
                "http://127.0.0.1:9",
                "--drafter",
                "small=http://127.0.0.1:9",
                "--prompts",
                str(questions),
                "--retries",
                "0",
                "--out",
                str(questions.parent / "none"),
            ]
        )
        == 1
    )
    assert re.search(
        r"hedgespec record: server target \(GET http://127.0.0.1:9/props\): no answer",
        capsys.readouterr().err,
    )


def test_a_prompt_whose_text_has_other_tokens_is_refused(questions, monkeypatch):
    """Of a tokenizer that puts a space before each text, say."""
    monkeypatch.setitem(
        served._ROUTES["vllm"],
        "/detokenize",
        lambda _, body: {"prompt": " " + served.detokenize(body["tokens"])},
    )
    with (
        serving("vllm", TARGET) as target,
        serving("vllm", DRAFTER) as drafter,
        pytest.raises(HedgespecError, match=r"/detokenize.*name the target's tokenizer"),
    ):
        record_from_servers(settings(questions, target, drafter), HOW)


def test_another_server_is_refused(questions, monkeypatch):
    monkeypatch.setitem(
        served._ROUTES["vllm"], "/v1/models", lambda *_: {"data": [{"id": "x", "owned_by": "me"}]}
    )
    with (
        serving("vllm", TARGET) as target,
        pytest.raises(HedgespecError, match=r"server target.*none of vllm, sglang, llama"),
    ):
        record_from_servers(settings(questions, target, target), HOW)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--drafter", "prompt-lookup"], "each drafter is NAME=http"),
        (["--drafter", "a=http://127.0.0.1:9", "--features"], "--features: needs models"),
        (["--drafter", "a=http://127.0.0.1:9", "--dtype", "float32"], "--dtype applies to models"),
        ([], "name a server of each drafter"),
        (["--drafter", "target=http://127.0.0.1:9"], "must differ"),
    ],
)
def test_what_servers_do_not_give_is_refused_by_name(options, message, questions, capsys):
    assert (
        main(
            [
                "record",
                "--target",
                "http://127.0.0.1:9",
                "--prompts",
                str(questions),
                "--out",
                str(questions.parent / "none"),
                *options,
            ]
        )
        == 1
    )
    assert message in capsys.readouterr().err


def test_options_of_servers_need_one(questions, capsys):
    assert main(["record", "--concurrency", "3", "--out", str(questions.parent / "x")]) == 1
    assert "--concurrency applies to servers" in capsys.readouterr().err


def test_the_command_records_without_torch(questions, tmp_path):
    for name in ("torch", "transformers"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('blocked by the test')")
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from hedgespec.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER) as drafter:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                code,
                str(tmp_path),
                "record",
                "--target",
                target.address,
                "--drafter",
                f"small={drafter.address}",
                "--top-k",
                "6",
                "--temperature",
                "0.7",
                "--prompts",
                str(questions),
                "--max-new-tokens",
                "12",
                "--precision",
                "full",
                "--out",
                str(tmp_path / "trace"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "gamma: exact" in done.stdout
    check_truth(read_trace(tmp_path / "trace"), 0.7, 6)


def test_sglang_wants_a_tokenizer(questions):
    with serving("sglang", TARGET) as target, serving("sglang", DRAFTER) as drafter:
        asked = settings(questions, target, drafter)
        with pytest.raises(HedgespecError, match="name the target's tokenizer with tokenizer"):
            record_from_servers(asked, HOW)
        both = replace(asked, top_p=0.9)
        with pytest.raises(HedgespecError, match="SGLang applies both at once"):
            record_from_servers(both, HOW)


def test_a_tokenizer_is_loaded_by_name(tiny_models):
    assert tokenizer_of(None, tiny_models["target"])("w3 w4")["input_ids"] == [6, 7]
    with pytest.raises(HedgespecError, match="tokenizer='/nowhere': cannot be loaded"):
        tokenizer_of(None, "/nowhere")


KEY = "a-key-that-nobody-may-see"


@pytest.mark.parametrize(("engine", "dies_after"), [("vllm", 14), ("llama-server", 75)])
def test_servers_behind_keys_are_recorded_and_the_keys_are_written_nowhere(
    engine, dies_after, questions, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("SMALL_KEY", f"{KEY}-too\n")
    monkeypatch.setenv("HEDGESPEC_API_KEY", KEY)
    with (
        serving(engine, TARGET, key=KEY) as target,
        serving(engine, DRAFTER, key=f"{KEY}-too", dies_after=dies_after) as drafter,
    ):
        command = [
            "record",
            "--target",
            target.address,
            "--drafter",
            f"small={drafter.address}",
            "--prompts",
            str(questions),
            "--top-k",
            "6",
            "--temperature",
            "0.7",
            "--out",
            str(tmp_path / "trace"),
            "--max-new-tokens",
            "12",
            "--concurrency",
            "2",
            "--retries",
            "0",
        ]
        assert (
            main(
                [
                    *command,
                    "--key-variable",
                    "HEDGESPEC_API_KEY",
                    "--key-variable",
                    "small=SMALL_KEY",
                ]
            )
            == 1
        ), "it dies"
        said = capfd.readouterr().err
        assert re.search("[1-9] of 9 answers are kept", said)
        files = [path for path in (tmp_path / "trace").rglob("*") if path.is_file()]
        assert files
        drafter.wrong.dies_after, drafter.wrong.key = None, KEY
        assert main([*command, "--resume"]) == 0, "of HEDGESPEC_API_KEY; no part of what is resumed"
    said += "".join(capfd.readouterr())
    files += [path for path in (tmp_path / "trace").rglob("*") if path.is_file()]
    assert KEY not in said
    assert not any(KEY.encode() in path.read_bytes() for path in files if path.exists())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_refused_key_is_told_by_server_and_without_the_key(engine, questions, monkeypatch):
    monkeypatch.setenv("MINE", KEY)
    with serving(engine, TARGET, key="another") as target:
        asked = settings(questions, target, target)
        for how, message in (
            (HOW, "it wants a key: key_variable names the environment variable"),
            (replace(HOW, key_variable=("MINE",)), "does not take the key"),
        ):
            with pytest.raises(HedgespecError, match=r"server target.*status 401.*" + message) as e:
                record_from_servers(asked, how)
            assert KEY not in str(e.value)
    assert not asked.out.exists()


@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        ("NONE_SUCH", None, "no such variable"),
        ("MINE", " ", "or it is empty"),
        ("MINE", f"{KEY} {KEY}", "is no key"),
        ("MINE", f"{KEY}\u00fc", "is no key"),
        ("big=MINE", KEY, "no server is called 'big'; they are target, small"),
    ],
)
def test_variables_that_hold_no_key(word, value, message, questions, monkeypatch):
    if value is not None:
        monkeypatch.setenv("MINE", value)
    with serving("vllm", TARGET) as target, pytest.raises(HedgespecError, match=message) as caught:
        record_from_servers(settings(questions, target, target), replace(HOW, key_variable=(word,)))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        ["--target", f"http://me:{KEY}@127.0.0.1:9", "--drafter", "a=http://127.0.0.1:9"],
        ["--target", "http://127.0.0.1:9", "--drafter", f"a=http://me:{KEY}@127.0.0.1:9"],
        ["--target", "http://127.0.0.1:9", "--drafter", f"http://me:{KEY}@127.0.0.1:9"],
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(options, questions, capsys):
    assert (
        main(
            ["record", "--prompts", str(questions), "--out", str(questions.parent / "x"), *options]
        )
        == 1
    )
    said = capsys.readouterr().err
    assert "--key-variable names the environment variable" in said
    assert KEY not in said


@pytest.mark.parametrize("address", ["http://", "http://[", "http://127.0.0.1:x"])
def test_an_address_that_is_none_is_told(address, questions, capsys):
    assert (
        main(
            [
                "record",
                "--target",
                address,
                "--drafter",
                "a=http://127.0.0.1:9",
                "--retries",
                "0",
                "--prompts",
                str(questions),
                "--out",
                str(questions.parent / "x"),
            ]
        )
        == 1
    )
    assert "hedgespec record: server target" in capsys.readouterr().err


def test_ctrl_c_ends_at_once_and_what_was_recorded_is_kept(questions, tmp_path):
    folder = tmp_path / "trace"
    with serving("vllm", TARGET) as target, serving("vllm", DRAFTER) as drafter:
        command = [
            sys.executable,
            "-m",
            "hedgespec",
            "record",
            "--target",
            target.address,
            "--drafter",
            f"small={drafter.address}",
            "--top-k",
            "6",
            "--temperature",
            "0.7",
            "--prompts",
            str(questions),
            "--max-new-tokens",
            "24",
            "--precision",
            "full",
            "--concurrency",
            "2",
            "--out",
            str(folder),
        ]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not list(folder.glob("parts/*.json")):
            assert running.poll() is None
            time.sleep(0.005)
        drafter.wrong.seconds = 60  # far below the time-out
        begun = time.monotonic()
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=50)[1]
        assert time.monotonic() - begun < 30
        assert running.returncode == 130
        assert "run the same command with --resume" in said
        assert "Traceback" not in said
        kept = len(list(folder.glob("parts/*.json")))
        assert 0 < kept < 9
        drafter.wrong.seconds = 0
        assert main([*command[3:], "--resume"]) == 0
    check_truth(read_trace(folder), 0.7, 6)


def test_work_that_fails_lets_no_other_begin_and_keeps_what_was_begun():
    begun, both = [], threading.Barrier(2)

    def work(number):
        begun.append(number)
        if number < 2:
            both.wait(10)
        if number == 0:
            raise ValueError("the first")
        time.sleep(0.1)
        return number

    with pytest.raises(ValueError, match="the first"):
        list(as_finished(work, range(9), 2))
    assert begun == [0, 1]
    running = as_finished(work, range(9), 2)
    assert next(running) == 1, "it is there before the error is raised"
    with pytest.raises(ValueError, match="the first"):
        next(running)
    assert sorted(as_finished(lambda number: number, range(20), 3)) == list(range(20))
    assert list(as_finished(work, [], 3)) == []
