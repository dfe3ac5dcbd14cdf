"""What the benchmarks of recording share: options, the models and prompts, and their report."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hedgespec.bundled import PROMPTS
from hedgespec.models.drafters import Drafter, default_drafters, make_drafters
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.tracegen.prompts import first_prompt, read_questions

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Models:
    """A target, drafters for it, and prompts to answer."""

    target: LanguageModel
    drafters: list[Drafter]
    prompts: list[list[int]]


def parser_of(description: str | None, out: Path) -> argparse.ArgumentParser:
    """A parser with the options of models and prompts; `out` is where the result goes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="smollm2-135m-instruct")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--drafter", action="append", default=[])
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--dtype", default="bfloat16" if DEVICE == "cuda" else "float32")
    parser.add_argument("--out", type=Path, default=out)
    return parser


def default_pool(target: LanguageModel) -> list[Drafter]:
    """The drafters that `hedgespec record` takes."""
    return make_drafters(default_drafters(target.layers), target)


def load(
    options: argparse.Namespace,
    count: int,
    pool: Callable[[LanguageModel], list[Drafter]] = default_pool,
) -> Models:
    """Load what the options name and the first `count` prompts; `pool` gives the drafters where
    none are named."""
    target = load_model(options.target, DEVICE, options.dtype)
    drafters = make_drafters(options.drafter, target) if options.drafter else pool(target)
    questions = read_questions(options.prompts)[:count]
    return Models(
        target, drafters, [first_prompt(target.tokenizer, question) for question in questions]
    )


def report(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Print what was found, and write it as JSON beside what it was found on."""
    result = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
        "torch": torch.__version__,
        "target": options.target,
        "dtype": options.dtype,
        **found,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    for key, value in result.items():
        print(f"{key:46s} {value:,.6g}" if isinstance(value, float) else f"{key:46s} {value}")
