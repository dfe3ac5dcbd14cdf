"""vLLM's responses under --per-request-spec-decode-metrics summary or detailed."""

from pathlib import Path

from hedgespec.bridges.imports.acceptance import imported
from hedgespec.bridges.imports.contract import Import, Imported
from hedgespec.bridges.json_lines import json_lines
from hedgespec.errors import HedgespecError


def read(path: Path, drafter: str) -> Imported:
    """Responses, one a line: `metrics.speculative_decoding` of each."""
    requests = []
    for number, (where, item) in enumerate(json_lines(path)):
        metrics = item.get("metrics")
        found = metrics.get("speculative_decoding") if isinstance(metrics, dict) else None
        if not isinstance(found, dict):
            raise HedgespecError(
                f'{where}: field "metrics.speculative_decoding" is missing; start vLLM with '
                "its option per-request-spec-decode-metrics at detailed"
            )
        requests.append((where, str(item.get("id", number)), found))
    if not requests:
        raise HedgespecError(f"{path}: holds no response")
    return imported(requests, drafter)


IMPORT = Import(
    "vllm", "responses of vLLM with --per-request-spec-decode-metrics, one a line", read
)
