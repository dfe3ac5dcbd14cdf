"""Files that are written whole or not at all, checked reading, and the cache folder.

What is read is not trusted: the hash of a file is compared before anything parses it, and where
none was recorded another process tries first, since damaged bytes end a parser's process.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from hedgespec.errors import HedgespecError, arg

_STARTED = time.time()
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
_TRIAL = "import sys, polars; polars.read_parquet(sys.argv[1], memory_map=False, glob=False)"
_TRIAL_SECONDS = 300
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_path(path: Path, where: str = "") -> None:
    """Raise HedgespecError for what no system takes as a path; `where` it was read, if anywhere."""
    if "\0" in str(path):
        raise HedgespecError(f"{where}{path}: is no path: it holds a NUL character")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place atomically.

    No other process or thread has the same temporary path. Raises HedgespecError naming `path`
    where it cannot be written: a full disk, a missing permission.
    """
    check_path(path)
    if not path.name:
        raise HedgespecError(f"{path}: is a folder; name a file")
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise HedgespecError(f"{_lasting(path)}: cannot be written ({_reason(fault)})") from fault
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _lasting(path: Path) -> Path:
    """Where a file of a `folder_beside` is to be."""
    parts = (part for part in path.parts if not _TEMPORARY.fullmatch(part))
    return Path(*parts)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file that then becomes `path`."""
    with replacing(path) as temporary:
        write(temporary)


def write_table(path: Path, table: pl.DataFrame, **options: Any) -> str:
    """Write a table as Parquet; return the file's sha256."""
    content = BytesIO()  # Polars cannot write to every path that Python can
    table.write_parquet(content, **options)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getbuffer())
    return hashlib.sha256(content.getbuffer()).hexdigest()


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Yield a new folder in `folder`, to make files in that then go up with `move_up`."""
    make_folder(folder)
    beside = folder / f".{secrets.token_hex(8)}.tmp"
    make_folder(beside)
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def move_up(beside: Path, names: Iterable[str]) -> None:
    """Let files of a `folder_beside`, by their relative paths, take their places at once.

    The last of them, without which the others count for nothing, goes first and comes last.
    """
    folder, names = beside.parent, list(names)
    try:
        (folder / names[-1]).unlink(missing_ok=True)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(beside / name, folder / name)
    except OSError as fault:
        raise HedgespecError(f"{folder}: cannot be written ({_reason(fault)})") from fault


def remove_leftovers(*folders: Path) -> None:
    """Remove temporary files of processes that were killed.

    Another process may be writing now: files of this version must be older than this process.
    """
    for folder in folders:
        for left in folder.glob(".*.tmp"):
            with suppress(OSError):
                if left.lstat().st_mtime < _STARTED or not _TEMPORARY.fullmatch(left.name):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is not there, or empty but for temporary files of processes that were
    killed, perhaps while they wrote their first one."""
    return not folder.exists() or all(_TEMPORARY.fullmatch(one.name) for one in folder.iterdir())


