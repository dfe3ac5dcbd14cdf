"""`hedgespec traces`: train or load the zoo, then record the bundled experiment with it."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hedgespec.cli.zoo import add_zoo_options, show, zoo_settings
from hedgespec.errors import arg
from hedgespec.models.options import SPLIT
from hedgespec.options import add_options, as_table, given_options, refuse_idle

if TYPE_CHECKING:
    from hedgespec.zoo.settings import ExperimentSettings

EPILOG = """\
Traces in --out:
  domain-mix     held-out questions, as many of each domain, at temperatures 0.7, 0 and 1
  rephrased      the same questions, asking for two answers and the better one, at 0.7
  long           with --long: answers to bundled prompts that ask for long ones, at all three
  spec-bench     with --spec-bench: Spec-Bench, at all three

Drafters: the generalist, with --mixed the generalist of all domains, the experts, the parallel
head, at temperature 0 the recurrent head, the small models, prompt lookup and each --drafter.
Traces that are there already are kept, and an interrupted recording goes on.

examples:
  hedgespec traces list                             the bundled traces, by name
  hedgespec traces                                  the zoo, the domain mix, rephrased
  hedgespec traces --spec-bench question.jsonl      also Spec-Bench
  hedgespec traces --target Qwen/Qwen2.5-Coder-1.5B-Instruct --zoo zoo-coder --out coder \\
      --mixed --long --answer-tokens 2048 --long-answers 0.3 \\
      --drafter half=lm:Qwen/Qwen2.5-Coder-0.5B-Instruct
  hedgespec sim --traces recordings/domain-mix-t0.7

Needs the `models` extra and a GPU. On a CPU the zoo and the recordings are toys.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "traces",
        epilog=EPILOG,
        description="Record the experiment of the bundled traces, or list these traces.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("record", "list"),
        default="record",
        metavar="list",
        help="list the bundled traces, which every command takes by name (without it: record)",
    )
    add_options(parser, _defaults())
    add_zoo_options(parser)
    parser.set_defaults(run=run)


def _defaults() -> "ExperimentSettings":
    from hedgespec.zoo.settings import ExperimentSettings

    return ExperimentSettings(Path("recordings"))


def run(options: argparse.Namespace) -> int:
    """Make the zoo, record, and say where the traces are; or list the bundled ones."""
    from hedgespec.tracegen.settings import idle_compiled
    from hedgespec.zoo.settings import ExperimentSettings, ZooSettings

    given = given_options(options, ExperimentSettings)
    if options.what == "list":
        every = {
            **as_table(ExperimentSettings, given),
            **as_table(ZooSettings, given_options(options, ZooSettings)),
        }
        every |= {} if options.scale is None else {"scale": options.scale}
        every |= {} if options.steps == 1.0 else {"steps": options.steps}
        refuse_idle(every, [(name, False, "`list` takes no options") for name in every])
        return _list()
    refuse_idle(given, [("long_tokens", "long" in given, f"give {arg('long', True)} too")])
    replace(_defaults(), **given).check()  # what is wrong is told before anything is loaded
    zoo = zoo_settings(options)
    refuse_idle(given, [idle_compiled(zoo.device)])
    from hedgespec.cli.common import StepBar
    from hedgespec.cli.record import Bar
    from hedgespec.live.pool_costs import RecordedCosts
    from hedgespec.models.drafters import check_before_loading
    from hedgespec.zoo.build import SUMMARY, check_zoo, make_zoo
    from hedgespec.zoo.experiment import plan_recordings, record_experiment
    from hedgespec.zoo.settings import CPU_PER_DOMAIN, CPU_TOKENS

    on_cpu = (
        {
            "per_domain": CPU_PER_DOMAIN,
            "max_new_tokens": CPU_TOKENS,
            "spec_bench_tokens": CPU_TOKENS,
            "long_tokens": CPU_TOKENS,
        }
        if zoo.device == "cpu"
        else {}
    )
    settings = replace(_defaults(), **{**on_cpu, **given})
    made = zoo.device == SPLIT and (zoo.out / SUMMARY).is_file()
    if not made:
        check_zoo(zoo)
    check_before_loading(zoo.target, settings.drafters)
    plan_recordings(zoo, settings)
    try:
        if not made:
            with StepBar() as bar:
                summary = make_zoo(zoo, bar.update, bar.say)
            if summary:
                show(summary, zoo.out)
        with Bar() as bar_of_recording:
            manifests = record_experiment(
                zoo,
                settings,
                lambda name, progress: bar_of_recording.update(progress, f"{name}: "),
                RecordedCosts(settings.compiled, zoo.dtype),
            )
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    for manifest in manifests:
        print(
            f"{settings.out / manifest.name}: {manifest.queries} queries, "
            f"{manifest.tokens} tokens, {len(manifest.drafters)} drafters"
        )
    print(
        f"{sum(manifest.tokens for manifest in manifests)} tokens in all; replay them: "
        f"hedgespec sim --traces {settings.out}/* --out results/{settings.out.name}"
    )
    return 0


def _list() -> int:
    """A line for each bundled trace."""
    from rich.console import Console
    from rich.table import Column, Table

    from hedgespec.bundled import bundled_traces
    from hedgespec.traces import load_manifest

    folders = bundled_traces()
    # Names are to be typed: a narrow terminal cuts the target's instead.
    longest = max(len(folder.name) for folder in folders)
    table = Table(
        Column("name", min_width=longest),
        "answers",
        "tokens",
        "temperature",
        "drafters",
        "target",
        box=None,
    )
    for folder in folders:
        manifest = load_manifest(folder)
        table.add_row(
            folder.name,
            str(manifest.queries),
            str(manifest.tokens),
            f"{manifest.sampling.temperature:g}",
            str(len(manifest.drafters)),
            manifest.target.id,
        )
    Console().print(table)
    print("replay one: hedgespec sim --traces NAME --out results/NAME")
    return 0
