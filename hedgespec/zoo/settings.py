"""What a zoo and the experiment recorded with it are made of.

No torch here: the command line's options are made from it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.options import COMPILE_COSTS, DEVICES, DTYPE, TARGET
from hedgespec.models.settings import Sampling
from hedgespec.options import Option, check_ranges, seed_option
from hedgespec.tracegen.settings import RULES, TREES, share_of
from hedgespec.zoo.questions import DOMAINS

GENERAL = "general"
GENERALIST, MIXED = "generalist", "generalist-mixed"
PARALLEL, RECURRENT = "parallel", "redrafter"
METHODS = (PARALLEL, RECURRENT)
EXPERT_DOMAINS = tuple(domain for domain in DOMAINS if domain != GENERAL)
LOSSES = ("kl", "tv", "length")
CPU_SCALE, CPU_PER_DOMAIN, CPU_TOKENS, CPU_POSITIONS = 0.004, 1, 48, 512
# Peak learning rates were tuned on a target of this width (SmolLM2-135M). Wider ones want lower
# rates: with this power 7e-4 at 1536, where 6e-4 worked, and 6e-5 at 4096, near the published 5e-5.
_TUNED_WIDTH, _RATE_POWER = 576, 2.5


def rate_at_width(tuned: float, width: int) -> float:
    """The learning rate for a target of a width, of the one tuned at width 576."""
    return tuned * min(1.0, (_TUNED_WIDTH / width) ** _RATE_POWER)


@dataclass(frozen=True)
class ZooSettings:
    """Everything that shapes a zoo.

    `questions` and `answers` are per domain, the answers sampled to all questions in turn;
    `general_*` are those of general chat. `positions` are padded tokens per training step, `depths`
    the unrolled draft depths, `held_out` the test answers per domain. Rates that are None follow
    from the target's width: `with_rates`. `methods` are trained on
    general chat besides the generalist: a parallel head of `parallel_depths`, which starts as the
    generalist, and a recurrent one.
    """

    target: Annotated[str, TARGET]
    out: Annotated[Path, Option("folder of the zoo", "DIR", "zoo", made=True)]
    device: Annotated[str, DEVICES] = "cuda"
    dtype: Annotated[str, DTYPE] = "bfloat16"
    seed: Annotated[int, seed_option("seed of training text, weights and batches")] = 0
    temperature: Annotated[
        float, Option("temperature of the training text and of the loss", "T", "zoo_temperature")
    ] = 0.7
    domains: Annotated[
        tuple[str, ...], Option("domains to train experts for", "DOMAIN", empty=True)
    ] = EXPERT_DOMAINS
    methods: Annotated[
        tuple[str, ...],
        Option("heads of other methods to train", "METHOD", choices=METHODS, empty=True),
    ] = METHODS
    small: Annotated[
        tuple[str, ...], Option("domains to train stand-alone models for", "DOMAIN", empty=True)
    ] = ("math", "python")
    questions: int = 1500
    answers: int = 3072
    general_questions: int = 5000
    general_answers: int = 6144
    held_out: int = 64
    max_new_tokens: Annotated[
        int,
        Option(
            f"longest answer of the training text, in tokens (on a CPU {CPU_TOKENS})",
            "N",
            "answer_tokens",
            low=1,
        ),
    ] = 384
    batch_size: int = 3072
    draft_vocabulary: Annotated[
        int, Option("size of the heads' vocabulary, the most frequent tokens", "V")
    ] = 12288
    depths: Annotated[int, Option("draft depths unrolled in training", "D")] = 5
    positions: int = 16384
    mlp_width: Annotated[
        int | None, Option("width of the heads' MLP (default: the target's)", "W", low=1)
    ] = None
    loss: Annotated[str, Option("loss of the generalist (docs/zoo.md)", choices=LOSSES)] = "kl"
    expert_loss: Annotated[str, Option("loss of the experts", choices=LOSSES)] = "kl"
    generalist_steps: int = 1500
    generalist_rate: Annotated[
        float | None,
        Option(
            "peak learning rate of the generalist (default: 8e-3 up to width 576, then falling with "
            "the 2.5th power of the width)",
            "RATE",
        ),
    ] = None
    expert_steps: int = 250
    expert_rate: Annotated[
        float | None,
        Option(
            "peak learning rate of experts and generalist-mixed (default: half the generalist's "
            "default)",
            "RATE",
        ),
    ] = None
    parallel_depths: int = 8
    parallel_steps: int = 750
    parallel_rate: float | None = None
    recurrent_steps: int = 1500
    recurrent_rate: float | None = None
    small_steps: int = 150
    small_rate: float = 3e-3
    long_answers: Annotated[
        float,
        Option("share of questions, in training and in tests, that ask for a long answer", "PART"),
    ] = 0.0
    mixed: Annotated[
        bool,
        Option(
            "also train generalist-mixed: the generalist taken further on the text of all domains, "
            "for as many steps as all experts together"
        ),
    ] = False
    part: Annotated[
        str | None,
        Option(
            "make the I-th (0..N-1) of N shares of the drafters; N processes, each with its own --part "
            "(and GPU), make one zoo (default: all; under torchrun, the rank's part)",
            "I/N",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raises HedgespecError for a seed out of range."""
        check_ranges(self)

    @property
    def share(self) -> tuple[int, int]:
        """The part that this process makes, and the number of parts. Raises HedgespecError."""
        return share_of(self.part)

    def with_small_of_domains(self) -> "ZooSettings":
        """The same without small models of domains that are not trained."""
        return replace(self, small=tuple(name for name in self.small if name in self.domains))

    def with_rates(self, width: int) -> "ZooSettings":
        """The same with the learning rates that were left to the target's width."""
        tuned = {
            "generalist_rate": 8e-3,
            "expert_rate": 4e-3,
            "parallel_rate": 4e-3,
            "recurrent_rate": 4e-3,
        }
        rates: dict[str, Any] = {
            name: rate_at_width(rate, width)
            for name, rate in tuned.items()
            if getattr(self, name) is None
        }
        return replace(self, **rates)

    def scaled(self, scale: float, steps: float = 1.0) -> "ZooSettings":
        """The same with `scale` times the text and training; 1/250 is enough to try a CPU.

        Of training steps there are `steps` times as many as that. Answers stay as long as they are,
        and batches as large.
        """
        counts = {
            name: max(least, round(getattr(self, name) * scale))
            for name, least in (
                ("questions", 4),
                ("answers", 4),
                ("general_questions", 4),
                ("general_answers", 4),
                ("held_out", 2),
            )
        }
        counts |= {
            name: max(2, round(getattr(self, name) * scale * steps))
            for name in (
                "generalist_steps",
                "expert_steps",
                "parallel_steps",
                "recurrent_steps",
                "small_steps",
            )
        }
        if scale >= 1:
            del counts["held_out"]
        return replace(self, **counts)


