"""vLLM: /v1/completions with `prompt` as token ids and `prompt_logprobs` (run: 0.32)."""

from collections.abc import Mapping, Sequence

from hedgespec.bridges.client import Client
from hedgespec.bridges.dialects.base import NEUTRAL, Dialect, Listed, Reply, ServerInfo, Written
from hedgespec.errors import arg
from hedgespec.models.settings import Sampling

_PATH = "/v1/completions"
_TOKEN = "token_id:"  # what token texts begin with under return_tokens_as_token_ids


class VLLM(Dialect):
    """vLLM's server. Log-probabilities of prompts are always the model's own."""

    name = "vllm"
    processed_by = "--logprobs-mode processed_logprobs"
    cap_option = "--max-logprobs"

    @staticmethod
    def speaks(client: Client) -> bool:
        models = client.found("/v1/models")
        entries = models.get("data") if isinstance(models, dict) else None
        return isinstance(entries, list) and any(
            isinstance(one, dict) and one.get("owned_by") == "vllm" for one in entries
        )

    def info(self) -> ServerInfo:
        model = Reply(self.client, "/v1/models", self.client.get("/v1/models"))["data"][0]
        version = self.client.found("/version")
        return ServerInfo(
            model["id"].text(),
            model.get("max_model_len"),
            version=version.get("version") if isinstance(version, dict) else None,
        )

    def write(
        self, prompt: list[int], limit: int, sampling: Sampling, seed: int, top: int
    ) -> Written:
        choice = self._choice(
            prompt, limit, sampling, seed=seed, logprobs=top, return_tokens_as_token_ids=True
        )
        logs = choice["logprobs"]
        tokens = [self._token(one) for one in logs["tokens"].items()]
        own = [one.log() for one in logs["token_logprobs"].items()]
        logs["token_logprobs"].of_tokens(len(tokens))
        logs["top_logprobs"].of_tokens(len(tokens))
        rows = [
            {
                self._token(
                    Reply(self.client, _PATH, key, "choices[0].logprobs.top_logprobs")
                ): one[key].log()
                for key in one.value
            }
            for one in logs["top_logprobs"].items()
        ]
        ended = "eos" if choice["finish_reason"].value == "stop" else "length"
        return Written(tokens, ended, Listed.of(rows, tokens, own, top))

    def score(self, prompt: list[int], answer: list[int], top: int) -> Listed:
        text = prompt + answer
        entries = self._choice(text, 1, NEUTRAL, prompt_logprobs=top)["prompt_logprobs"]
        entries.of_tokens(len(text))
        rows, own = [], []
        for place, token in enumerate(answer, start=len(prompt)):
            entry = entries[place]
            row = {int(key): entry[key]["logprob"].log() for key in entry.value or {}}
            if token not in row:
                raise entry.wrong(
                    f"does not list the prompt's token {token}: the positions are "
                    "not those of the prompt"
                )
            own.append(row[token])
            rows.append(row)
        return Listed.of(rows, answer, own, top)

    def tokenize(self, text: str) -> list[int]:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return self._read("/tokenize", body)["tokens"].tokens()

    def detokenize(self, tokens: list[int]) -> str:
        return self._read("/detokenize", {"model": self._model, "tokens": tokens})["prompt"].text()

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        body = {
            "model": self._model,
            "messages": list(messages),
            "add_generation_prompt": True,
            "add_special_tokens": False,
        }
        ids = self._read("/tokenize", body)["tokens"].tokens()
        text = self.detokenize(ids)
        if self.tokenize(text) != ids:  # as of tokenizers that put a space before a text
            raise self.client.fault(
                "/detokenize",
                "prompt",
                "the text of a rendered prompt has "
                "other tokens than the prompt; name the target's tokenizer "
                f"with {arg('tokenizer')}",
            )
        return text

    @property
    def _model(self) -> str:
        if not hasattr(self, "_named"):
            self._named = self.info().model
        return self._named

    def _read(self, path: str, body: dict[str, object]) -> Reply:
        return Reply(self.client, path, self.client.post(path, body))

    def _choice(self, prompt: list[int], limit: int, sampling: Sampling, **asked: object) -> Reply:
        """All that shapes the law is said: a model's generation_config.json may say otherwise."""
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": limit,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            **asked,
        }
        return self._read(_PATH, body)["choices"][0]

    @staticmethod
    def _token(text: Reply) -> int:
        found = text.text()
        if not found.startswith(_TOKEN) or not found[len(_TOKEN) :].isdigit():
            raise text.wrong(
                f"{found!r} is not {_TOKEN}NUMBER: return_tokens_as_token_ids is not followed"
            )
        return int(found[len(_TOKEN) :])
