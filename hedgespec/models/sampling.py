"""How text is sampled. No torch here: settings hold it, and the command line its defaults."""

from dataclasses import dataclass

from hedgespec.errors import HedgespecError, arg


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy; top_p 1 and top_k 0 are off.

    Raises HedgespecError for values out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.temperature != 0 and not 0.01 <= self.temperature <= 100:
            raise HedgespecError(
                f"{arg('temperature')} must be 0 (greedy) or lie in [0.01, 100], not "
                f"{self.temperature}")
        if not 0 < self.top_p <= 1:
            raise HedgespecError(f"{arg('top_p')} must lie in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise HedgespecError(f"{arg('top_k')} must be >= 0, not {self.top_k}")
