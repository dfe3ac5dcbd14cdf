"""Made-up servers of each engine's dialect over a tiny NumPy language model, whose truth is known;
and the ways in which a server may be wrong."""

import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import numpy as np

VOCABULARY, END = 40, 1
ENGINES = ("vllm", "sglang", "llama-server")


class TinyModel:
    """The next token depends on the two before."""

    def __init__(self, seed: int, near: "TinyModel | None" = None, spread: float = 1.6):
        rng = np.random.default_rng(seed)
        self.table = rng.normal(0, spread, (97, VOCABULARY))
        self.table[:, END] -= 2
        if near is not None:
            self.table = near.table + 0.5 * self.table

    def logs(self, tokens: list[int]) -> np.ndarray:
        """log softmax (V) at temperature 1 of what follows."""
        row = self.table[(31 * ([0, *tokens][-2]) + 7 * tokens[-1]) % 97]
        return row - np.log(np.exp(row).sum())

    def along(self, prompt: list[int], answer: list[int]) -> np.ndarray:
        """(T, V) at each token of an answer."""
        text = prompt + answer
        return np.stack([self.logs(text[:place]) for place in range(len(prompt), len(text))])


def tokenize(text: str, shift: int = 0) -> list[int]:
    """w12 is token 12, any other sign one of its own."""
    return [
        int(word) if word else 3 + (ord(sign) + shift) % (VOCABULARY - 3)
        for word, sign in re.findall(r"w(\d+) ?|(.)", text, re.DOTALL)
    ]


def detokenize(tokens: list[int]) -> str:
    return " ".join(f"w{token}" for token in tokens)


def whole_law(logs: np.ndarray, temperature: float, top_k: int, top_p: float) -> np.ndarray:
    """The law (T, V) that is sampled from, in Hugging Face's order, from whole logs."""
    if temperature == 0:
        return np.eye(VOCABULARY)[logs.argmax(axis=1)]
    scaled = logs / temperature
    if top_k:
        scaled = np.where(scaled < np.sort(scaled)[:, -top_k][:, None], -np.inf, scaled)
    if top_p < 1:
        order = np.argsort(-scaled, axis=1)
        p = np.exp(np.take_along_axis(scaled, order, 1))
        p /= p.sum(axis=1, keepdims=True)
        cut = p.cumsum(axis=1) - p >= top_p
        np.put_along_axis(
            scaled, order, np.where(cut, -np.inf, np.take_along_axis(scaled, order, 1)), 1
        )
    p = np.exp(scaled)
    return p / p.sum(axis=1, keepdims=True)


@dataclass
class Wrong:
    """How a server is wrong; requests are counted from 1."""

    off_by_one: bool = False  # lists of scored text
    processed: bool = False  # logs of written tokens
    renormed: bool = False  # lists of scored text
    cap: int | None = None
    other_tokenizer: bool = False
    dies_after: int | None = None
    fails: range = field(default_factory=lambda: range(0))  # requests with status 500
    seconds: float = 0.0
    key: str | None = None  # without it status 401, in whose text the given one stands


class RefusedError(Exception):
    """Status 400."""


