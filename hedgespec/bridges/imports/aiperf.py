"""AIPerf's SpecDecodeAcceptanceRecord, by itself or within its records, one a line."""

from pathlib import Path
from typing import Any

from hedgespec.bridges.imports.acceptance import imported
from hedgespec.bridges.imports.contract import Import, Imported
from hedgespec.bridges.json_lines import json_lines
from hedgespec.errors import HedgespecError

_MARKS = {"engine", "num_spec_steps", "num_accepted_draft_tokens"}


def read(path: Path, drafter: str) -> Imported:
    """Lines without a record are of requests that reported nothing, and are left out."""
    requests = []
    for number, (where, item) in enumerate(json_lines(path)):
        found = _record(item)
        if found is not None:
            requests.append((where, str(number), found))
    if not requests:
        raise HedgespecError(
            f"{path}: no line holds a SpecDecodeAcceptanceRecord, with fields "
            f"{', '.join(sorted(_MARKS))}"
        )
    return imported(requests, drafter)


def _record(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        return None
    if item.keys() >= _MARKS:
        return item
    return next((found for value in item.values() if (found := _record(value))), None)


IMPORT = Import(
    "aiperf", "records of AIPerf that hold a SpecDecodeAcceptanceRecord, one a line", read
)
