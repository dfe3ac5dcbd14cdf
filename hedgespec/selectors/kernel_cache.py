"""Compiled functions kept on disk: a cache, which may be damaged, full, read-only or another's.

What is kept is machine code in a pickle: to load it is to run it. So it is read only from a folder
that belongs to this user and that no one else may write to, and only if its bytes have the hash
that stands before them. The hash tells damage, not malice; against that stand owner and
permissions, as for any program of the user's. Where something is wrong the function is compiled
anew, with one warning in the life of the process.
"""

import hashlib
import os
import pickle
import stat
import sys
import warnings
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from hedgespec.errors import HedgespecError
from hedgespec.files import cache_folder, replacing

_DIGEST = hashlib.sha256().digest_size
_WARNED = Event()


@cache
def state_of_learners() -> str:
    """Hash of all files of `selectors`: what a learner's functions are made of, wherever it is."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def keep_compiled(function: CPUDispatcher, name: str) -> None:
    """Have the compiled forms of `function` kept on disk; `name` says all that they depend on."""
    function._cache = _KeptFunction(f"{name}.{function.py_func.__name__}")


def kept_name(function: Any) -> str:
    """The name that was given to `keep_compiled`, and the function's own."""
    kept: _KeptFunction = function._cache
    return kept.name


def is_kept(function: Any) -> bool:
    """Whether a function of `keep_compiled` is on disk, for some arguments."""
    kept, folder = function._cache, kernel_folder()
    return (
        folder is not None
        and isinstance(kept, _KeptFunction)
        and any(folder.glob(f"{kept.name}.*.kept"))
    )


def kernel_folder() -> Path | None:
    """The folder of compiled kernels, made if need be; None, with a warning, if none can be used."""
    try:
        folder = cache_folder() / "kernels"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_own(folder, folder.lstat(), stat.S_ISDIR)
    except (HedgespecError, OSError) as fault:
        _warn(str(fault))
        return None
    return folder


class _KeptFunction(NullCache):
    """What numba asks for compiled forms of one function, and gives them to: a file for each."""

    def __init__(self, name: str):
        self.name = name

    @property
    def cache_path(self) -> str:
        """Where they are, in numba's statistics."""
        return str(kernel_folder() or "")

    def load_overload(self, sig: object, target_context: Any) -> Any:
        """The compiled form for a signature; None if it is not there or cannot be believed."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        try:
            content = _read_own(path)
            return CompileResult._rebuild(target_context, *pickle.loads(content))
        except FileNotFoundError:
            return None
        except Exception as fault:  # numba's and pickle's may be of any kind
            _warn(f"{path}: {fault}")
            return None

    def save_overload(self, sig: object, data: Any) -> None:
        """Keep a compiled form, if there is a place for it."""
        path = self._path(sig, data.codegen)
        if path is None or data.lifted or data.library.has_dynamic_globals:
            return
        try:
            content = dumps(data._reduce())
            with replacing(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
        except HedgespecError as fault:
            _warn(str(fault))

    def _path(self, sig: object, codegen: Any) -> Path | None:
        folder = kernel_folder()
        made_for = repr(
            (sig, codegen.magic_tuple(), numba.__version__, sys.version, numba.config.BOUNDSCHECK)
        )
        digest = hashlib.sha256(made_for.encode()).hexdigest()[:16]
        return folder and folder / f"{self.name}.{digest}.kept"


def _read_own(path: Path) -> bytes:
    """What follows the hash in a file of this user's. Raises ValueError for another content."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(handle, "rb") as file:
        _check_own(path, os.fstat(handle), stat.S_ISREG)
        digest, content = file.read(_DIGEST), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("damaged")
    return content


def _check_own(path: Path, status: os.stat_result, is_kind: Any) -> None:
    """Raise HedgespecError if others may have written there."""
    if not is_kind(status.st_mode):
        raise HedgespecError(f"{path}: not a plain file or folder")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise HedgespecError(f"{path}: belongs to another user")
    if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise HedgespecError(f"{path}: other users may write there")


def _warn(problem: str) -> None:
    """Say it once: the next kernel has the same problem."""
    if not _WARNED.is_set():
        _WARNED.set()
        warnings.warn(
            f"the cache of compiled kernels is not used: {problem}; they are compiled "
            "anew (its folder is $HEDGESPEC_CACHE or ~/.cache/hedgespec)",
            stacklevel=2,
        )
