"""Real servers: SmolLM2 and its own first layers, recorded by the commands of docs/engines.md,
equal Hugging Face's scores of the same token ids. HEDGESPEC_SERVERS holds the addresses of both, of
whatever engine; else a llama-server is started."""

import os
import socket
import subprocess
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hedgespec.cli import main
from hedgespec.simulator import Replayer
from hedgespec.traces import Trace, read_trace
from tests.helpers.cut_gguf import cut
from tests.helpers.shell_commands import commands_of

SERVER, GGUF = os.environ.get("HEDGESPEC_LLAMA_SERVER"), os.environ.get("HEDGESPEC_GGUF")
RUNNING = os.environ.get("HEDGESPEC_SERVERS", "").split()
LAYERS, TOKENS = 25, 24
QUESTIONS = """\
{"question_id": 1, "category": "a", "turns": ["Write a sentence about rivers.", "And lakes?"]}
{"question_id": 2, "category": "b", "turns": ["What is 17 times 3?"]}
"""
pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (RUNNING or (SERVER and GGUF)),
        reason="no servers: HEDGESPEC_SERVERS, or HEDGESPEC_LLAMA_SERVER and HEDGESPEC_GGUF",
    ),
]


class Up:
    """A llama-server that serves a file in float32."""

    def __init__(self, model: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [
                str(SERVER),
                "-m",
                str(model),
                "--port",
                str(port),
                "-c",
                "1024",
                "-np",
                "1",
                "-t",
                "1",
                "-ctk",
                "f32",
                "-ctv",
                "f32",
                "-fa",
                "off",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=1)
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("llama-server does not come up")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Addresses of the target and of its first layers."""
    if RUNNING:
        yield RUNNING
        return
    folder = tmp_path_factory.mktemp("gguf")
    cut(Path(GGUF), folder / "target.gguf")
    cut(Path(GGUF), folder / "small.gguf", LAYERS)
    found = [Up(folder / f"{name}.gguf") for name in ("target", "small")]
    try:
        for one in found:
            one.wait()
        yield [one.address for one in found]
    finally:
        for one in found:
            one.process.kill()


def hugging_face(trace: Trace) -> dict[str, np.ndarray]:
    """log p, log q, gamma and match (T) of the trace's tokens from SmolLM2 and its early exit."""
    from hedgespec.models.drafters import make_drafters
    from hedgespec.models.settings import Sampling
    from hedgespec.models.target import load_model
    from hedgespec.tracegen.prompts import read_questions, render, tokenize
    from hedgespec.tracegen.score import score

    target = load_model("smollm2-135m-instruct", "cpu", "float32")
    drafters = make_drafters([f"small=early-exit:{LAYERS}"], target)
    questions = {one.id: one for one in read_questions(Path("question.jsonl"))}
    prompts, answers, texts = [], [], {}
    for number, name in enumerate(trace.queries["query_id"]):
        question = name.partition("/")[0]
        before = texts.setdefault(question, [])
        prompts.append(
            tokenize(target.tokenizer, render(target.tokenizer, questions[question], before))
        )
        answers.append(trace.tokens[trace.offsets[number] : trace.offsets[number + 1]].tolist())
        before.append(target.tokenizer.decode(answers[-1], skip_special_tokens=True))
        assert len(prompts[-1]) == trace.queries["prompt_tokens"][number]
    sampling = trace.manifest.sampling
    scores, _ = score(
        target,
        drafters,
        prompts,
        answers,
        Sampling(sampling.temperature, sampling.top_p, sampling.top_k),
        256,
    )
    return {
        "log_p": scores.log_p,
        **{name: scores.drafters[f"{name}/small"] for name in ("log_q", "gamma", "match")},
    }


def test_the_pages_commands_record_what_hugging_face_scores(servers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("question.jsonl").write_text(QUESTIONS)
    commands = commands_of(
        "engines.md", {"http://127.0.0.1:8000": servers[0], "http://127.0.0.1:8001": servers[1]}
    )
    for words in commands:
        if words[0] == "import" and words[1] != "spec-bench":
            continue  # of vLLM's logs
        more = (
            ["--max-new-tokens", str(TOKENS), "--precision", "full"] if words[0] == "record" else []
        )
        assert main([*words, *more]) == 0, words
    trace, again = read_trace("traces/served"), read_trace("traces/again")
    assert trace.queries.height == 3
    np.testing.assert_allclose(again.gamma, trace.gamma, atol=1e-5)
    gap = trace.manifest.recording["log_softmax_gap"]
    assert gap["max"] < 1e-3
    check(trace, hugging_face(trace))


def test_bounds_hold_hugging_faces_gamma(servers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("question.jsonl").write_text(QUESTIONS)
    assert (
        main(
            [
                "record",
                "--target",
                servers[0],
                "--drafter",
                f"small={servers[1]}",
                "--prompts",
                "question.jsonl",
                "--max-new-tokens",
                str(TOKENS),
                "--precision",
                "full",
                "--out",
                "free",
            ]
        )
        == 0
    )
    trace = read_trace("free")
    found = hugging_face(trace)
    np.testing.assert_allclose(trace.log_p, found["log_p"], atol=1e-3)
    np.testing.assert_allclose(trace.log_q[:, 0, 0], found["log_q"], atol=1e-3)
    low, high = trace.optional["gamma_low/small"], trace.optional["gamma_high/small"]
    assert (low <= found["gamma"] + 1e-3).all(), "p itself differs by rounding"
    assert (found["gamma"] <= high + 1e-3).all()


def check(trace: Trace, found: dict[str, np.ndarray]) -> None:
    """log p and log q to 1e-3, gamma to 1e-4, and MAT within 0.1 %."""
    np.testing.assert_allclose(trace.log_p, found["log_p"], atol=1e-3)
    np.testing.assert_allclose(trace.log_q[:, 0, 0], found["log_q"], atol=1e-3)
    np.testing.assert_allclose(trace.gamma[:, 0, 0], found["gamma"], atol=1e-4)
    other = replace(
        trace,
        log_p=found["log_p"],
        **{name: found[name][:, None, None] for name in ("log_q", "gamma", "match")},
    )
    rounds = [Replayer(one).expected_rounds.sum() for one in (trace, other)]
    assert rounds[0] == pytest.approx(rounds[1], rel=1e-3)
