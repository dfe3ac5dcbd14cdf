"""What each part of a live round takes, with each way to make it faster on and off, in one run.

    python -m benchmarks.live_parts --compile
    python -m benchmarks.live_parts --compile --variants all keys-in-one-piece
    python -m benchmarks.live_parts --device cpu --dtype float32 --target toy --context 64

Speed depends on shapes, not on values: target and heads have random weights. The target's pass is
set against the time of reading its weights, which is their bytes over the bandwidth that copying a
large tensor has. The first variant is measured again at the end, which shows how the machine
drifts. With --compile each variant compiles anew, a minute or two on an H100 the first time.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch

from hedgespec.costs.measure import device_name
from hedgespec.costs.profile import TARGETS, random_heads, random_target
from hedgespec.costs.timing import Timed, time_in_turn
from hedgespec.live import DecoderSettings, LiveDecoder
from hedgespec.live.graphs import Captured
from hedgespec.live.static_engine import StaticEngine
from hedgespec.models.settings import Sampling
from hedgespec.models.target import LanguageModel

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-coder-1.5b": {
        "model_type": "qwen2",
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
    },
    "toy": {
        "model_type": "qwen2",
        "vocab_size": 500,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    },
}
# What is put in the place of what makes rounds faster.
OFF: dict[str, tuple[tuple[str, Callable[..., object]], ...]] = {
    "products-one-by-one": (("hedgespec.costs.profile.fuse_products", lambda network: None),),
    "keys-in-one-piece": (("hedgespec.models.grouped_attention.chunk_of", lambda keys: 0),),
    "whole-vocabulary": (
        ("hedgespec.live.static_drafters.known_tokens", lambda heads: None),
        ("hedgespec.live.batched.known_tokens", lambda heads: None),
    ),
    "a-room-each": (("torch._dynamo.maybe_mark_dynamic", lambda tensor, size: None),),
}
VARIANTS = ("all", *OFF, "none")
_WALL_ROUNDS = 40
_FIRST = 5  # rounds in which graphs are made


@dataclass(frozen=True)
class Row:
    """Seconds of the parts of a round in one variant, and of all that comes before."""

    variant: str
    parts: dict[str, float]
    reading: float
    preparing: float

    def cells(self) -> list[str]:
        """Milliseconds, and what the goals are about."""
        parts, whole = self.parts, self.parts["round"]
        times = [f"{1e3 * seconds:.3f}" for seconds in parts.values()]
        rest = whole - parts["pass K+1"] - parts["draft"]
        return [
            self.variant,
            *times,
            f"{parts['pass K+1'] / self.reading:.2f}",
            f"{1e3 * rest:.3f}",
            f"{100 * rest / whole:.0f}",
            f"{self.preparing:.0f}",
        ]


def main() -> None:
    """Measure, and print the table after each variant."""
    options = _options()
    device = torch.device(options.device)
    bandwidth = copy_bandwidth(device)
    print(
        f"{options.target} with random weights, {options.dtype}, {device_name(device)}, "
        f"{options.heads} heads, K = {options.draft_length}, after {options.context} tokens, "
        f"{'compiled' if options.compile else 'not compiled'}; "
        f"copying {bandwidth / 1e9:.0f} GB/s"
    )
    rows: list[Row] = []
    for variant in [*options.variants, options.variants[0]]:
        rows.append(measured(variant, options, bandwidth))
        print(table(rows), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--target",
        default="qwen2.5-coder-1.5b",
        help=f"{', '.join(SHAPES)}, a name of `hedgespec profile`, or a model's config.json",
    )
    add("--heads", type=int, default=10)
    add("--draft-vocabulary", type=int, default=24576)
    add("--draft-length", type=int, default=5)
    add("--context", type=int, default=1024)
    add("--device", default="cuda")
    add("--dtype", default="bfloat16")
    add("--repeats", type=int, default=50)
    add("--compile", action="store_true")
    add("--variants", nargs="+", default=VARIANTS, choices=VARIANTS)
    return parser.parse_args()


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second, those read and those written, of copying a tensor that no cache holds."""
    source = torch.empty(
        (1 << 30) if device.type == "cuda" else (1 << 27), dtype=torch.uint8, device=device
    )
    target = torch.empty_like(source)
    found = time_in_turn([Timed("copy", lambda: None, partial(target.copy_, source))], device)
    return 2 * source.numel() / found.medians["copy"]


