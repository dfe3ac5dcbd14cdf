"""What shapes live decoding. No torch here: the command line's options are made from it."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated

from hedgespec.models.options import COMPILE, DEVICE, DRAFTERS, DTYPE, TARGET
from hedgespec.models.settings import Sampling
from hedgespec.options import Option, check_ranges, read_texts, seed_option
from hedgespec.selectors.arms import ARM_LENGTHS
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss

DRAFT_LENGTH = 5
NEW_TOKENS = 200
SELECTOR = "normalhedge"
# Fields of DecoderSettings that decoders which share models, tensors and graphs may have of their
# own: how the selector learns, and what arms draft.
OWN = frozenset(("feedback", "loss", "estimator", "round_seconds", "draft_length", "arm_lengths"))


@dataclass(frozen=True)
class DecoderSettings:
    """How rounds draft and verify, how the selector learns, and how the models run.

    Drafting: text is drawn as `sampling` says. `rule` is a verification rule's name, "auto" being
    greedy at temperature 0, else sampling. Rule tree drafts the one of `trees` that has its name,
    `dynamic` by default; see `make_trees`. At most `draft_length` tokens are drafted, by default
    DRAFT_LENGTH, or a tree's levels. With `arm_lengths` instead the selector chooses between pairs
    of a drafter and one of these, 0 being an arm that drafts nothing; not with draft trees, which
    are other ones for another depth. `seed` and the number of the text give the random numbers;
    without a seed the numbers of texts, where none is given, are drawn from torch's generator.

    Learning: `feedback`, an object or its label, `loss` and `estimator` are those of the simulator;
    None is the default: of losses `seconds` if `round_seconds` (N) are given, those of a round of
    each arm (see `LiveDecoder.round_seconds`), else `accept`, which is the same for all lengths of
    a drafter. Losses in seconds need them.

    Running: `evaluate_all` evaluates every drafter on every token, at the end of a text if the
    selector does not need it before. `timed` has a GPU's own clock read for each part of a round.
    `static` has the models run on fixed tensors, by default on a GPU if all of them can; `compiled`
    then has torch.compile make their kernels, which takes a minute or more once. A drafter whose
    one call took more than `drafter_seconds` is dropped; on fixed tensors a draft is one call, and
    calls that may compile kernels are not timed (see Watch).

    Raises HedgespecError for a number out of range, or an unknown feedback or loss.
    """

    sampling: Sampling = field(default_factory=Sampling)
    rule: Annotated[
        str,
        Option(
            "verification rule: sampling, onehot, block, gumbel, multi:K, multi-without:K, kseq:K, "
            "tree[:NAME], or greedy at temperature 0 (default: auto, which is greedy at temperature 0, "
            "else sampling)",
            "RULE",
        ),
    ] = "auto"
    trees: Annotated[
        tuple[str, ...],
        Option(
            "trees that --rule tree drafts: dynamic[:TOTAL,DEPTH,TOPK] (the default; EAGLE-2, 60,7,10) "
            "or static[:FILE] (rank paths); NAME=SHAPE is for --rule tree:NAME",
            "SHAPE",
        ),
    ] = ()
    draft_length: Annotated[
        int | None,
        Option(f"draft tokens per round (default: {DRAFT_LENGTH}, or a tree's levels)", "K", low=1),
    ] = None
    arm_lengths: Annotated[tuple[int, ...], ARM_LENGTHS] = ()
    seed: Annotated[int | None, seed_option("seed of texts and choices")] = None

    feedback: Annotated[
        Feedback | None,
        Option(
            "feedback to full-information learners (default: queued)", "NAME", read=parse_feedback
        ),
    ] = None
    loss: Annotated[
        str | None,
        Option(
            "loss of full-information learners: length, accept, hybrid:X or visit (default: accept; "
            "length with feedback censored)",
            "NAME",
        ),
    ] = None
    estimator: Annotated[
        str,
        Option("estimator of the expected round length in the loss: gamma, realised or rb", "NAME"),
    ] = "gamma"
    round_seconds: tuple[float, ...] | None = None

    evaluate_all: bool = False
    timed: bool = False
    static: bool | None = None
    drafter_seconds: Annotated[
        float,
        Option(
            "seconds that one call of a drafter may take; a slower drafter is dropped, and the text "
            "goes on",
            "S",
            low=0,
        ),
    ] = 60.0
    compiled: Annotated[bool, COMPILE] = False

    def __post_init__(self) -> None:
        """Check what needs no model."""
        check_ranges(self)
        read_texts(self)
        self.given_loss  # noqa: B018 - read once, and refused here

    @property
    def base_seed(self) -> int:
        """The seed; 0 where none is given."""
        return self.seed or 0

    @cached_property
    def given_loss(self) -> Loss | None:
        """The loss; None is the learner's default."""
        if self.loss is None and self.estimator == DecoderSettings.estimator:
            return None
        return parse_loss(self.loss or "length", self.estimator)


@dataclass(frozen=True)
class LiveSettings:
    """What `hedgespec live` decodes with, and what becomes of it."""

    target: Annotated[str, TARGET]
    drafters: Annotated[tuple[str, ...], DRAFTERS] = ()
    selector: Annotated[str, Option("a learner, fixed:DRAFTER, or none (no drafts)", "NAME")] = (
        SELECTOR
    )
    per_domain: Annotated[
        int | None, Option("questions of each domain of --prompts", "N", low=1)
    ] = None
    max_new_tokens: Annotated[int, Option("longest answer, in tokens", "N", low=1)] = NEW_TOKENS
    device: Annotated[str, DEVICE] = "cpu"
    dtype: Annotated[str, DTYPE] = "float32"
    out: Annotated[
        Path | None,
        Option("folder for a log: a trace, every decision and its times", "DIR", made=True),
    ] = None
    costs: Annotated[
        bool,
        Option(
            "do not measure the models' seconds first; the log and losses of --arm-lengths "
            "need them"
        ),
    ] = True

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)
