"""What a recording opens with: each server is asked about known text, and refused where its answers
are not what they are taken for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from hedgespec.bridges.client import RefusedError, ServerError
from hedgespec.bridges.dialects.base import NEUTRAL, Dialect, Listed
from hedgespec.errors import HedgespecError, arg
from hedgespec.models.settings import Sampling
from hedgespec.traces.gap import gap_fault

# Words, a number, code and other scripts: tokenizers split them differently.
TEXT = (
    "The 3 quick foxes' dens aren't far; see https://example.org/a_b?c=1.\n\n"
    "def f(x):\n    return x**2 + 1e-3\n\u00dcber \u6771\u4eac \u043c\u0438\u0440 \U0001f600!"
)
DTYPE = "unknown"  # of what servers compute in; the gap may be what bfloat16 makes
_TOKENS = 24  # of the text that are scored
_PLACES = 4  # at which writing and scoring are compared
_WRITTEN = 8
_NEAR = 5  # most probable tokens that are compared
_UNLIKE, _RAW = 0.3, 0.1  # nats


@dataclass(frozen=True)
class Tested:
    """What a server's answers were found to be: `log_softmax_gap` between writing and scoring."""

    gap_mean: float
    gap_max: float

    def document(self) -> dict[str, Any]:
        """As manifests have it."""
        return {"log_softmax_gap": {"mean": self.gap_mean, "max": self.gap_max}}


