"""Files that ship with the package."""

from pathlib import Path

from hedgespec.errors import HedgespecError

DATA = Path(__file__).parent / "data"
PROMPTS = DATA / "prompts.jsonl"


def bundled_traces() -> list[Path]:
    """Directories of the real traces that ship with hedgespec."""
    folders = sorted(path.parent for path in (DATA / "traces").glob("*/manifest.json"))
    if not folders:
        raise HedgespecError(f"{DATA / 'traces'}: no bundled traces in this installation; "
                             "name some with --traces")
    return folders
