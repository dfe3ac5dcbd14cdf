"""`hedgespec traces`: train or load the zoo, then record the bundled experiment with it."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from hedgespec.cli.common import add_rule_options
from hedgespec.cli.zoo import add_zoo_options, show, zoo_settings

EPILOG = """\
The traces, in --out: domain-mix (held-out questions, as many of each domain) at temperatures 0.7,
0 and 1; rephrased (the same, asking for two answers and the better one) at 0.7; and, with
--spec-bench, Spec-Bench at all three. Drafters: the generalist, the experts, the parallel head, at
temperature 0 the recurrent one, the small models and prompt lookup. What is there already is kept;
an interrupted recording goes on.

examples:
  hedgespec traces                                  the zoo, the domain mix, rephrased
  hedgespec traces --spec-bench question.jsonl      and Spec-Bench
  hedgespec sim --traces recordings/domain-mix-t0.7

Needs the `models` extra and a GPU; on a CPU both zoo and recordings are toys.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "traces", help="train or load the zoo and record the bundled experiment with it",
        description="Record the experiment of the bundled traces.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("recordings"), metavar="DIR",
        help="folder of the traces (default: %(default)s)")
    add("--per-domain", type=int, metavar="N",
        help="questions of each domain (default: 40, on a CPU 1)")
    add("--max-new-tokens", type=int, metavar="N",
        help="longest answer (default: 512, on a CPU 48)")
    add("--temperatures", type=float, nargs="+", metavar="T",
        help="record at these alone (default: 0.7 0 1)")
    add("--spec-bench", type=Path, metavar="FILE", help="Spec-Bench's question.jsonl")
    add_rule_options(parser)
    add_zoo_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make the zoo, record, and say where the traces are."""
    zoo = zoo_settings(options)
    from hedgespec.cli.common import StepBar
    from hedgespec.cli.record import Bar
    from hedgespec.zoo.build import make_zoo
    from hedgespec.zoo.experiment import ExperimentSettings, record_experiment

    settings = ExperimentSettings(options.out, spec_bench=options.spec_bench,
                                  rules=tuple(options.rules), trees=tuple(options.trees))
    if zoo.device == "cpu":
        settings = replace(settings, per_domain=1, max_new_tokens=48, spec_bench_tokens=48)
    settings = replace(settings, **{
        name: value for name in ("per_domain", "max_new_tokens", "temperatures")
        if (value := getattr(options, name)) is not None})
    try:
        with StepBar() as bar:
            summary = make_zoo(zoo, bar.update)
        show(summary, zoo.out)
        with Bar() as bar_of_recording:
            manifests = record_experiment(
                zoo, settings,
                lambda name, progress: bar_of_recording.update(progress, f"{name}: "))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    for manifest in manifests:
        print(f"{settings.out / manifest.name}: {manifest.queries} queries, "
              f"{manifest.tokens} tokens, {len(manifest.drafters)} drafters")
    print(f"{sum(manifest.tokens for manifest in manifests)} tokens in all; replay them: "
          f"hedgespec sim --traces {settings.out}/*")
    return 0