@contextmanager
def switched(variant: str) -> Iterator[None]:
    """Within, what the variant names is off; nothing compiled before is used."""
    names = {"all": (), "none": tuple(OFF)}.get(variant, (variant,))
    torch._dynamo.reset()
    with ExitStack() as stack:
        for place, instead in (pair for name in names for pair in OFF[name]):
            stack.enter_context(patch(place, instead))
        yield
    torch._dynamo.reset()


def measured(variant: str, options: argparse.Namespace, bandwidth: float) -> Row:
    """Build everything anew and time it."""
    with switched(variant), torch.inference_mode():
        target = _target(options)
        heads = random_heads(target, options.heads, options.draft_vocabulary)
        decoder = LiveDecoder(
            target,
            list(heads),
            "normalhedge",
            DecoderSettings(
                sampling=Sampling(0.7),
                draft_length=options.draft_length,
                static=True,
                compiled=options.compile,
            ),
        )
        started = perf_counter()
        parts = round_parts(target, decoder, options.context)
        for _ in range(2):  # compiled, then captured
            for part in parts:
                part.prepare()
                part.work()
        preparing = perf_counter() - started
        medians = time_in_turn(parts, target.device, options.repeats).medians
        medians["round"] = wall_seconds(decoder, options.context)
        return Row(variant, medians, weight_bytes(target) / bandwidth, preparing)


def _target(options: argparse.Namespace) -> LanguageModel:
    return shaped_target(options.target, options.device, options.dtype)


def shaped_target(shape: str, device: str, dtype: str) -> LanguageModel:
    """One of SHAPES, or as `random_target` takes it, with random weights."""
    if shape in TARGETS or shape not in SHAPES:
        return random_target(shape, device, dtype)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(SHAPES[shape]), encoding="utf-8")
        return random_target(str(file), device, dtype)


def weight_bytes(target: LanguageModel) -> int:
    """Of what a pass reads: all weights, an embedding only where it is the head as well."""
    embedding, head = target.model.get_input_embeddings(), target.model.get_output_embeddings()
    tied = embedding.weight is head.weight
    whole = sum(parameter.nbytes for parameter in target.model.parameters())
    return whole - (0 if tied else embedding.weight.nbytes)


def round_parts(target: LanguageModel, decoder: LiveDecoder, context: int) -> list[Timed]:
    """The target's pass over one token and K+1, alone and with acceptance, a draft, evaluation."""
    engine = decoder.engine
    assert isinstance(engine, StaticEngine)
    engine._prepare_to_measure(context)
    parts, few = engine._parts, engine._draft_length + 1
    places = context - 1 + torch.arange(few, device=target.device)
    tokens = torch.zeros(few, dtype=torch.long, device=target.device)

    def read(count: int) -> None:
        target.logits(parts._model.read(tokens[:count], places[:count])[0])

    def prepare() -> None:
        parts.rewind(context)
        parts.place(context - few, context)

    return [
        *(
            Timed(name, prepare, Captured(partial(read, count), target.device))
            for name, count in (("pass 1", 1), ("pass K+1", few))
        ),
        Timed("verified", prepare, partial(engine._verify, few - 1)),
        Timed("draft", prepare, partial(engine._draft, 0, few - 1)),
        Timed("evaluation", prepare, partial(engine._evaluate_in_batch, few)),
    ]


def wall_seconds(decoder: LiveDecoder, context: int) -> float:
    """Median of a whole round with NormalHedge, which has all heads evaluated each time."""
    prompt = torch.randint(
        decoder.target.vocabulary_size, (context,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    seconds: list[float] = []
    started = perf_counter()
    for _ in decoder.rounds(prompt, _WALL_ROUNDS * (decoder.draft_length + 1), 0):
        seconds.append(perf_counter() - started)
        started = perf_counter()
        if len(seconds) == _WALL_ROUNDS:
            break
    return median(seconds[_FIRST:])


def table(rows: list[Row]) -> str:
    """Markdown, in milliseconds."""
    heads = [
        "what is on",
        *(f"{name}, ms" for name in rows[0].parts),
        "pass K+1 over reading the weights",
        "all but pass and draft, ms",
        "of the round, %",
        "compiling, s",
    ]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
