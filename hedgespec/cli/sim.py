"""`hedgespec sim`: replay traces."""

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgespec.cli.common import Lines

if TYPE_CHECKING:
    from rich.console import Console

    from hedgespec.simulator import Results, SweepSettings
    from hedgespec.simulator.kept import KeptResults
    from hedgespec.simulator.settings import OutputSettings
    from hedgespec.simulator.work import Place


EPILOG = """\
examples:
  hedgespec sim                                   the bundled traces, the default selectors
  hedgespec sim --traces my-trace --selectors hedge normalhedge ucbspec
  hedgespec sim --selectors hedge:eta=0.1 fixed:prompt-lookup best-fixed --draft-length 8
  hedgespec sim --selectors normalhedge --feedback queued bold rounds:2 --loss length accept
  hedgespec sim --rule sampling block onehot      other ways of verifying drafts
  hedgespec sim --costs own llama-3.1-8b-h100     the same rounds in seconds of two machines
  hedgespec sim --grid default                    every learner and setting: `make sim`
  hedgespec sim --selectors my_learner.py:MINE:rate=0.2 hedge     (docs/tutorial.md)

OUT receives summary.parquet (a row per trace, selector and seed), per_query.parquet, curves.parquet
(cumulative regret), answer.parquet (one answer token by token), regret.png and run.json (inputs,
seeds, versions). Columns: docs/results.md. Those of another run there are replaced with --force
only. Regret is counted in rounds against the best fixed
drafter of each query in hindsight.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    from hedgespec.options import add_options
    from hedgespec.simulator.settings import OutputSettings

    parser = commands.add_parser(
        "sim", epilog=EPILOG,
        description="Replay recorded traces with drafter selectors.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--grid", type=Path, metavar="FILE",
                        help="sweeps in a TOML file (docs/results.md), whose keys are the options "
                             "below; those given here are set in every run of it. `default`: the "
                             "sweeps of `make sim`; what is finished is kept in OUT/parts, so that "
                             "it can go on")
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS",
                        help="run on a Ray cluster (the `ray` extra; without ADDRESS one is "
                             "started here); what is finished is kept in OUT/parts (docs/scale.md)")
    add_options(parser, OutputSettings())
    add_options(parser, _defaults())
    parser.set_defaults(run=run)


def _defaults() -> "SweepSettings":
    """At the shell, on all cores."""
    from hedgespec.simulator import SweepSettings

    return SweepSettings(threads=os.cpu_count() or 1)


def run(options: argparse.Namespace) -> int:
    """Replay, save, print."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from hedgespec.bundled import bundled_traces
    from hedgespec.files import check_writable
    from hedgespec.options import as_table, given_options
    from hedgespec.results.store import PARTS_FOLDER, check_replaceable
    from hedgespec.simulator import SweepSettings, run_sweep
    from hedgespec.simulator.kept import KeptResults
    from hedgespec.simulator.sweep import asked

    console = Console()
    given = given_options(options, SweepSettings)
    runs, output = _runs(options, given)
    out = output.out
    check_writable(out)
    traces = [] if all(one.traces for one in runs) else bundled_traces()
    wanted, overridden = asked(traces, runs), as_table(SweepSettings, given)
    kept = KeptResults(None)
    goes_on = options.grid is not None or options.ray is not None
    if options.grid is not None:
        wanted["grid"] = {"file": str(options.grid), "overridden": overridden}
    if goes_on:
        kept = KeptResults(out / PARTS_FOLDER, wanted)
    errors = Console(stderr=True)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                   MofNCompleteColumn(), console=errors, transient=True)
    lines = Lines(errors)

    def show(label: str, done: int, total: int) -> None:
        bar.update(task, description=label, completed=done, total=total)
        lines.say(f"{done} of {total} runs: {label}")

    with bar:
        task = bar.add_task("reading traces", total=None)
        results = run_sweep(
            traces, runs, show, kept, partial(check_replaceable, out, wanted, output.force),
            _place(options.ray))
    if results.summary.is_empty():
        console.print("interrupted before the first result; nothing written")
        return 130
    if options.grid is not None:
        results.provenance["grid"] = wanted["grid"]
        _say_overridden(overridden, console)
    _save(out, results, console)
    if results.complete:
        _tidy(out, kept, goes_on)
    return 0 if results.complete else 130


def _place(address: str | None) -> "Place | None":
    """A Ray cluster, "" for one of this machine; None without one."""
    if address is None:
        return None
    from hedgespec.simulator.on_ray import OnRay

    return OnRay(address or None)


def _runs(
    options: argparse.Namespace, given: dict[str, Any]
) -> "tuple[list[SweepSettings], OutputSettings]":
    """The settings of each run, and where their results go."""
    from hedgespec.bundled import grid_file
    from hedgespec.options import with_given
    from hedgespec.simulator.grid import read_grid
    from hedgespec.simulator.settings import OutputSettings

    runs, output = [replace(_defaults(), **given)], OutputSettings()  # checks what is given
    if options.grid is not None:
        grid = read_grid(grid_file(options.grid), _defaults()).with_options(given)
        runs, output = grid.runs, replace(output, out=grid.out or output.out)
    return runs, with_given(output, options)


def _tidy(folder: Path, kept: "KeptResults", goes_on: bool) -> None:
    """Remove what only other runs, replaced now, needed."""
    import shutil

    from hedgespec.results.store import PARTS_FOLDER

    if goes_on:
        kept.drop_unused()
    else:
        shutil.rmtree(folder / PARTS_FOLDER, ignore_errors=True)


def _say_overridden(overridden: dict[str, Any], console: "Console") -> None:
    """What was the same in every run, whatever the grid says."""
    from hedgespec.errors import at_shell

    if overridden:
        options = " ".join(at_shell(key, value) for key, value in overridden.items())
        console.print(f"Every run of the grid had {options}", highlight=False, markup=False,
                      soft_wrap=True)


def _save(folder: Path, results: "Results", console: "Console") -> None:
    from hedgespec.analysis.figures import regret_figure
    from hedgespec.analysis.overview import print_overview
    from hedgespec.analysis.verdict import judge_all, print_verdicts
    from hedgespec.results.store import save_results

    shown = results.first if results.first and not results.first.summary.is_empty() else results
    save_results(folder, results, {"regret.png": partial(regret_figure, shown.curves)})
    print_overview(shown.summary, console, results.provenance, shown.per_query)
    if len(shown.summary) < len(results.summary):
        console.print(f"{len(results.summary) - len(shown.summary)} further rows, of the other "
                      "settings, are in summary.parquet", highlight=False)
    if results.complete:
        print_verdicts(judge_all(results), console)
    state = "" if results.complete else "INTERRUPTED: these are the results so far. "
    console.print(f"{state}Tables, regret.png and run.json are in {folder}", highlight=False,
                  markup=False, soft_wrap=True)
