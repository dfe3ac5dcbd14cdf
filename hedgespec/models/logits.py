"""What logits must be: one contract for recording, live decoding, fixed tensors and trees.

Logits (rows, V) are floating numbers, none of them NaN or +inf. A row of a drafter may be -inf
throughout, which is no proposal; a row of a target has a finite number.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from hedgespec.errors import HedgespecError, arg


class LogitsError(HedgespecError):
    """Logits that break the contract; says how, as in "gave NaN logits"."""


def check_logits(logits: object, shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """Logits of a shape, the last dimension being V, as float32. Waits for the device.

    Raises LogitsError if they break the contract.
    """
    if not isinstance(logits, torch.Tensor):
        raise LogitsError(f"gave {type(logits).__name__} for logits, not a tensor")
    if logits.device != device:
        raise LogitsError(f"gave logits on {logits.device}, not on {device}")
    if logits.is_floating_point():
        logits = refuse_faulty(logits.float())
    check_shape(logits, shape)
    return logits


def check_shape(logits: torch.Tensor, shape: Sequence[int]) -> None:
    """Raise LogitsError unless logits are floating numbers of a shape; never waits."""
    if not logits.is_floating_point():
        raise LogitsError(f"gave logits of type {str(logits.dtype).removeprefix('torch.')}, not "
                          "floating numbers")
    if tuple(logits.shape) != tuple(shape):
        raise LogitsError(f"gave logits of shape {tuple(logits.shape)}, not {tuple(shape)}")


def refuse_faulty(logits: torch.Tensor, empty: bool = True) -> torch.Tensor:
    """The same logits. Raises LogitsError for NaN or +inf, and unless they may be `empty` for a row
    without a finite number; waits for the device."""
    if bool(are_faulty(logits).any()):
        raise LogitsError("gave NaN logits" if bool(logits.isnan().any()) else
                          "gave infinite logits")
    if not empty and bool(logits.isneginf().all(dim=-1).any()):
        raise LogitsError("gave logits that leave no token possible")
    return logits


def are_faulty(logits: torch.Tensor) -> torch.Tensor:
    """Whether (...) some of logits (..., V) are NaN or +inf; does not wait for the device."""
    return ~(logits < torch.inf).all(dim=-1)


@contextmanager
def recorded(who: str) -> Iterator[None]:
    """Logits that break the contract here are those of `who`, whose text is being recorded."""
    try:
        yield
    except LogitsError as error:
        raise HedgespecError(f"{who} {error}; nothing of this batch was recorded. Half precision "
                             f"may overflow: try {arg('dtype', 'float32')}") from error
