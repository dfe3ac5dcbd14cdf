"""Files that are written whole or not at all, checked reading, and the cache folder."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from hedgespec.errors import HedgespecError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file that then becomes `path`."""
    with replacing(path) as temporary:
        write(temporary)


def read_parquet(
    path: Path,
    error: type[HedgespecError] = HedgespecError,
    columns: list[str] | None = None,
) -> pl.DataFrame:
    """Read one Parquet file, or some of its columns; a damaged one raises `error` with its name."""
    try:
        return pl.read_parquet(path, columns=columns, memory_map=False, glob=False)
    except (Exception, pl.exceptions.PanicException) as fault:  # damaged bytes raise anything
        raise error(
            f"{path}: not readable as Parquet ({str(fault).splitlines()[0]}); "
            "the file is truncated or damaged"
        ) from fault


def check_writable(folder: Path) -> None:
    """Raise HedgespecError unless `folder` is, or can become, a folder that can be written to.

    Called before long work, so that nothing is computed that cannot be kept.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise HedgespecError(f"{folder}: {existing} is a file, not a folder")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise HedgespecError(f"{folder}: cannot write to {existing} ({error.strerror})") from error


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex sha256 of the UTF-8 bytes of `text`."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cache_folder() -> Path:
    """Folder for compiled kernels and fetched weights: $HEDGESPEC_CACHE or ~/.cache/hedgespec."""
    chosen = os.environ.get("HEDGESPEC_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "hedgespec"
