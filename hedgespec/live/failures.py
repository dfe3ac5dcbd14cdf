"""What is said of drafters that fail: decoding goes on without them."""

import warnings

from hedgespec.live.time_limit import TooLongError
from hedgespec.models.logits import LogitsError


class DrafterFailureError(Exception):
    """The work of some drafters raised."""

    def __init__(self, arms: list[int], error: BaseException):
        self.arms, self.reason = arms, reason_of(error)
        super().__init__(self.reason)


def reason_of(error: BaseException) -> str:
    """The error's type and the first line of what it says; of a drafter's own faults the words."""
    said = str(error).strip()
    if isinstance(error, LogitsError | TooLongError):
        return said
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


def warn_dropped(name: str, reason: str) -> None:
    """Warn that a drafter is dropped."""
    warnings.warn(
        f"drafter {name} is dropped, decoding goes on without it: {reason}",
        RuntimeWarning,
        stacklevel=3,
    )
