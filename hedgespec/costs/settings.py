"""What is profiled. No torch here: the command line's options are made from it."""

from dataclasses import dataclass
from typing import Annotated

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.options import COMPILE, DEVICE, DTYPE
from hedgespec.options import Option, check_ranges


@dataclass(frozen=True)
class ProfileSettings:
    """Which rounds are timed: of `heads` EAGLE-3 heads and a selector, after `context` tokens."""

    heads: Annotated[int, Option("number of EAGLE-3 heads", "N", low=1)] = 10
    draft_length: Annotated[int, Option("draft tokens per round", "K", low=1)] = 5
    draft_vocabulary: Annotated[int, Option("size of a head's vocabulary", "V", low=1)] = (
        32000  # of the released EAGLE-3 heads
    )
    context: Annotated[int, Option("tokens before the round", "L", low=1)] = 256
    selector: Annotated[str, Option("selector whose time per round is measured", "NAME")] = (
        "normalhedge"
    )
    widths: Annotated[
        tuple[int, ...],
        Option(
            "further numbers of tokens that the target reads at once, as with draft trees",
            "W",
            low=1,
            high=99_999,
            empty=True,
        ),
    ] = (2, 16, 32, 64)
    repeats: Annotated[
        int | None,
        Option("repeats of each part, in turn (default: 20 on a GPU, 5 on a CPU)", "R", low=3),
    ] = None
    batches: Annotated[
        tuple[int, ...],
        Option(
            "further numbers of texts decoded at once; the file gets costs for each, for `hedgespec "
            "sim --batch`",
            "B",
            low=1,
            high=99_999,
            empty=True,
        ),
    ] = ()
    contexts: Annotated[
        tuple[int, ...],
        Option(
            "further numbers of tokens before the round; the file gets costs for each",
            "L",
            low=1,
            high=9_999_999,
            empty=True,
        ),
    ] = ()
    compiled: Annotated[bool, COMPILE] = False
    device: Annotated[str, DEVICE] = "cpu"
    dtype: Annotated[str, DTYPE] = "float32"

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)
        for name, context in (
            ("context", self.context),
            *(("contexts", context) for context in self.contexts),
        ):
            if context <= self.draft_length:
                raise HedgespecError(
                    f"{arg(name)} must be longer than the draft of "
                    f"{self.draft_length} tokens, not {context}"
                )
