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

OUT receives summary.parquet (a row per trace, selector and seed), per_query.parquet, curves.parquet
(cumulative regret), regret.png and run.json (inputs, seeds, versions). Columns: docs/results.md.
Regret is counted in rounds against the best fixed drafter of each query in hindsight.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "sim", help="replay traces with many selectors", epilog=EPILOG,
        description="Replay recorded traces with drafter selectors.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--traces", nargs="+", type=Path, metavar="DIR",
                        help="trace directories (default: the bundled traces)")
    parser.add_argument("--out", type=Path, default=Path("results/sim"), metavar="DIR",
                        help="where results go (default: %(default)s)")
    parser.add_argument("--selectors", nargs="+", default=[], metavar="NAME",
                        help="name or name:key=value,... ; default: all, see `hedgespec selectors`")
    parser.add_argument("--draft-length", type=int, metavar="K",
                        help="draft tokens per round (default: the trace's own)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N",
                        help="replays per selector, with seeds 0..N-1 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="results do not depend on it (default: %(default)s)")
    parser.add_argument("--rule", default="auto", metavar="RULE",
                        help="verification: sampling or greedy (default: auto, greedy at "
                             "temperature 0)")
    parser.add_argument("--estimator", default="gamma", metavar="NAME",
                        help="of the expected round length in the loss: gamma, realised or rb "
                             "(default: %(default)s; docs/metrics.md)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay, save, print."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from hedgespec.bundled import bundled_traces
    from hedgespec.files import check_writable
    from hedgespec.simulator import SweepSettings, run_sweep

    check_writable(options.out)
    console = Console()
    settings = SweepSettings(tuple(options.selectors), options.draft_length, options.rule,
                             options.estimator, options.seeds, options.threads)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                   MofNCompleteColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("reading traces", total=None)
        results = run_sweep(
            options.traces or bundled_traces(), settings,
            lambda label, done, total: bar.update(
                task, description=label, completed=done, total=total),
        )
    if results.summary.is_empty():
        console.print("interrupted before the first result; nothing written")
        return 130
    _save(options.out, results, console)
    return 0 if results.complete else 130


def _save(folder: Path, results: "Results", console: "Console") -> None:
    from hedgespec.analysis.figures import regret_figure
    from hedgespec.analysis.tables import print_overview, save_results

    save_results(folder, results.summary, results.per_query, results.curves, results.provenance)
    (folder / "regret.png").unlink(missing_ok=True)
    kept = "Tables"
    if not results.curves.is_empty():
        regret_figure(results.curves, folder / "regret.png")
        kept = "Tables, regret.png"
    print_overview(results.summary, console)
    state = "" if results.complete else "INTERRUPTED: these are the results so far. "
    console.print(f"{state}{kept} and run.json are in {folder}", highlight=False,
                  markup=False, soft_wrap=True)
