"""What a selector chooses between: drafters, or pairs of a drafter and a draft length."""

from dataclasses import dataclass

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.traces import Trace


@dataclass(frozen=True)
class Arms:
    """N arms: `names`, the number of each one's drafter in the trace, and its draft length."""

    names: list[str]
    drafters: np.ndarray
    lengths: np.ndarray

    @property
    def longest(self) -> int:
        """The greatest draft length."""
        return int(self.lengths.max())

    def spread(self, statistic: np.ndarray) -> np.ndarray:
        """A statistic (T, D, drafters) of acceptance as (T, D', N).

        Behind an arm's draft length acceptance is 0. The target's token that follows a whole draft
        is then the one that follows a rejection there, so that rounds and expected tokens are those
        of the shorter draft.
        """
        if (self.lengths == self.longest).all():
            return np.ascontiguousarray(statistic, dtype=np.float32)  # one arm per drafter
        depth = np.minimum(np.arange(self.longest), statistic.shape[1] - 1)
        spread = statistic[:, depth][:, :, self.drafters].astype(np.float32)
        spread[:, np.arange(self.longest)[:, None] >= self.lengths] = 0.0
        return np.ascontiguousarray(spread)


def make_arms(trace: Trace, draft_length: int, lengths: tuple[int, ...]) -> Arms:
    """The drafters with one draft length, or, if `lengths` are given, with each of them.

    Raises HedgespecError if a length stands twice.
    """
    names = trace.manifest.drafter_names
    if not lengths:
        return Arms(names, np.arange(len(names)), np.full(len(names), draft_length))
    if len(set(lengths)) < len(lengths):
        raise HedgespecError(f"--arm-lengths names a length twice: {list(lengths)}")
    return Arms([f"{name}*{length}" for name in names for length in lengths],
                np.repeat(np.arange(len(names)), len(lengths)), np.tile(lengths, len(names)))
