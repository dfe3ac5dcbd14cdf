"""Tables of a zoo in Markdown, from its zoo.json: docs/zoo.md has those of the 1.5B target's.

python -m benchmarks.zoo_tables [ZOO.JSON]      (default: benchmarks/zoo-coder-h100.json)
python -m benchmarks.zoo_tables --write         puts the default's into docs/zoo.md
"""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.pages import ROOT, fill
from hedgespec.results.markdown import markdown

KEPT = Path(__file__).parent / "zoo-coder-h100.json"
PAGE = ROOT / "docs" / "zoo.md"
EXPERT = "expert-"


def tokens_per_round(zoo: dict[str, Any]) -> str:
    """Expected tokens per round of each drafter in each domain, and the mean over domains."""
    table = zoo["tokens_per_round"]
    domains = list(next(iter(table.values())))
    rows = []
    for name, found in table.items():
        cells = [f"{found[domain]:.2f}" for domain in domains]
        rows.append(
            [
                name,
                *(
                    f"**{cell}**" if name == EXPERT + domain else cell
                    for domain, cell in zip(domains, cells, strict=True)
                ),
                f"{sum(found.values()) / len(domains):.2f}",
            ]
        )
    return markdown(["drafter", *domains, "mean"], rows)


def by_position(zoo: dict[str, Any]) -> str:
    """Acceptance of the first draft token by its place in the answer: of experts at home, of
    others in every domain."""
    table, rows = zoo["acceptance_by_position"], []
    places = list(
        dict.fromkeys(place for found in table.values() for one in found.values() for place in one)
    )
    for name, found in table.items():
        for domain, known in found.items():
            if name.startswith(EXPERT) and name != EXPERT + domain:
                continue
            rows.append(
                [
                    name,
                    domain,
                    *(f"{known[place]:.3f}" if place in known else "" for place in places),
                ]
            )
    return markdown(["drafter", "domain", *places], rows, (0, 1))


def curves(zoo: dict[str, Any]) -> str:
    """Expected tokens per round at home along the training."""
    return markdown(
        ["drafter", "step", "answer tokens read", "loss", "tokens per round"],
        [
            [
                name,
                str(point["step"]),
                f"{point['answer_tokens']:,}",
                "" if point["loss"] is None else f"{point['loss']:.2f}",
                f"{point['tokens_per_round']:.2f}",
            ]
            for name, points in zoo["curves"].items()
            for point in points
        ],
    )


SECTIONS = {"zoo_tokens": tokens_per_round, "zoo_positions": by_position, "zoo_curves": curves}


def tables(path: Path = KEPT) -> dict[str, str]:
    """All of them, by name."""
    zoo = json.loads(path.read_text(encoding="utf-8"))
    return {name: make(zoo) for name, make in SECTIONS.items()}


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        fill(PAGE, tables())
    else:
        print("\n".join(tables(*map(Path, sys.argv[1:])).values()), end="")
