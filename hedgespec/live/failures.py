"""What is said of drafters that fail: decoding goes on without them."""

import warnings


class DrafterFailureError(Exception):
    """The work of some drafters raised."""

    def __init__(self, arms: list[int], error: Exception):
        self.arms, self.reason = arms, reason_of(error)
        super().__init__(self.reason)


def reason_of(error: Exception) -> str:
    """The error's type and the first line of what it says."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


def warn_dropped(name: str, reason: str) -> None:
    """Warn that a drafter is dropped."""
    warnings.warn(f"drafter {name} is dropped, decoding goes on without it: {reason}",
                  RuntimeWarning, stacklevel=3)
