"""What an EAGLE head is made of, and how much of its drafts a target accepts."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from hedgespec.bundled import PROMPTS
from hedgespec.errors import HedgespecError
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters.eagle import Eagle, HeadDrafter
from hedgespec.models.drafters.parallel import Parallel
from hedgespec.models.heads.config_keys import read_document
from hedgespec.models.heads.eagle import EagleConfig, EagleHead, load_head
from hedgespec.models.heads.eagle.config import dialect_of
from hedgespec.models.heads.weights import read_weights
from hedgespec.models.target import LanguageModel
from hedgespec.tracegen.generate import generate_answers, query_uniforms
from hedgespec.tracegen.head_settings import HeadSettings
from hedgespec.tracegen.prompts import Query, read_questions
from hedgespec.tracegen.score import score
from hedgespec.traces.schema import statistic_column

_TEXTS = 4  # that the tokens are spread over
_CHUNK = 256
STATES, OUTPUTS = "hidden states", "layer outputs"
_NO_FLAGS = ("layer", "generation", "target_layers", "unsure_layers")


@dataclass(frozen=True)
class Trial:
    """The target's layers, counted as hidden states, if the head's config means them so.

    `used` if drafters of the head read these; `acceptance` (D) is the mean acceptance probability
    at each draft depth.
    """

    counts: str
    layers: tuple[int, ...]
    used: bool
    acceptance: list[float]


@dataclass(frozen=True)
class HeadReport:
    """A head: its dialect and generation, what differs from the plain one, and its tensors with
    their shapes and types; and its trials on `tokens` of the target's text."""

    dialect: str
    generation: int
    flags: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], str]]
    tokens: int
    trials: list[Trial]


def report_head(
    folder: Path, target: LanguageModel, settings: HeadSettings, sampling: Sampling
) -> HeadReport:
    """Read a head, and try it on the target's own text, under each count of its layers.

    Raises HedgespecError for a head that cannot be read, or is of another target.
    """
    head = load_head(folder, target.model.dtype).to(target.device)
    prompts, answers = _texts(target, settings, sampling)
    used = _used_layers(head.config, target.layers)
    trials = [
        Trial(
            counts,
            layers,
            layers == used,
            _acceptance(_reading(head, folder, layers, target), target, prompts, answers, sampling),
        )
        for counts, layers in _counted(head.config, target.layers).items()
    ]
    tensors = {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in read_weights(folder).items()
    }
    return HeadReport(
        dialect_of(read_document(folder)),
        head.config.generation,
        _flags(head.config),
        tensors,
        sum(map(len, answers)),
        trials,
    )


def _flags(config: EagleConfig) -> dict[str, Any]:
    """The settings that are not those of a plain head."""
    flags = {
        item.name: getattr(config, item.name)
        for item in fields(config)
        if item.name not in _NO_FLAGS and getattr(config, item.name) != item.default
    }
    if config.windows and not any(config.windows):
        del flags["windows"]
    rope = config.layer.rope_parameters["rope_type"]
    return flags | ({} if rope == "default" else {"rope_type": rope})


def _used_layers(config: EagleConfig, layers: int) -> tuple[int, ...] | None:
    try:
        return config.fused_layers(layers)
    except HedgespecError:
        return None


def _counted(config: EagleConfig, layers: int) -> dict[str, tuple[int, ...]]:
    """The layers by what the numbers in the config may count, as far as the target has them."""
    named = config.target_layers or config.unsure_layers
    if named is None:
        return {STATES: config.fused_layers(layers)}
    counts = {STATES: named, OUTPUTS: tuple(layer + 1 for layer in named)}
    there = {name: found for name, found in counts.items() if max(found) <= layers}
    if not there:
        config.fused_layers(layers)  # says what is wrong
    return there


def _reading(
    head: EagleHead, folder: Path, layers: tuple[int, ...], target: LanguageModel
) -> HeadDrafter:
    """A drafter that reads these layers."""
    if head.config.generation == 3 and not head.config.last_state:
        head.config = replace(head.config, target_layers=layers, unsure_layers=None)
    family = Parallel if head.config.masks else Eagle
    return family.of("head", f"{family.kind}:{folder}", head, target)


def _texts(
    target: LanguageModel, settings: HeadSettings, sampling: Sampling
) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts, and the target's own answers."""
    questions = read_questions(settings.prompts or PROMPTS, 1)[:_TEXTS]
    share = -(-settings.tokens // len(questions))
    prompts = [
        Query.of(target.tokenizer, number, question, [], share).prompt
        for number, question in enumerate(questions)
    ]
    longest = max(map(len, prompts)) + share
    if longest > target.context_length:
        raise HedgespecError(
            f"prompts and texts of {longest} tokens exceed the target's context "
            f"of {target.context_length}"
        )
    written = generate_answers(
        target,
        prompts,
        [share] * len(prompts),
        [query_uniforms(settings.seed, number, share) for number in range(len(prompts))],
        sampling,
    )
    return prompts, [answer.tokens for answer in written]


def _acceptance(
    drafter: HeadDrafter,
    target: LanguageModel,
    prompts: list[list[int]],
    answers: list[list[int]],
    sampling: Sampling,
) -> list[float]:
    scores, _ = score(target, [drafter], prompts, answers, sampling, _CHUNK)
    columns = (
        statistic_column("gamma", drafter.name, depth, drafter.depths)
        for depth in range(1, drafter.depths + 1)
    )
    return [float(scores.drafters[column].mean(dtype=np.float64)) for column in columns]
