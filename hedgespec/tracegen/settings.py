"""What a recording is made of. No torch here: the command line's options are made from it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.options import (
    COMPILE_COSTS,
    DEVICES,
    DRAFTERS,
    DTYPE,
    SPLIT,
    TARGET,
    TEMPERATURE,
    TOP_K,
    TOP_P,
)
from hedgespec.models.settings import Sampling
from hedgespec.options import Option, check_ranges, seed_option
from hedgespec.traces.schema import MAX_DRAFT_LENGTH, PRECISIONS

TOKENS, CPU_TOKENS = 512, 96
CPU_PER_DOMAIN = 1
# Of other recordings too.
RULES = Option(
    "also record what these verification rules need: gumbel, multi:K, multi-without:K, "
    "kseq:K (docs/rules.md); sampling, greedy, onehot and block need nothing",
    "RULE",
)
TREES = Option(
    "also record draft trees from every position: dynamic[:TOTAL,DEPTH,TOPK] (EAGLE-2; "
    "60,7,10) or static[:FILE] (rank paths). Replay them with `hedgespec sim --rule "
    "tree`; NAME=SHAPE gives `--rule tree:NAME`",
    "SHAPE",
)


def idle_compiled(device: str, measured: bool = True) -> tuple[str, bool, str]:
    """What `refuse_idle` is to refuse where no costs, or none of compiled kernels, are measured."""
    return (
        "compiled",
        measured and device not in ("cpu", SPLIT),
        "costs of compiled kernels are measured on one GPU, where costs are",
    )


def share_of(part: str | None) -> tuple[int, int]:
    """What the process of a part I/N does, I, and the number of parts; None is the only one.

    Raises HedgespecError for what is no such part.
    """
    if part is None:
        return 0, 1
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", part)
    if found is None or not int(found[1]) < int(found[2]):
        raise HedgespecError(f"{arg('part', part)}: expected I/N with I from 0 to N-1")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class RecordSettings:
    """Everything that shapes a recording.

    `target` is a model as `load_model` reads it, `drafters` are specifications as `make_drafters`
    reads them, by default `default_drafters`. `out` is the folder of the trace that is called
    `name`. None as `per_domain` are all questions, as `batch_size` 256 on a GPU and 8 on a CPU.
    """

    target: Annotated[str, TARGET]
    prompts: Annotated[
        Path,
        Option(
            "question.jsonl: question_id, category (the domain), turns (default: bundled)", "FILE"
        ),
    ]
    out: Annotated[
        Path, Option("trace directory to make (default: recordings/NAME)", "DIR", made=True)
    ]
    name: Annotated[
        str, Option("name of the trace (default: --out's, else from prompts file and temperature)")
    ]
    drafters: Annotated[tuple[str, ...], DRAFTERS] = ()
    temperature: Annotated[float, TEMPERATURE] = Sampling.temperature
    top_p: Annotated[float, TOP_P] = Sampling.top_p
    top_k: Annotated[int, TOP_K] = Sampling.top_k
    seed: Annotated[int, seed_option("seed of the sampled text")] = 0
    max_new_tokens: Annotated[
        int,
        Option(f"longest answer, in tokens (default: {TOKENS}, on a CPU {CPU_TOKENS})", "N", low=1),
    ] = TOKENS
    draft_length: Annotated[
        int,
        Option(
            "default draft length of replays of this trace; others can be replayed too",
            "K",
            low=1,
            high=MAX_DRAFT_LENGTH,
        ),
    ] = 5
    per_domain: Annotated[
        int | None,
        Option(
            "questions of each domain (default: all; with the bundled prompts on a CPU, "
            f"{CPU_PER_DOMAIN})",
            "N",
            low=1,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(
            "answers written at once; halved automatically when memory runs out (default: 256 on a "
            "GPU, 8 on a CPU)",
            "N",
            low=1,
        ),
    ] = None
    device: Annotated[str, DEVICES] = "cpu"
    dtype: Annotated[str, DTYPE] = "float32"
    precision: Annotated[
        str,
        Option(
            "compact rounds statistics (docs/trace-format.md says how much); full keeps float32",
            choices=tuple(PRECISIONS),
        ),
    ] = "compact"
    costs: Annotated[
        bool, Option("do not measure how long target and drafters take (default: measure first)")
    ] = True
    compiled: Annotated[bool, COMPILE_COSTS] = False
    resume: Annotated[bool, Option("continue an interrupted recording in --out")] = False
    part: Annotated[
        str | None,
        Option(
            "record every N-th batch, from the I-th (0..N-1) on; N processes, each with its own --part "
            "(and GPU), make one trace in one --out (default: all; under torchrun, the rank's part)",
            "I/N",
        ),
    ] = None
    rules: Annotated[tuple[str, ...], RULES] = ()
    trees: Annotated[tuple[str, ...], TREES] = ()
    features: Annotated[
        bool,
        Option(
            "also record how sure each drafter is, by its top probability and entropy: 8 bytes per "
            "token and drafter before compression"
        ),
    ] = False

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)

    @property
    def share(self) -> tuple[int, int]:
        """The part that this process records, and the number of parts. Raises HedgespecError."""
        return share_of(self.part)


@dataclass
class RecordingProgress:
    """What a recording reports: queries and tokens done, and what it is doing."""

    queries_total: int = 0
    queries_done: int = 0
    tokens: int = 0
    tokens_resumed: int = 0
    phase: str = "loading models"