@dataclass(frozen=True)
class ExperimentSettings:
    """What is recorded with a zoo. `spec_bench` is its question.jsonl, left out if None.

    Rephrased questions are recorded at those of their temperatures that are among `temperatures`.
    The recordings are made in `dtype`; float32 avoids any difference between the passes that
    write and that score the text. On a GPU their costs are those of decoding in the zoo's type,
    with `compiled` kernels or not. `rules` have their statistics recorded too.
    """

    out: Annotated[Path, Option("folder of the traces", "DIR", made=True)]
    per_domain: Annotated[
        int,
        Option(f"questions of each domain (default: 40, on a CPU {CPU_PER_DOMAIN})", "N", low=1),
    ] = 40
    max_new_tokens: Annotated[
        int, Option(f"longest answer, in tokens (default: 512, on a CPU {CPU_TOKENS})", "N", low=1)
    ] = 512
    spec_bench: Annotated[Path | None, Option("Spec-Bench's question.jsonl", "FILE")] = None
    spec_bench_tokens: int = 256
    temperatures: Annotated[tuple[float, ...], Option("temperatures to record at", "T")] = (
        0.7,
        0.0,
        1.0,
    )
    rephrased_temperatures: tuple[float, ...] = (0.7,)
    dtype: str = "float32"
    compiled: Annotated[bool, COMPILE_COSTS] = False
    rules: Annotated[tuple[str, ...], RULES] = ()
    trees: Annotated[tuple[str, ...], TREES] = ()
    drafters: Annotated[
        tuple[str, ...],
        Option(
            "another drafter beside the zoo's and prompt-lookup, such as small=lm:MODEL or "
            "early-exit:20; repeat the option for each",
            "SPEC",
            "drafter",
            repeated=True,
        ),
    ] = ()
    long: Annotated[
        bool,
        Option(
            "also record answers to bundled prompts that ask for long ones, at all temperatures"
        ),
    ] = False
    long_tokens: Annotated[
        int,
        Option(f"longest of the --long answers (default: 3072, on a CPU {CPU_TOKENS})", "N", low=1),
    ] = 3072

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)

    def check(self) -> None:
        """Raise HedgespecError for temperatures that recording would refuse, after the training."""
        for temperature in self.temperatures:
            try:
                Sampling(temperature)
            except HedgespecError as error:
                raise HedgespecError(f"{arg('temperatures', temperature)}: {error}") from error
            if self.temperatures.count(temperature) > 1:
                raise HedgespecError(f"{arg('temperatures')} names {temperature:g} twice")
