"""How far the pass that wrote a text may be from the one that scored it: by rounding alone.

Where it is more, the two passes were different models (a state that was lost, a RoPE that switches
with the length), and the recorded p are not those that the text was drawn from.
"""

from pathlib import Path
from typing import Any

from hedgespec.errors import TraceError

FIELD = "log_softmax_gap"
# Mean and greatest gap. Recordings of SmolLM2-135M: 6e-6 and 1.2e-4 in float32, 0.005 and 0.03 in
# float16, 0.04 and 0.3 in bfloat16.
_LIMITS = {"float32": (1e-3, 0.05), "float16": (0.05, 1.0), "bfloat16": (0.3, 4.0)}
_OTHER = _LIMITS["bfloat16"]


def gap_fault(mean: float, greatest: float, dtype: str) -> str | None:
    """What is wrong with a mean and greatest |difference| of log-softmax; None if nothing is."""
    limits = _LIMITS.get(dtype, _OTHER)
    for name, value, limit in zip(("mean", "max"), (mean, greatest), limits, strict=True):
        if not value <= limit:
            return (
                f"the pass that wrote the text and the one that scored it are different "
                f"models: their log-softmax of the emitted tokens differ by {value:.3g} "
                f"({name}; rounding in {dtype} makes less than {limit:g})"
            )
    return None


def check_gap(recording: dict[str, Any], dtype: str, path: Path) -> None:
    """Raise TraceError if a manifest's `recording` says that its passes were different models."""
    if FIELD not in recording:
        return
    found = recording[FIELD] if isinstance(recording[FIELD], dict) else {}
    values: list[Any] = [found.get(name) for name in ("mean", "max")]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        raise TraceError(f'{path}: field "recording.{FIELD}" must hold numbers "mean" and "max"')
    mean, greatest = values
    fault = gap_fault(mean, greatest, dtype)
    if fault:
        raise TraceError(
            f'{path}: field "recording.{FIELD}": {fault}; record it again, with a '
            "target whose logits do not depend on how a text is read"
        )