def check_new(folder: Path) -> None:
    """Raise HedgespecError for an --out that holds anything, or where nothing can be written."""
    check_writable(folder)
    if not holds_nothing(folder):
        raise HedgespecError(f"{folder}: not empty; choose another {arg('out')}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises HedgespecError where that cannot be."""
    check_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise HedgespecError(f"{folder}: cannot be made ({_reason(fault)})") from fault


def read_parquet(
    path: Path,
    error: type[HedgespecError] = HedgespecError,
    columns: list[str] | None = None,
    sha256: str | None = None,
    where: str = "",
) -> pl.DataFrame:
    """Read one Parquet file, or some of its columns; a damaged one raises `error` with its name.

    `sha256` is the file's hash as `where` (the manifest, run.json) has it: other bytes are not
    parsed. Without one a process of its own reads the file first.
    """
    try:
        content = path.read_bytes()
        if sha256 is not None:
            _check_hash(path, content, sha256, where, error)
        else:
            _try_elsewhere(path, error)
        return pl.read_parquet(BytesIO(content), columns=columns)
    except HedgespecError:
        raise
    except (Exception, pl.exceptions.PanicException) as fault:  # damaged bytes raise anything
        raise unreadable(path, _reason(fault), error) from fault


def unreadable(path: Path, why: str, error: type[HedgespecError]) -> HedgespecError:
    """What to raise for a Parquet file that cannot be believed."""
    return error(f"{path}: not readable as Parquet ({why}); the file is truncated or damaged")


def check_hash(path: Path, sha256: str, where: str, error: type[HedgespecError]) -> None:
    """Raise `error` unless the hash of a file is what `where` (the manifest, run.json) says."""
    with open(path, "rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != sha256:
        _check_hash(path, path.read_bytes(), sha256, where, error)


def _check_hash(
    path: Path, content: bytes, sha256: str, where: str, error: type[HedgespecError]
) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found == sha256:
        return
    if not (content[:4] == content[-4:] == b"PAR1"):  # it has neither beginning nor end of one
        raise unreadable(path, f"its sha256 is not that of {where}", error)
    raise error(
        f"{path}: sha256 is {found[:12]}..., {where} says {sha256[:12]}...: the file was "
        "changed or damaged; copy or make it again"
    )


def _try_elsewhere(path: Path, error: type[HedgespecError]) -> None:
    """Raise `error` if another process cannot read the Parquet file."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL, str(path.absolute())],
            capture_output=True,
            timeout=_TRIAL_SECONDS,
        )
    except subprocess.TimeoutExpired as fault:
        raise unreadable(path, f"reading it takes over {_TRIAL_SECONDS} s", error) from fault
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise unreadable(path, said[-1] if said else "the parser crashed", error)


def read_json(path: Path, error: type[HedgespecError] = HedgespecError) -> Any:
    """The JSON in a file. Raises `error` naming the file, and the place where there is one.

    See `parse_json` for what is refused.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return parse_json(text)
    except (OSError, ValueError, RecursionError) as fault:
        raise error(f"{path}: not readable as JSON ({_reason(fault)})") from fault


def parse_json(text: str) -> Any:
    """What JSON says. Raises ValueError where texts could be understood in two ways or written in
    none: a key twice in one object, half a surrogate pair; RecursionError if nested too deeply."""
    found = json.loads(text, object_pairs_hook=_each_once)
    if "\\u" in text and (half := _SURROGATE.search(json.dumps(found, ensure_ascii=False))):
        raise ValueError(f"holds half a surrogate pair, {half[0]!r}")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def has_control(text: str) -> bool:
    """Whether a text holds NUL or another control character, which no name may."""
    return _UNPRINTABLE.search(text) is not None


def as_unicode(text: str) -> str:
    """The text with bytes of a path that are no UTF-8 written out, as in \\xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def without_folders(text: str) -> str:
    """A specification such as eagle:zoo/expert-sql, or a word of a command line, with the last part
    of a path that is there instead of the whole: where it lies means nothing elsewhere."""
    head, place = re.fullmatch(r"(.*[:=])?(.*)", text, re.DOTALL).groups("")  # type: ignore[union-attr]
    for whole, before in ((text, ""), (place, head)):
        if whole and os.path.exists(whole):
            return before + as_unicode(Path(whole).resolve().name)
    return as_unicode(text)


def _reason(fault: BaseException) -> str:
    """An error in one line, without the file's name, which stands before it."""
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return (str(fault).splitlines() or [type(fault).__name__])[0]


def check_writable(folder: Path) -> None:
    """Raise HedgespecError unless `folder` is, or can become, a folder that can be written to.

    Called before long work, so that nothing is computed that cannot be kept.
    """
    check_path(folder)
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
    """Folder for compiled kernels and fetched weights: $HEDGESPEC_CACHE or ~/.cache/hedgespec.

    Raises HedgespecError where there is no home.
    """
    chosen = os.environ.get("HEDGESPEC_CACHE")
    try:
        return Path(chosen) if chosen else Path.home() / ".cache" / "hedgespec"
    except RuntimeError as fault:
        raise HedgespecError(
            "there is no home folder for the cache; name a folder in the "
            "environment variable HEDGESPEC_CACHE"
        ) from fault