def check_tokenizer(dialect: Dialect, ids: list[int]) -> None:
    """Raise ServerError unless a server has the target's `ids` of the known text."""
    try:
        own = dialect.tokenize(TEXT)
    except RefusedError as error:
        raise ServerError(
            f"{error}; without /tokenize it is not known whether the server has the "
            "target's tokenizer"
        ) from error
    if own != ids:
        place = next(
            (
                number
                for number, pair in enumerate(zip(own, ids, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(own), len(ids)),
        )
        raise dialect.client.fault(
            "/tokenize",
            f"tokens[{place}]",
            f"is {own[place : place + 1] or 'missing'}, the target's is {ids[place : place + 1]}: "
            "another tokenizer; token-level speculative sampling needs the same vocabulary",
        )


def check_server(dialect: Dialect, ids: list[int], top: int) -> Tested:
    """Ask a server about known token ids (n >= 2), listing `top`. Raises ServerError, naming the
    field, where positions are shifted, logs are not the model's own, or too few are listed."""
    ids = ids[: _TOKENS + 1]
    listed = _scored(dialect, ids[:1], ids[1:], top)
    _check_lists(dialect, listed, top)
    _check_places(dialect, ids, listed, top)
    if not dialect.divides:
        _check_raw(dialect, ids, listed, top)
    return _check_gap(dialect, ids, top)


def _scored(dialect: Dialect, prompt: list[int], answer: list[int], top: int) -> Listed:
    try:
        return dialect.score(prompt, answer, top)
    except RefusedError as error:
        raise ServerError(
            f"{error}; does its cap of listed tokens allow {arg('top_logprobs', top)}"
            f"? Raise it ({dialect.cap_option}) or ask for fewer"
        ) from error


def _wrong(dialect: Dialect, problem: str) -> ServerError:
    return ServerError(
        f"server {dialect.client.name} ({dialect.client.address}) fails the self-test: {problem}"
    )


def _check_lists(dialect: Dialect, listed: Listed, top: int) -> None:
    sums = np.exp(listed.logs).sum(axis=1)
    shortest = int((listed.ids >= 0).sum(axis=1).min())
    if sums.max() > 1 + 1e-3:
        raise _wrong(
            dialect,
            f"listed probabilities add up to {sums.max():.4g}: they are not "
            "log-probabilities at temperature 1",
        )
    if shortest < top and sums.min() < 1 - 1e-3:
        raise _wrong(
            dialect,
            f"it lists {shortest} tokens where {top} were asked for "
            f"({arg('top_logprobs')}): raise its cap ({dialect.cap_option}) or "
            "ask for fewer",
        )
    if shortest >= top and sums.min() > 1 - 1e-5:
        raise _wrong(
            dialect,
            f"the {top} listed probabilities add up to 1 at every position: they "
            "are processed (cut off and renormed), not the model's own; if they "
            "are the whole vocabulary, ask for more",
        )


def _check_places(dialect: Dialect, ids: list[int], listed: Listed, top: int) -> None:
    """Scoring must list at each place what writing lists there."""
    places = np.unique(np.linspace(1, len(ids) - 1, _PLACES).astype(int))
    apart: dict[int, list[float]] = {shift: [] for shift in (0, -1, 1)}
    for place in places:
        written = dialect.write(ids[:place], 1, NEUTRAL, 0, top).listed
        if not len(written):
            raise _wrong(dialect, "it writes nothing where one token is asked for")
        for shift, found in apart.items():
            if 0 <= place - 1 + shift < len(listed):
                found.append(_apart(written, 0, listed, place - 1 + shift))
    means = {shift: float(np.mean(found)) for shift, found in apart.items() if found}
    if means[0] <= _UNLIKE:
        return
    near = [shift for shift, mean in means.items() if mean <= _UNLIKE]
    if near:
        side = "before" if near[0] < 0 else "behind"
        raise _wrong(
            dialect,
            f"log-probabilities of scored text are off by one: those of a position stand {side} it",
        )
    raise _wrong(
        dialect,
        "log-probabilities of written and of scored tokens differ by "
        f"{means[0]:.3g} on average: those of scored text are not the model's "
        "own, or are shifted",
    )


def _apart(one: Listed, row: int, other: Listed, place: int) -> float:
    """Mean difference of the most probable tokens' logs; a token that is not listed there counts
    as far away."""
    found = dict(zip(other.ids[place].tolist(), other.logs[place].tolist(), strict=True))
    likely = [
        (token, log)
        for token, log in zip(
            one.ids[row].tolist()[:_NEAR], one.logs[row].tolist()[:_NEAR], strict=True
        )
        if token >= 0
    ]
    floor = float(other.logs[place][other.ids[place] >= 0].min())
    return float(
        np.mean([abs(log - found.get(token, min(floor, log) - 1)) for token, log in likely])
    )


def _check_raw(dialect: Dialect, ids: list[int], listed: Listed, top: int) -> None:
    """Logs of written tokens must not be those of the law that is sampled from."""
    place = int(listed.logs[:, 0].argmin())  # where it is least sure
    written = dialect.write(ids[: place + 1], 1, Sampling(0.5, top_k=2), 0, top)
    token, own = written.tokens[0], float(written.listed.own[0])
    raw = listed.logs[place][listed.ids[place] == token]
    if len(raw) and abs(own - float(raw[0])) > _RAW + 0.1 * abs(float(raw[0])):
        raise _wrong(
            dialect,
            f"log-probabilities of written tokens are processed: {own:.4g} at "
            f"temperature 0.5 and top_k 2, {float(raw[0]):.4g} by the model "
            f"alone; start it without {dialect.processed_by}",
        )


def _check_gap(dialect: Dialect, ids: list[int], top: int) -> Tested:
    """Greedy text, written and then scored."""
    written = dialect.write(ids, _WRITTEN, Sampling(0.0), 0, top)
    if not written.tokens:
        raise _wrong(dialect, "it writes nothing")
    scored = dialect.score(ids, written.tokens, top)
    gap = np.abs(written.listed.own - scored.own)
    fault = gap_fault(float(gap.sum()) / max(len(gap), _WRITTEN), float(gap.max()), DTYPE)
    if fault:
        raise _wrong(dialect, fault)
    return Tested(float(gap.mean()), float(gap.max()))


def check_one_tokenizer(dialects: list[Dialect], ids: list[int]) -> None:
    """Raise HedgespecError unless all servers have the target's `ids` of the known text."""
    if len(ids) < 2:
        raise HedgespecError("the tokenizer makes fewer than two tokens of the self-test's text")
    for dialect in dialects:
        check_tokenizer(dialect, ids)
