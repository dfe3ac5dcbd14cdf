"""`hedgespec sim`: replay traces."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from hedgespec.simulator import Results


EPILOG = """\
examples:
  hedgespec sim                                   the bundled traces, every selector
  hedgespec sim --traces my-trace --selectors hedge normalhedge ucbspec
  hedgespec sim --selectors hedge:eta=0.1 fixed:prompt-lookup best-fixed --draft-length 8
  hedgespec sim --selectors normalhedge --feedback queued bold rounds:2 --loss length accept
  hedgespec sim --rule sampling block onehot      other ways of verifying drafts
  hedgespec sim --grid default                    every learner and setting: `make sim`
  hedgespec sim --selectors my_learner.py:MINE:rate=0.2 hedge     (docs/tutorial.md)

OUT receives summary.parquet (a row per trace, selector and seed), per_query.parquet, curves.parquet
(cumulative regret), answer.parquet (one answer token by token), regret.png and run.json (inputs,
seeds, versions). Columns: docs/results.md. Regret is counted in rounds against the best fixed
drafter of each query in hindsight.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    from hedgespec.bundled import bundled_costs

    parser = commands.add_parser(
        "sim", help="replay traces with many selectors", epilog=EPILOG,
        description="Replay recorded traces with drafter selectors.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--traces", nargs="+", type=Path, metavar="DIR",
                        help="trace directories, or names of bundled traces (default: all bundled)")
    parser.add_argument("--grid", type=Path, metavar="FILE",
                        help="sweeps in a TOML file (docs/results.md), not the options below; "
                             "`default`: those of `make sim`; what is finished is kept in "
                             "OUT/parts, so that it can go on")
    parser.add_argument("--out", type=Path, default=Path("results/sim"), metavar="DIR",
                        help="where results go (default: %(default)s)")
    parser.add_argument("--selectors", nargs="+", default=[], metavar="NAME",
                        help="name or name:key=value,... (see `hedgespec selectors`); default: "
                             "`default`, five learners and the references; `all`: every learner")
    parser.add_argument("--draft-length", type=int, nargs="+", default=[], metavar="K",
                        help="draft tokens per round (default: the trace's own)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="replays per selector, with seeds 0..N-1 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="results do not depend on it (default: %(default)s)")
    parser.add_argument("--rule", nargs="+", default=[], metavar="RULE",
                        help="verification: sampling, greedy, onehot or block, and what was "
                             "recorded of gumbel, multi:K, multi-without:K, kseq:K and tree "
                             "(docs/rules.md; default: auto, greedy at temperature 0, else "
                             "sampling)")
    parser.add_argument("--feedback", nargs="+", default=[], metavar="NAME",
                        help="of full-information learners: queued, bold, censored or oracle, with "
                             "+rounds:D, +every:M, +round, +actual (default: queued; "
                             "docs/metrics.md)")
    parser.add_argument("--loss", nargs="+", default=[], metavar="NAME",
                        help="of full-information learners: length, accept, hybrid:X or seconds "
                             "(default: length)")
    parser.add_argument("--estimator", nargs="+", default=[], metavar="NAME",
                        help="of the expected round length in the loss: gamma, realised or rb "
                             "(default: gamma)")
    parser.add_argument("--prefill", action="store_true",
                        help="losses from the first draft depth only, as evaluation by prefilling "
                             "sees them")
    parser.add_argument("--carry", type=int, metavar="SEED",
                        help="carry learners over the queries, in an order drawn with this seed")
    parser.add_argument("--arm-lengths", type=int, nargs="+", default=[], metavar="K",
                        help="choose between pairs of a drafter and one of these draft lengths, "
                             "named DRAFTER*K; --loss seconds weighs them")
    parser.add_argument("--arms", nargs="+", default=[], metavar="ARM",
                        help="choose between these, each DRAFTER[@RULE][*K], where `all` is every "
                             "drafter: all@block generalist@tree expert-sql*3")
    parser.add_argument("--pool", dest="pools", type=int, nargs="+", default=[], metavar="N",
                        help="take N of the drafters, or fill up to N with weakened copies "
                             "(docs/metrics.md)")
    parser.add_argument("--costs", type=Path, metavar="FILE",
                        help="seconds of `hedgespec profile` instead of those in the traces, for "
                             "tokens per second and --loss seconds: a file, or "
                             f"{' or '.join(bundled_costs())} as measured")
    parser.add_argument("--answer", metavar="ID",
                        help="query whose answer is shown token by token (default: of each trace "
                             "that in which changing the drafter would help most)")
    parser.add_argument("--mode", default="auto", metavar="MODE",
                        help="exact expectations, replayed, or auto: exact where it can be had "
                             "(default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay, save, print."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from hedgespec.bundled import bundled_traces, costs_file, grid_file, trace_folder
    from hedgespec.files import check_writable
    from hedgespec.simulator import SweepSettings, run_sweep
    from hedgespec.simulator.grid import read_grid

    check_writable(options.out)
    console = Console()
    traces = [trace_folder(trace) for trace in options.traces or []]
    settings = [SweepSettings(
        tuple(options.selectors), tuple(options.draft_length), tuple(options.rule),
        tuple(options.feedback), tuple(options.loss), tuple(options.estimator), options.prefill,
        options.carry, tuple(options.pools), tuple(options.arm_lengths),
        tuple(options.arms), options.mode, options.seeds, options.threads,
        costs=None if options.costs is None else costs_file(options.costs),
        answer=options.answer)]
    if options.grid is not None:
        settings = read_grid(grid_file(options.grid), options.threads)
        if traces:  # those of the command line instead of the file's
            settings = [replace(one, traces=()) for one in settings]
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                   MofNCompleteColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("reading traces", total=None)
        results = run_sweep(
            traces or bundled_traces(), settings,
            lambda label, done, total: bar.update(
                task, description=label, completed=done, total=total),
            options.out / "parts" if options.grid is not None else None,
        )
    if results.summary.is_empty():
        console.print("interrupted before the first result; nothing written")
        return 130
    _save(options.out, results, console)
    return 0 if results.complete else 130


def _save(folder: Path, results: "Results", console: "Console") -> None:
    from hedgespec.analysis.figures import regret_figure
    from hedgespec.analysis.tables import print_overview, save_results

    save_results(folder, results.summary, results.per_query, results.curves, results.answer,
                 results.provenance)
    shown = results.first if results.first and not results.first.summary.is_empty() else results
    regret_figure(shown.curves, folder / "regret.png")
    print_overview(shown.summary, console, results.provenance)
    if len(shown.summary) < len(results.summary):
        console.print(f"{len(results.summary) - len(shown.summary)} further rows, of the other "
                      "settings, are in summary.parquet", highlight=False)
    state = "" if results.complete else "INTERRUPTED: these are the results so far. "
    console.print(f"{state}Tables, regret.png and run.json are in {folder}", highlight=False,
                  markup=False, soft_wrap=True)
