"""What shapes decoding. No torch here: the command line takes its defaults from it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hedgespec.models.sampling import Sampling

if TYPE_CHECKING:
    from hedgespec.selectors.feedback import Feedback
    from hedgespec.selectors.learning import Loss

DRAFT_LENGTH = 5
NEW_TOKENS = 200


@dataclass(frozen=True)
class DecoderSettings:
    """How rounds draft and verify, how the selector learns, and how the models run.

    Drafting: text is drawn as `sampling` says. `rule` is a verification rule's name, "auto" being
    greedy at temperature 0, else sampling. Rule tree drafts the one of `trees` that has its name,
    `dynamic` by default; see `make_trees`. At most `draft_length` tokens are drafted, by default
    DRAFT_LENGTH, or a tree's levels. `seed` and the number of the text give the random numbers.

    Learning: `feedback` and `loss` are those of a learner; None is its default. Loss `seconds`
    needs `round_seconds` (N), those of a round of each drafter.

    Running: `evaluate_all` evaluates every drafter on every token, at the end of a text if the
    selector does not need it before. `timed` waits for the device before each clock reading.
    `static` has the models run on fixed tensors, by default on a GPU if all of them can; `compiled`
    then has torch.compile make their kernels, which takes a minute or more once.
    """

    sampling: Sampling = Sampling()  # noqa: RUF009 (frozen)
    rule: str = "auto"
    trees: tuple[str, ...] = ()
    draft_length: int | None = None
    seed: int = 0

    feedback: "Feedback | None" = None
    loss: "Loss | None" = None
    round_seconds: tuple[float, ...] | None = None

    evaluate_all: bool = False
    timed: bool = False
    static: bool | None = None
    compiled: bool = False
