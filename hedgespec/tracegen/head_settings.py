"""What a head is tried on. No torch here: the command line's options are made from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hedgespec.models.options import DEVICES, DTYPE, TARGET
from hedgespec.options import Option, check_ranges, seed_option


@dataclass(frozen=True)
class HeadSettings:
    """The target, and how much of its own text; `prompts` are the bundled ones by default."""

    target: Annotated[str, TARGET]
    prompts: Annotated[
        Path | None, Option("question.jsonl, as for `hedgespec record` (default: bundled)", "FILE")
    ] = None
    tokens: Annotated[int, Option("number of tokens of the target's own text", "N", low=1)] = 200
    seed: Annotated[int, seed_option("seed of the sampled text")] = 0
    device: Annotated[str, DEVICES] = "cpu"
    dtype: Annotated[str, DTYPE] = "float32"

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)
