"""What logits must be: one contract for recording, live decoding, fixed tensors and trees.

Logits (rows, V) are floating numbers, none of them NaN or +inf. A row of a drafter may be -inf
throughout, which is no proposal; a row of a target has a finite number.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from hedgespec.errors import HedgespecError, arg

# What may be wrong with a target's row, by number; see `contained`.
_FAULTS = (
    "",
    "gave NaN logits",
    "gave infinite logits",
    "gave logits that leave no token possible",
)


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
        raise LogitsError(
            f"gave logits of type {str(logits.dtype).removeprefix('torch.')}, not floating numbers"
        )
    if tuple(logits.shape) != tuple(shape):
        raise LogitsError(f"gave logits of shape {tuple(logits.shape)}, not {tuple(shape)}")


def refuse_faulty(logits: torch.Tensor, empty: bool = True) -> torch.Tensor:
    """The same logits. Raises LogitsError for NaN or +inf, and unless they may be `empty` for a row
    without a finite number; waits for the device."""
    if bool(are_faulty(logits).any()):
        raise LogitsError(_FAULTS[1] if bool(logits.isnan().any()) else _FAULTS[2])
    if not empty and bool(logits.isneginf().all(dim=-1).any()):
        raise LogitsError(_FAULTS[3])
    return logits


def are_faulty(logits: torch.Tensor) -> torch.Tensor:
    """Whether (...) some of logits (..., V) are NaN or +inf; does not wait for the device."""
    return ~(logits < torch.inf).all(dim=-1)


def contained(logits: torch.Tensor, shape: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A target's logits (n, V) with zeros for faulty rows, and the rows' faults (n), 0 for none.

    Never waits for the device: `refuse_rows` is told the faults once they are on the host. Raises
    LogitsError if they are not floating numbers of a shape.
    """
    check_shape(logits, shape)
    highest = logits.amax(dim=-1)  # of a row with NaN it is NaN
    faults = highest.isnan() * 1 + highest.isposinf() * 2 + highest.isneginf() * 3
    return logits.masked_fill((faults > 0)[:, None], 0), faults


def refuse_rows(who: str, faults: Sequence[int], position: int) -> None:
    """Raise HedgespecError naming the first of the rows of `contained` that has a fault; row 0
    gives the token at `position` of the answer."""
    for place, fault in enumerate(faults, position):
        if fault:
            raise HedgespecError(
                _refusal(
                    f"{who} {_FAULTS[fault]} at position {place} of the "
                    "answer, which ends before it"
                )
            )


@contextmanager
def decoded(who: str, position: int) -> Iterator[None]:
    """Logits that break the contract here are those of `who`, whose text is being decoded from
    `position` on."""
    try:
        yield
    except LogitsError as error:
        raise HedgespecError(
            _refusal(f"{who} {error} at position {position} of the answer, which ends before it")
        ) from error


@contextmanager
def recorded(who: str) -> Iterator[None]:
    """Logits that break the contract here are those of `who`, whose text is being recorded."""
    try:
        yield
    except LogitsError as error:
        raise HedgespecError(
            _refusal(f"{who} {error}; nothing of this batch was recorded")
        ) from error


def _refusal(what: str) -> str:
    return f"{what}. Half precision may overflow: try {arg('dtype', 'float32')}"
