"""Files of JSON objects, one a line, as engines and benchmarks write them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.files import parse_json


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of JSON lines, or of one JSON list or object, each with its place for errors.

    Raises HedgespecError naming the file, and the line or entry that is no object.
    """
    text = text_of(path)
    try:
        whole = parse_json(text)
        items = whole if isinstance(whole, list) else [whole]
        found = [(f"{path}: entry {number}", item) for number, item in enumerate(items, start=1)]
    except (ValueError, RecursionError):
        # Not splitlines: JSON texts may hold other line separators, such as U+2028.
        found = [
            (f"{path}: line {number}", _parsed(line, f"{path}: line {number}"))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    for where, item in found:
        if not isinstance(item, dict):
            raise HedgespecError(f"{where}: is no JSON object")
        yield where, item


def text_of(path: Path) -> str:
    """A file's text. Raises HedgespecError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise HedgespecError(f"{path}: cannot be read ({error})") from error


def _parsed(line: str, where: str) -> Any:
    try:
        return parse_json(line)
    except (ValueError, RecursionError) as error:
        raise HedgespecError(f"{where}: is no JSON ({error})") from error