class Served:
    """One server; `count` are the requests for text."""

    def __init__(self, engine: str, model: TinyModel, wrong: Wrong):
        self.engine, self.model, self.wrong = engine, model, wrong
        self.count, self._lock = 0, Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # a client that no longer waits
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # a reply is sent in one, or each takes 40 ms
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_GET(self):
                self._reply(None)

            def do_POST(self):
                self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _reply(self, body):
                given = self.headers["Authorization"]
                status, value = (
                    served.reply(self.path, body)
                    if served.wrong.key is None or given == f"Bearer {served.wrong.key}"
                    else (401, {"error": f"incorrect key: {given}"})
                )
                if status == 0:
                    self.close_connection = True
                    return
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        return Handler

    def reply(self, path: str, body) -> tuple[int, object]:
        found = _ROUTES[self.engine].get(path)
        if found is None:
            return 404, {"error": "no such path"}
        if body is not None and path in ("/generate", "/completion", "/v1/completions"):
            with self._lock:
                self.count += 1
                count = self.count
            time.sleep(self.wrong.seconds)
            if self.wrong.dies_after is not None and count > self.wrong.dies_after:
                return 0, None
            if count in self.wrong.fails:
                return 500, {"error": "out of luck"}
        try:
            return 200, found(self, body)
        except RefusedError as error:
            return 400, {"error": str(error)}

    def top(self, logs: np.ndarray, count: int) -> list[tuple[int, float]]:
        order = np.argsort(-logs, kind="stable")[: min(count, self.wrong.cap or count)]
        return [(int(token), float(logs[token])) for token in order]

    def write(self, prompt, limit, temperature, top_k, top_p, seed, end=True):
        """(token, logs) of each step; logs are processed if the server is wrong so."""
        rng, text, steps = np.random.default_rng(seed), list(prompt), []
        for _ in range(limit):
            logs = self.model.logs(text)
            law = whole_law(logs[None], temperature, max(top_k, 0), top_p)[0]
            token = int(rng.choice(VOCABULARY, p=law))
            shown = logs
            if self.wrong.processed:
                shown = np.log(np.maximum(law, 1e-30))
            steps.append((token, shown))
            text.append(token)
            if token == END:
                break
        return steps

    def scored(self, text: list[int], start: int) -> list[np.ndarray]:
        """logs (V) of each token from `start` on."""
        found = []
        for place in range(start, len(text)):
            seen = text[: max(1, place - 1)] if self.wrong.off_by_one else text[:place]
            found.append(self.model.logs(seen))
        return found

    def listed(self, logs: np.ndarray, count: int) -> list[tuple[int, float]]:
        found = self.top(logs, count)
        if self.wrong.renormed:
            total = np.log(sum(np.exp(log) for _, log in found))
            found = [(token, log - total) for token, log in found]
        return found


def _tokens(served: Served, text: str) -> list[int]:
    return tokenize(text, shift=served.wrong.other_tokenizer)


def _rendered(messages) -> str:
    return "".join(f"{one['content']}\n" for one in messages)


def _vllm(served: Served, body):
    asked = body.get("prompt_logprobs") or 0
    if max(asked, body.get("logprobs") or 0) > (served.wrong.cap or VOCABULARY):
        raise RefusedError(
            f"Requested prompt logprobs of {asked}, which is greater than max "
            f"allowed: {served.wrong.cap}"
        )
    prompt = body["prompt"]
    steps = served.write(
        prompt,
        body["max_tokens"],
        body["temperature"],
        body["top_k"],
        body["top_p"],
        body.get("seed"),
    )
    choice = {"finish_reason": "stop" if steps[-1][0] == END else "length"}
    if "logprobs" in body:
        assert body["return_tokens_as_token_ids"]
        choice["logprobs"] = {
            "tokens": [f"token_id:{token}" for token, _ in steps],
            "token_logprobs": [float(logs[token]) for token, logs in steps],
            "top_logprobs": [
                {f"token_id:{token}": log for token, log in served.top(logs, body["logprobs"])}
                for _, logs in steps
            ],
        }
    if asked:
        entries = [None]
        for place, logs in enumerate(served.scored(prompt, 1), start=1):
            own = prompt[place]
            rows = dict(served.listed(logs, asked))
            rows.setdefault(own, float(logs[own]))
            entries.append(
                {
                    str(token): {
                        "logprob": log,
                        "rank": 1 + int((logs > log).sum()),
                        "decoded_token": f"w{token}",
                    }
                    for token, log in rows.items()
                }
            )
        choice["prompt_logprobs"] = entries
    return {"choices": [choice]}


