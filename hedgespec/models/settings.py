"""How text is sampled. No torch here: the command line's options are made from it."""

from dataclasses import dataclass
from typing import Annotated

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.options import TEMPERATURE, TOP_K, TOP_P


def idle_at(temperature: float, *, seed: bool = False) -> list[tuple[str, bool, str]]:
    """What `refuse_idle` is to refuse at a temperature; with `seed` that too, if it draws texts
    alone."""
    return [
        (name, temperature != 0, f"at {arg('temperature', 0)} the likeliest token is taken")
        for name in ("top_p", "top_k", *seed * ["seed"])
    ]


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy; top_p 1 and top_k 0 are off.

    Raises HedgespecError for values out of range.
    """

    temperature: Annotated[float, TEMPERATURE] = 1.0
    top_p: Annotated[float, TOP_P] = 1.0
    top_k: Annotated[int, TOP_K] = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.temperature != 0 and not 0.01 <= self.temperature <= 100:
            raise HedgespecError(
                f"{arg('temperature')} must be 0 (greedy) or lie in [0.01, 100], not "
                f"{self.temperature}"
            )
        if not 0 < self.top_p <= 1:
            raise HedgespecError(f"{arg('top_p')} must lie in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise HedgespecError(f"{arg('top_k')} must be >= 0, not {self.top_k}")
