"""SGLang: /generate with `input_ids` and `return_logprob` (read: 0.5.23)."""

from collections.abc import Mapping, Sequence
from typing import Any

from hedgespec.bridges.client import Client
from hedgespec.bridges.dialects.base import NEUTRAL, Dialect, Listed, Reply, ServerInfo, Written
from hedgespec.errors import HedgespecError, arg
from hedgespec.models.settings import Sampling

_PATH = "/generate"


class SGLang(Dialect):
    """SGLang's server. Log-probabilities of its input are the model's own, those of its output are
    divided by the temperature."""

    name = "sglang"
    processed_by = "a penalty or another processor of logits"
    divides = True
    cap_option = "(none is known)"

    @staticmethod
    def speaks(client: Client) -> bool:
        found = client.found("/get_model_info")
        return isinstance(found, dict) and "model_path" in found

    def info(self) -> ServerInfo:
        path = "/get_model_info"
        found = Reply(self.client, path, self.client.get(path))
        about = self.client.found("/get_server_info")
        known = about if isinstance(about, dict) else {}
        return ServerInfo(
            found["model_path"].text(), known.get("context_length"), version=known.get("version")
        )

    def check_sampling(self, sampling: Sampling) -> None:
        if sampling.top_k and sampling.top_p < 1:
            raise HedgespecError(
                f"{arg('top_p', sampling.top_p)} with {arg('top_k', sampling.top_k)}: SGLang "
                "applies both at once, a trace one after the other; leave one out"
            )

    def write(
        self, prompt: list[int], limit: int, sampling: Sampling, seed: int, top: int
    ) -> Written:
        reply = self._generated(prompt, limit, sampling, top, sampling_seed=seed)
        meta = reply["meta_info"]
        tokens, own = self._tokens(meta["output_token_logprobs"])
        meta["output_top_logprobs"].of_tokens(len(tokens))
        rows = [self._row(one) for one in meta["output_top_logprobs"].items()]
        ended = "eos" if meta["finish_reason"]["type"].value == "stop" else "length"
        return Written(tokens, ended, Listed.of(rows, tokens, own, top))

    def score(self, prompt: list[int], answer: list[int], top: int) -> Listed:
        start = len(prompt) - 1  # the first entry is of the prompt's last token, and is empty
        reply = self._generated(prompt + answer, 1, NEUTRAL, top, logprob_start_len=start)
        meta = reply["meta_info"]
        entries, lists = meta["input_token_logprobs"], meta["input_top_logprobs"]
        for field in (entries, lists):
            field.of_tokens(len(answer) + 1)
        rows, own = [], []
        for place, token in enumerate(answer, start=1):
            if entries[place][1].whole() != token:
                raise entries[place][1].wrong(
                    f"is token {entries[place][1].value}, the input's is {token}: the positions "
                    "are not those of the input"
                )
            own.append(entries[place][0].log())
            rows.append(self._row(lists[place]))
        return Listed.of(rows, answer, own, top)

    def tokenize(self, text: str) -> list[int]:
        path = "/tokenize"
        body = {"prompt": text, "add_special_tokens": False}
        return Reply(self.client, path, self.client.post(path, body))["tokens"].tokens()

    def detokenize(self, tokens: list[int]) -> str:
        path = "/detokenize"
        return Reply(self.client, path, self.client.post(path, {"tokens": tokens}))["text"].text()

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        raise HedgespecError(
            "SGLang renders no chat template by itself; name the target's "
            f"tokenizer with {arg('tokenizer')}"
        )

    def _generated(
        self, ids: list[int], limit: int, sampling: Sampling, top: int, **asked: Any
    ) -> Reply:
        body = {
            "input_ids": ids,
            "return_logprob": True,
            "top_logprobs_num": top,
            "sampling_params": {
                "max_new_tokens": limit,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k or -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "presence_penalty": 0.0,
                "frequency_penalty": 0.0,
                **{key: value for key, value in asked.items() if key == "sampling_seed"},
            },
            **{key: value for key, value in asked.items() if key != "sampling_seed"},
        }
        return Reply(self.client, _PATH, self.client.post(_PATH, body))

    @staticmethod
    def _tokens(entries: Reply) -> tuple[list[int], list[float]]:
        found = list(entries.items())
        return [one[1].whole() for one in found], [one[0].log() for one in found]

    @staticmethod
    def _row(entries: Reply) -> dict[int, float]:
        return {one[1].whole(): one[0].log() for one in entries.items()}