def _sglang(served: Served, body):
    ids, how, count = body["input_ids"], body["sampling_params"], body["top_logprobs_num"]
    temperature = how["temperature"]
    steps = served.write(
        ids,
        how["max_new_tokens"],
        temperature,
        how["top_k"],
        how["top_p"],
        how.get("sampling_seed"),
    )
    meta = {
        "finish_reason": {"type": "stop" if steps[-1][0] == END else "length"},
        "output_token_logprobs": [],
        "output_top_logprobs": [],
    }
    for token, logs in steps:
        shown = logs / (temperature or 1)
        shown = shown - np.log(np.exp(shown).sum())
        meta["output_token_logprobs"].append([float(shown[token]), token, None])
        meta["output_top_logprobs"].append(
            [[log, one, None] for one, log in served.top(shown, count)]
        )
    if "logprob_start_len" in body:
        start = body["logprob_start_len"]
        meta["input_token_logprobs"] = [[None, ids[start], None]]
        meta["input_top_logprobs"] = [None]
        for token, logs in zip(ids[start + 1 :], served.scored(ids, start + 1), strict=True):
            meta["input_token_logprobs"].append([float(logs[token]), token, None])
            meta["input_top_logprobs"].append(
                [[log, one, None] for one, log in served.listed(logs, count)]
            )
    return {"output_ids": [token for token, _ in steps], "meta_info": meta}


def _llama(served: Served, body):
    prompt, bias = body["prompt"], dict(map(tuple, body.get("logit_bias", [])))
    assert body["samplers"] == ["temperature", "top_k", "top_p"]
    if bias:
        [logs] = served.scored([*prompt, 0], len(prompt))
        steps = [(next(iter(bias)), logs)]
    else:
        steps = served.write(
            prompt,
            body["n_predict"],
            body["temperature"],
            body["top_k"],
            body["top_p"],
            body.get("seed"),
        )
    show = served.listed if bias else served.top
    return {
        "tokens": [token for token, _ in steps],
        "truncated": False,
        "stop_type": "eos" if steps[-1][0] == END else "limit",
        "completion_probabilities": [
            {
                "id": token,
                "logprob": float(logs[token]),
                "top_logprobs": [
                    {"id": one, "logprob": log} for one, log in show(logs, body["n_probs"])
                ],
            }
            for token, logs in steps
        ],
    }


_ROUTES = {
    "vllm": {
        "/v1/models": lambda served, body: {
            "data": [{"id": "/models/tiny", "owned_by": "vllm", "max_model_len": 400}]
        },
        "/version": lambda served, body: {"version": "0.32.0"},
        "/tokenize": lambda served, body: {
            "tokens": _tokens(
                served, body["prompt"] if "prompt" in body else _rendered(body["messages"])
            )
        },
        "/detokenize": lambda served, body: {"prompt": detokenize(body["tokens"])},
        "/v1/completions": _vllm,
    },
    "sglang": {
        "/get_model_info": lambda served, body: {"model_path": "org/tiny"},
        "/get_server_info": lambda served, body: {"context_length": 400, "version": "0.5.23"},
        "/tokenize": lambda served, body: {"tokens": _tokens(served, body["prompt"])},
        "/detokenize": lambda served, body: {"text": detokenize(body["tokens"])},
        "/generate": _sglang,
    },
    "llama-server": {
        "/props": lambda served, body: {
            "default_generation_settings": {"n_ctx": 400},
            "build_info": "b1",
        },
        "/v1/models": lambda served, body: {
            "data": [{"id": "tiny.gguf", "meta": {"n_vocab": VOCABULARY}}]
        },
        "/tokenize": lambda served, body: {"tokens": _tokens(served, body["content"])},
        "/detokenize": lambda served, body: {"content": detokenize(body["tokens"])},
        "/apply-template": lambda served, body: {"prompt": _rendered(body["messages"])},
        "/completion": _llama,
    },
}


@contextmanager
def serving(engine: str, model: TinyModel, **wrong):
    """A server that is up for a while."""
    served = Served(engine, model, Wrong(**wrong))
    try:
        yield served
    finally:
        served.close()
