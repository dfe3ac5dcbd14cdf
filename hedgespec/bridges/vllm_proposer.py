"""Experimental: a selector chooses, for each request of vLLM, which of several proposers drafts.

    vllm serve MODEL --speculative-config '{"method": "custom_class",
        "model": "hedgespec.bridges.vllm_proposer.SelectingProposer", "num_speculative_tokens": 4}'

vLLM hands a custom class token ids alone. So the selector learns from its own rounds: a bandit. The
environment says which: HEDGESPEC_SELECTOR (ucbspec), HEDGESPEC_PROPOSERS (lookup:3,suffix), and
HEDGESPEC_LOG, a file to which each request's rounds are added for `hedgespec import vllm`, of one
engine process alone.

Requests have no ids here either. A row of the batch goes on with the request whose text it
continues; of two requests with one text either may be taken, which is the same but for what was
learned.
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hedgespec.bridges.proposers import make_proposers
from hedgespec.errors import HedgespecError
from hedgespec.selectors import CHOSEN, configure
from hedgespec.selectors.online import OnlineSelector

SELECTOR, NAMED, LOG = "HEDGESPEC_SELECTOR", "HEDGESPEC_PROPOSERS", "HEDGESPEC_LOG"


@dataclass
class _Request:
    """One request: its number, its selector, its text so far, where its answer begins, and its
    rounds."""

    number: int
    online: OnlineSelector
    text: np.ndarray
    begin: int
    drafted: int | None = None  # tokens of the round that is being verified
    rounds: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "per_step_accepted",
                "per_step_drafted",
                "per_step_drafter",
                "per_step_propensity",
            )
        }
    )

    def line(self) -> bytes:
        """Its rounds as a line of a log, if it has any; the last one, whose outcome is not told, is
        left out."""
        ended = len(self.rounds["per_step_accepted"])
        rounds = {name: values[:ended] for name, values in self.rounds.items()}
        document = {"id": str(self.number), "metrics": {"speculative_decoding": rounds}}
        return f"{json.dumps(document)}\n".encode() if ended else b""


class _Log:
    """A file of requests' rounds. vLLM tells no custom class that a request or the engine ends, and
    kills its process: so requests in work are written too, and anew each time."""

    def __init__(self, path: str):
        """Raises HedgespecError where it cannot be written."""
        try:
            self._file = open(path, "rb+" if os.path.exists(path) else "wb")  # noqa: SIM115
        except OSError as error:
            raise HedgespecError(f"{LOG} {path}: cannot be written ({error.strerror})") from error
        self._ended = self._file.seek(0, os.SEEK_END)

    def write(self, ended: list[_Request], working: list[_Request]) -> None:
        """Add requests that ended; those in work stand behind them until the next call."""
        self._file.seek(self._ended)
        self._file.truncate()
        self._file.writelines(request.line() for request in ended)
        self._ended = self._file.tell()
        self._file.writelines(request.line() for request in working)
        self._file.flush()


class SelectingProposer:
    """What vLLM's `custom_class` makes and calls, on the CPU, once after each step."""

    def __init__(self, vllm_config: Any):
        """Raises HedgespecError for an unknown selector or proposer, or a selector that needs to
        know what drafters would have done that did not run."""
        self._count = int(vllm_config.speculative_config.num_speculative_tokens)
        self._longest = int(vllm_config.model_config.max_model_len)
        self._proposers = make_proposers(os.environ.get(NAMED, "lookup:3,suffix"))
        self._configured = configure(os.environ.get(SELECTOR, "ucbspec"))
        selector = self._configured.selector
        if selector.feedback != CHOSEN or selector.uses_gamma:
            raise HedgespecError(
                f"{SELECTOR} {self._configured.label}: needs probabilities of drafters, which vLLM "
                "does not hand to a custom class; choose a bandit that learns from its own rounds, "
                "such as ucbspec or exp3spec"
            )
        self._log = _Log(os.environ[LOG]) if os.environ.get(LOG) else None
        self._requests: list[_Request] = []
        self._begun = 0

    def load_model(self, *_: Any, **__: Any) -> None:
        """Nothing that vLLM would load."""

    def propose(
        self,
        sampled_token_ids: list[list[int]],
        num_tokens_no_spec: np.ndarray,
        token_ids_cpu: np.ndarray,
        slot_mappings: Any = None,
    ) -> list[list[int]]:
        """Drafts of each row of the batch; none for a row that sampled nothing.

        `token_ids_cpu[i, :num_tokens_no_spec[i]]` is a row's text, whose end are the tokens that
        the last step emitted, `sampled_token_ids[i]`.
        """
        waiting = self._requests
        kept: list[_Request] = []
        drafts: list[list[int]] = []
        for row, sampled in enumerate(sampled_token_ids):
            text = np.array(token_ids_cpu[row, : int(num_tokens_no_spec[row])])
            if not sampled:
                drafts.append([])
                kept += self._taken(waiting, text)
                continue
            request = next(iter(self._taken(waiting, text[: -len(sampled)])), None)
            request = request or self._new(text, len(text) - len(sampled))
            drafts.append(self._round(request, text, len(sampled)))
            kept.append(request)
        if self._log is not None:
            self._log.write(waiting, kept)  # what no row goes on with has ended
        self._requests = kept
        return drafts

    def _taken(self, waiting: list[_Request], before: np.ndarray) -> list[_Request]:
        """The request with this text, which waits no longer; none, or one."""
        for request in waiting:
            if len(request.text) == len(before) and (request.text == before).all():
                waiting.remove(request)
                return [request]
        return []

    def _new(self, text: np.ndarray, begin: int) -> _Request:
        online = OnlineSelector(self._configured, len(self._proposers), self._count)
        online.begin(self._begun)
        self._begun += 1
        return _Request(self._begun, online, text, begin)

    def _round(self, request: _Request, text: np.ndarray, emitted: int) -> list[int]:
        """End the round that was verified, and begin the next."""
        if request.drafted is not None:
            request.online.finished_round(emitted)
            request.rounds["per_step_accepted"].append(min(emitted - 1, request.drafted))
        request.text = text
        room = min(self._count, self._longest - len(text))
        if room < 1:
            request.drafted = None
            return []
        arm = request.online.choose(len(text) - request.begin)
        name = list(self._proposers)[arm]
        drafted = self._proposers[name].propose(text, room)
        request.drafted = len(drafted)
        for key, value in (
            ("drafted", len(drafted)),
            ("drafter", name),
            ("propensity", float(request.online.weights[arm])),
        ):
            request.rounds[f"per_step_{key}"].append(value)
        return drafted
