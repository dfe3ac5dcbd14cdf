"""torch.compile, as decoding and training ask for it."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from hedgespec.errors import HedgespecError
from hedgespec.files import cache_folder

_SHAPES = 256  # of one function: numbers of tokens, rooms, models


def compile_shapes(work: Callable[..., Any]) -> Callable[..., Any]:
    """`work` with kernels made by torch.compile for each shape of its arguments.

    After eight shapes of one function torch would go on without compiling, and only log it. What is
    compiled is kept on disk, beside what else hedgespec compiles.
    """
    _keep_kernels()
    torch._dynamo.config.recompile_limit = max(_SHAPES, torch._dynamo.config.recompile_limit)
    compiled: Callable[..., Any] = torch.compile(work, dynamic=False)
    return compiled


def _keep_kernels() -> None:
    """Have torch keep its kernels in a folder of the user's own, unless one was named.

    By default it keeps them where the system deletes them now and then.
    """
    with suppress(HedgespecError, OSError):
        folder = cache_folder() / "torch"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.lstat()
        own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
        if own and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def free_size(tensor: torch.Tensor | None, size: int) -> None:
    """Have torch.compile make kernels for any length of a dimension of `tensor`, if it is not 1."""
    if tensor is not None and tensor.shape[size] > 1:
        torch._dynamo.maybe_mark_dynamic(tensor, size)
