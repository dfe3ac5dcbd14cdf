"""What was measured live on the 1.5B target, beside replays of other questions; fills docs/live.md.

    python -m benchmarks.second_target

The replays are of a bundled trace of the same experiment, with the drafters that live had and under
the costs of that run: other questions, longer answers, heads of another training.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.live import BEST, PLAIN, Policy, mat_and_speed, tables
from benchmarks.pages import ROOT, fill
from hedgespec.bundled import trace_folder
from hedgespec.results.labels import FIXED, NONE
from hedgespec.results.markdown import markdown
from hedgespec.selectors.learning import parse_loss
from hedgespec.simulator import run_sweep

RESULT = ROOT / "benchmarks" / "live-coder-h200.json"
TRACE, COSTS = "coder-mix-t0.7", "qwen2.5-coder-1.5b-h200"


def replayed(policy: str, pool: list[str], draft_length: int) -> tuple[float, float]:
    """MAT and tokens per second of a policy on the trace."""
    asked = Policy.parse(NONE if policy == PLAIN else policy)
    loss = parse_loss("seconds", prefill=True) if policy != PLAIN and asked.learns else None
    settings = asked.sweep(
        loss, draft_lengths=(draft_length,), arms=tuple(pool), costs=(Path(COSTS),)
    )
    return mat_and_speed(run_sweep([trace_folder(TRACE)], settings).summary)


def table(result: dict[str, Any]) -> str:
    """Markdown: a row for each policy of one draft length that answered all questions."""
    live = {row["policy"]: row for row in result["rows"]}
    pool = [name.removeprefix(FIXED) for name in live if name.startswith(FIXED)]
    rows = []
    for name, found in live.items():
        if name == BEST or found["answers"] < len(result["domains"]):
            continue
        if len(Policy.parse(name).lengths) > 1:
            continue
        mat, speed = replayed(name, pool, result["draft_length"])
        measured = found["tokens_per_second"]
        rows.append([
            name, f"{found['mat']:.2f}", f"{mat:.2f}", f"{measured:.0f}", f"{speed:.0f}",
            f"{speed / measured - 1:+.1%}",
        ])  # fmt: skip
    return markdown(
        ["policy", "MAT live", "MAT replayed", "tokens/s live", "tokens/s replayed", "difference"],
        rows,
    )


def main() -> None:
    """Fill the page."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    fill(
        ROOT / "docs" / "live.md",
        {"live-coder": tables(result), "live-coder-replay": table(result)},
    )


if __name__ == "__main__":
    main()
