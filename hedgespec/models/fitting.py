"""Smaller pieces when memory runs out."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from hedgespec.errors import HedgespecError, arg

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_fitting_pieces(
    work: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    on_shrink: Callable[[int], None] = lambda size: None,
) -> list[Result]:
    """work(items), halving the items whenever memory runs out; results in the items' order.

    `on_shrink` is told each new size. Raises HedgespecError if one item alone does not fit.
    """
    try:
        return work(items)
    except (torch.OutOfMemoryError, MemoryError) as error:
        if len(items) == 1:
            raise HedgespecError(
                "out of memory with a single query; use a smaller model, "
                f"{arg('dtype', 'bfloat16')} or a smaller {arg('max_new_tokens')}"
            ) from error
    # Outside the except block, so that the failed attempt's tensors can be freed.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = (len(items) + 1) // 2
    on_shrink(half)
    return [
        *in_fitting_pieces(work, items[:half], on_shrink),
        *in_fitting_pieces(work, items[half:], on_shrink),
    ]
