"""Traces behind a URL that fsspec reads (s3://, gs://, hf://, memory://, file://): a copy of each
is kept in the cache, so that every node reads it once."""

import hashlib
import json
import re
from pathlib import Path

from hedgespec.errors import HedgespecError, shortened
from hedgespec.files import cache_folder, make_folder, replacing, write_text

_LONGEST_REASON = 300
ORIGIN = "origin.txt"  # beside the copy: its URL
_URL = re.compile(r"([a-z][a-z0-9+]+):/+(.*)", re.DOTALL)


def as_url(location: str | Path) -> str | None:
    """The URL that a text or path was written as, None for a plain path.

    A Path has one slash where the URL has two.
    """
    found = _URL.fullmatch(str(location))
    if found is None:
        return None
    scheme, rest = found.groups()
    return f"{scheme}://{'/' * (scheme == 'file')}{rest}"


def local_copy(url: str) -> Path:
    """The folder with the files of the trace at `url`; those that are not there yet are fetched.

    Raises HedgespecError where fsspec is missing or the trace cannot be read. Hashes are compared
    when the trace is read.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise HedgespecError("fsspec is not installed: pip install 'hedgespec[ray]'") from error
    try:
        files, root = url_to_fs(url)
        manifest = files.cat_file(f"{root}/manifest.json")
        names = list(json.loads(manifest)["files"])
        folder = cache_folder() / "traces" / hashlib.sha256(manifest).hexdigest()[:16]
        make_folder(folder)
        for name in names:
            if Path(name).name != name:
                raise ValueError(f"file name {name!r} leaves the folder")
            if not (folder / name).is_file():
                with replacing(folder / name) as temporary:
                    files.get_file(f"{root}/{name}", str(temporary))
    except HedgespecError:
        raise
    except Exception as fault:  # each store's package raises types of its own
        said = shortened(" ".join(str(fault).split()), _LONGEST_REASON) or type(fault).__name__
        raise HedgespecError(f"{url}: no trace can be read from there ({said})") from fault
    write_text(folder / ORIGIN, url)
    with replacing(folder / "manifest.json") as temporary:
        temporary.write_bytes(manifest)
    return folder


def origin(folder: Path) -> str | None:
    """The URL that a folder is a copy of; None of a folder of its own."""
    path = folder / ORIGIN
    return path.read_text(encoding="utf-8") if path.is_file() else None
