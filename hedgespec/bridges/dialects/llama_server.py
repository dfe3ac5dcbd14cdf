"""llama-server of llama.cpp: /completion with `prompt` as token ids and `n_probs`.

It scores no prompt (`echo` with ids is ignored), so each position is a request of one token, which
is forced to be the text's by a bias. Its log-probabilities are those before any sampler, the bias
included.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hedgespec.bridges.client import Client
from hedgespec.bridges.dialects.base import NEUTRAL, Dialect, Listed, Reply, ServerInfo, Written
from hedgespec.models.settings import Sampling

_PATH = "/completion"
_CERTAIN = 1e6  # added to a logit, it leaves no other token possible


class LlamaServer(Dialect):
    """llama.cpp's server, which lists as many tokens as are asked for."""

    name = "llama-server"
    processed_by = "post_sampling_probs"
    cap_option = "(there is none)"

    @staticmethod
    def speaks(client: Client) -> bool:
        found = client.found("/props")
        return isinstance(found, dict) and "default_generation_settings" in found

    def info(self) -> ServerInfo:
        props = Reply(self.client, "/props", self.client.get("/props"))
        model = Reply(self.client, "/v1/models", self.client.get("/v1/models"))["data"][0]
        meta = model.get("meta") or {}
        return ServerInfo(
            model["id"].text(),
            props["default_generation_settings"].get("n_ctx"),
            meta.get("n_vocab"),
            props.get("build_info"),
        )

    def write(
        self, prompt: list[int], limit: int, sampling: Sampling, seed: int, top: int
    ) -> Written:
        reply = self._completed(prompt, limit, sampling, top, seed=seed)
        entries = list(reply["completion_probabilities"].items())
        tokens = [one["id"].whole() for one in entries]
        if reply.get("truncated"):
            raise reply["truncated"].wrong("the text was cut to the server's context")
        ended = "eos" if reply.get("stop_type") == "eos" else "length"
        return Written(tokens, ended, self._listed(entries, tokens, top))

    def score(self, prompt: list[int], answer: list[int], top: int) -> Listed:
        entries = []
        for place, token in enumerate(answer):
            reply = self._completed(
                prompt + answer[:place], 1, NEUTRAL, top, logit_bias=[[token, _CERTAIN]]
            )
            entry = reply["completion_probabilities"][0]
            if entry["id"].whole() != token:
                raise entry["id"].wrong(f"is {entry['id'].value}, logit_bias forces {token}")
            entries.append(entry)
        return self._listed(entries, answer, top)

    def tokenize(self, text: str) -> list[int]:
        path = "/tokenize"
        body = {"content": text, "add_special": False, "parse_special": True}
        return Reply(self.client, path, self.client.post(path, body))["tokens"].tokens()

    def detokenize(self, tokens: list[int]) -> str:
        path = "/detokenize"
        reply = self.client.post(path, {"tokens": tokens})
        return Reply(self.client, path, reply)["content"].text()

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        path = "/apply-template"
        reply = self.client.post(path, {"messages": list(messages)})
        return Reply(self.client, path, reply)["prompt"].text()

    def _completed(
        self, ids: list[int], limit: int, sampling: Sampling, top: int, **asked: Any
    ) -> Reply:
        """The samplers stand in the order of the trace's law: their usual one cuts before the
        temperature."""
        body = {
            "prompt": ids,
            "n_predict": limit,
            "n_probs": top,
            "cache_prompt": True,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": 0.0,
            "typical_p": 1.0,
            "repeat_penalty": 1.0,
            "samplers": ["temperature", "top_k", "top_p"],
            "post_sampling_probs": False,
            "return_tokens": True,
            **asked,
        }
        return Reply(self.client, _PATH, self.client.post(_PATH, body))

    @staticmethod
    def _listed(entries: Sequence[Reply], tokens: Sequence[int], top: int) -> Listed:
        rows = [
            {one["id"].whole(): one["logprob"].log() for one in entry["top_logprobs"].items()}
            for entry in entries
        ]
        return Listed.of(rows, tokens, [entry["logprob"].log() for entry in entries], top)
