"""Files that ship with the package."""

from importlib.metadata import files
from pathlib import Path

from hedgespec.errors import HedgespecError, arg
from hedgespec.remote import as_url, local_copy

DATA = Path(__file__).parent / "data"
PROMPTS = DATA / "prompts.jsonl"
LONG_PROMPTS = DATA / "long.jsonl"  # that ask for long answers
_GRID = DATA / "sweep.toml"
DEFAULT_GRID = "default"  # its name


def bundled_traces() -> list[Path]:
    """Directories of the real traces that ship with hedgespec."""
    folders = [DATA / "traces" / name for name in trace_names()]
    if not folders:
        raise HedgespecError(
            f"{DATA / 'traces'}: no bundled traces in this installation; "
            f"name some with {arg('traces')}"
        )
    return folders


def trace_names() -> list[str]:
    """Names of the bundled traces."""
    return sorted(path.parent.name for path in (DATA / "traces").glob("*/manifest.json"))


def trace_folder(text: str | Path) -> Path:
    """The directory `text`; if there is none, that of the bundled trace called so. Of a URL that
    fsspec reads (s3://...) that of a copy."""
    if (url := as_url(text)) and not Path(text).exists():
        return local_copy(url)
    bundled = DATA / "traces" / text
    return bundled if bundled.is_dir() and not Path(text).exists() else Path(text)


def costs_file(path: str | Path) -> Path:
    """The file `path`; if there is none, the bundled costs called so."""
    bundled = DATA / "costs" / f"{path}.json"
    return bundled if bundled.is_file() and not Path(path).exists() else Path(path)


def bundled_costs() -> list[str]:
    """Names of the measured costs that ship with hedgespec."""
    return sorted(path.stem for path in (DATA / "costs").glob("*.json"))


def grid_file(path: str | Path) -> Path:
    """The file `path`; if there is none and it is called `default`, the grid of `make sim`."""
    return _GRID if str(path) == DEFAULT_GRID and not Path(path).exists() else Path(path)


def documentation() -> Path:
    """The folder of the pages: of a clone, or where pip put them."""
    clone = DATA.parents[1]
    if (clone / "mkdocs.yml").is_file():
        return clone / "docs"
    for file in files("hedgespec") or ():
        if file.parts[-2:] == ("docs", "index.md"):
            return Path(str(file.locate())).resolve().parent
    raise HedgespecError(f"{clone}: no documentation in this installation")
