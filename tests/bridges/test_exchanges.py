"""What a real server replied is read as it was, and asked for in the same words."""

import json
from pathlib import Path

import numpy as np
import pytest

from hedgespec.bridges.client import Client, ServerError
from hedgespec.bridges.dialects.base import Reply
from hedgespec.bridges.dialects.llama_server import LlamaServer
from hedgespec.bridges.dialects.vllm import VLLM
from hedgespec.models.settings import Sampling

EXCHANGES = Path(__file__).parent / "exchanges"


class Recorded(Client):
    """Replies as a real server did, in order; another question fails."""

    def __init__(self, name: str):
        self.name, self.address, self._key = name, name, None
        self.left = json.loads((EXCHANGES / f"{name}.json").read_text())["exchange"]

    def _asked(self, method, path, body):
        *asked, reply = self.left.pop(0)
        assert asked == [method, path, body]
        return reply


def test_llama_server():
    client = Recorded("llama-server")
    server = LlamaServer(client)
    assert LlamaServer.speaks(client)
    info = server.info()
    assert (info.model, info.context, info.vocabulary_size) == ("smol-f32.gguf", 2048, 49152)
    ids = server.tokenize("A river is")
    assert ids == [49, 4626, 314]
    assert server.render([{"role": "user", "content": "Hi"}]).startswith("<|im_start|>system")
    written = server.write(ids, 3, Sampling(0.7, top_k=5), 7, 3)
    assert (written.tokens, written.finish_reason) == ([253, 1782, 4558], "length")
    scored = server.score(ids, written.tokens, 3)
    np.testing.assert_allclose(scored.own, written.listed.own, atol=1e-5)
    np.testing.assert_array_equal(scored.ids, written.listed.ids)
    assert scored.ids[2].tolist() != written.tokens, "the last token was not the most probable"
    assert server.detokenize(written.tokens) == " a natural wonder"
    assert not client.left


def test_vllm():
    client = Recorded("vllm")
    server = VLLM(client)
    assert VLLM.speaks(client)
    info = server.info()
    assert (info.model, info.context, info.version) == ("SmolLM2-135M-Instruct", 1024, "0.32.0")
    ids = server.tokenize("A river is")
    assert ids == [49, 4626, 314]
    assert server.render([{"role": "user", "content": "Hi"}]).startswith("<|im_start|>system")
    written = server.write(ids, 3, Sampling(0.7, top_k=5), 7, 3)
    assert (written.tokens, written.finish_reason) == ([253, 1782, 284], "length")
    scored = server.score(ids, written.tokens, 3)
    np.testing.assert_allclose(scored.own, written.listed.own, atol=2e-5)
    np.testing.assert_array_equal(scored.ids, written.listed.ids)
    assert scored.ids[2].tolist() == [10269, 3753, 284], "what was written was not most probable"
    assert server.detokenize(written.tokens) == " a natural and"
    assert not client.left


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({}, "field a: is missing"),
        ({"a": []}, "field a.b: is missing"),
        ({"a": {"b": "x"}}, "field a.b: 'x' is no log-probability"),
        ({"a": {"b": 0.5}}, "is no log-probability"),
        ({"a": {"b": True}}, "is no log-probability"),
        ({"a": {"b": float("nan")}}, "is no log-probability"),
    ],
)
def test_a_wrong_field_is_named(reply, problem):
    with pytest.raises(ServerError) as caught:
        Reply(Recorded("llama-server"), "/x", reply)["a"]["b"].log()
    assert problem in str(caught.value)
