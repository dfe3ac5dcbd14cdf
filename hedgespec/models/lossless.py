"""Whether a model can be read in pieces, and forget what it read last, as live decoding does.

Its logits must then be those that its own `generate` draws from, up to rounding. A state that
cannot be cut (Mamba and its kind), a window that is kept otherwise, or a RoPE that changes with the
length would make another text, and nothing would tell.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from hedgespec.errors import HedgespecError
from hedgespec.models.cached import CachedModel
from hedgespec.models.fixed_tensors import StaticModel
from hedgespec.models.target import LanguageModel

# |difference| / |logits| of a row that rounding may make, at most.
_ROUNDING = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}
# Tokens before each place that is looked at, and behind it.
_BEFORE, _BEHIND = 4, 8
_FIRST = 12
_LENGTHS = re.compile("window|chunk|block_size|local_attention")
# RoPE types that are the same at all lengths.
_STEADY_ROPE = {None, "default", "linear", "llama3", "yarn", "proportional", "mrope"}
_PATIENCE = 10.0  # seconds
_FEW = 64


@dataclass(frozen=True)
class Lossless:
    """What was found: texts of at most `length` tokens are read alike; None: all of them.

    `reason` says why longer ones are not, or are not known to be if `unknown`.
    """

    length: int | None
    reason: str = ""
    unknown: bool = False


class _Reader(Protocol):
    """One of the ways in which live decoding reads a text."""

    def read(self, tokens: torch.Tensor) -> torch.Tensor: ...

    def cut(self, length: int) -> None: ...


class _Cached:
    def __init__(self, model: LanguageModel):
        self._model = CachedModel(model)

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._model.read(tokens)[0]

    def cut(self, length: int) -> None:
        self._model.cut(length)


class _Tree(_Cached):
    """Several tokens are a path of a tree that has another branch too."""

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        count = len(tokens)
        if count == 1:
            return super().read(tokens)
        final, _ = self._model.read_tree(
            torch.cat([tokens, tokens[:1]]), [*range(-1, count - 1), 0]
        )
        self._model.keep(list(range(count)))
        return final[:count]


class _Static:
    def __init__(self, model: LanguageModel, room: int):
        self._model, self._length, self._device = StaticModel(model, room), 0, model.device

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        places = torch.arange(self._length, self._length + len(tokens), device=self._device)
        self._length += len(tokens)
        return self._model.read(tokens, places)[0]

    def cut(self, length: int) -> None:
        self._length = length


_FOUND: "WeakKeyDictionary[Any, dict[str, Lossless]]" = WeakKeyDictionary()


def check_lossless(
    model: LanguageModel, *, branches: bool = False, static: bool = False
) -> Lossless:
    """What is found of a model, once for each way of reading it. Takes seconds.

    It is read piece by piece into a growing cache; with `branches` trees of drafts too, and with
    `static` into fixed tensors, both of which want plain attention. Raises HedgespecError, with the
    reason, if not even short texts are read alike.
    """
    known = _FOUND.setdefault(model.model, {})
    for name in ["cached", *branches * ["tree"], *static * ["static"]]:
        if name not in known:
            with torch.inference_mode():
                known[name] = _examine(model, name)
        if known[name].length == 0:
            raise HedgespecError(known[name].reason)
    return known["cached"]


def _examine(model: LanguageModel, reader: str) -> Lossless:
    known, pace = 0, 0.0
    for place, what in [(min(_FIRST, model.context_length - _BEHIND), ""), *_places(model)]:
        if place * pace > _PATIENCE:
            return Lossless(
                known,
                f"{model.id}: texts of more than {known} tokens were not "
                f"checked, which would take some {place * pace:.0f} seconds here, for "
                f"{what}: they may not be the target's own",
                unknown=True,
            )
        right, difference = _compare(model, reader, place)
        if difference:
            known = max(known, right)
            return Lossless(known, _refusal(model, known, what, difference))
        known, pace = place, pace or _pace(model)
    return Lossless(None)


def _pace(model: LanguageModel) -> float:
    """Seconds that a further token of a prompt takes, which is read twice."""
    ids = torch.full((1, min(_FEW, model.context_length)), 3, device=model.device)
    started = perf_counter()
    float(model.hidden_states(ids, torch.ones_like(ids), ())[model.layers].sum())
    return 2 * (perf_counter() - started) / ids.shape[1]


def _reader(model: LanguageModel, name: str, room: int) -> _Reader:
    if name == "static":
        return _Static(model, room)
    return _Tree(model) if name == "tree" else _Cached(model)


def _places(model: LanguageModel) -> list[tuple[int, str]]:
    """Where the model may begin to read otherwise: tokens, and what happens there; in order."""
    found = {
        length: f"{name} = {length}"
        for name, length in _lengths(model.model.config.get_text_config().to_dict())
    }
    if model.rope_switch is not None:
        found[model.rope_switch] = f"RoPE (longrope), which switches at {model.rope_switch} tokens"
    longest = model.context_length - _BEHIND
    return sorted((length, what) for length, what in found.items() if _FIRST < length <= longest)


def _lengths(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    steady = config.get("rope_type") in _STEADY_ROPE
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _lengths(value)
        elif (
            isinstance(value, int)
            and not isinstance(value, bool)
            and (
                _LENGTHS.search(name) or (name == "original_max_position_embeddings" and not steady)
            )
        ):
            yield name, value


def _compare(model: LanguageModel, reader: str, place: int) -> tuple[int, str]:
    """How what a reader gives differs from what `generate` draws from; "" if by rounding alone.

    Also returns up to which length of a text it does not.
    """
    start, end = max(2, place - _BEFORE), place + _BEHIND
    text = torch.randint(
        3, max(4, model.vocabulary_size), (end,), generator=torch.Generator().manual_seed(place)
    ).to(model.device)
    text %= model.vocabulary_size
    try:
        own = _own_logits(model, text, start)
        found = model.logits(_in_pieces(_reader(model, reader, 2 * end), text, start))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # whatever its code does where it was not made for this
        return 0, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    off = (found - own).norm(dim=-1) / own.norm(dim=-1).clamp(min=1e-6)
    wrong = ~(off <= _ROUNDING.get(model.dtype, 0.25))
    if not wrong.any():
        return end, ""
    first = int(wrong.nonzero()[0])
    return start + first - 1 if first else 0, f"its logits are off by {float(off.max()):.0%}"


def _own_logits(model: LanguageModel, text: torch.Tensor, start: int) -> torch.Tensor:
    """Logits (n, V) of what follows the first `start`, ..., all tokens of a text (L)."""
    with _own_defaults(model.model):
        output = model.model.generate(
            text[None, :start],
            attention_mask=torch.ones_like(text[None, :start]),
            logits_processor=LogitsProcessorList([_Follow(text)]),
            do_sample=False,
            max_new_tokens=len(text) - start + 1,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return torch.cat(output.logits)


@contextmanager
def _own_defaults(model: Any) -> Iterator[None]:
    """Without the settings of its generation_config.json."""
    before, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = before


class _Follow(LogitsProcessor):
    """Leaves generate no choice but a given text."""

    def __init__(self, text: torch.Tensor):
        self._text = text

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = min(input_ids.shape[1], len(self._text) - 1)
        return torch.full_like(scores, -torch.inf).index_fill_(-1, self._text[place : place + 1], 0)


def _in_pieces(reader: _Reader, text: torch.Tensor, start: int) -> torch.Tensor:
    """Final states (n, H) of the tokens from number `start` on (the first is 1), read in rounds.

    Each round reads a draft that is cut again, and then tokens of the text, one to three.
    """
    length, parts = start - 1, []
    reader.read(text[:length])
    for number in range(len(text)):
        wrong = text[: 2 + number % 4].flip(0)
        reader.read(wrong)
        reader.cut(length)
        piece = text[length : length + 1 + number % 3]
        parts.append(reader.read(piece))
        length += len(piece)
        if length == len(text):
            break
    return torch.cat(parts)


def _refusal(model: LanguageModel, known: int, what: str, difference: str) -> str:
    kind = type(model.model).__name__
    if getattr(model.model, "_is_stateful", False) or _has_a_state(model):
        why = f"the state of {kind} cannot be cut back to where a draft was rejected"
    elif what:
        why = f"{what}, changes how {kind} reads a text in pieces"
    else:
        why = f"{kind} does not read a text in pieces as it reads it whole"
    beyond = f" of more than {known} tokens" if known else ""
    return (
        f"{model.id}: texts{beyond} cannot be decoded live, nor its rounds be timed: {why} "
        f"({difference})"
    )


def _has_a_state(model: LanguageModel) -> bool:
    kinds = getattr(model.model.config.get_text_config(), "layer_types", None) or ()
    return any(re.search("linear|conv|mamba|recurrent|hybrid", str(kind)) for kind in kinds)
