"""`hedgespec sim`: replay traces."""

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
  hedgespec sim --costs own llama-3.1-8b-h100     the same rounds under two machines' costs
  hedgespec sim --grid default                    every learner and many settings: `make sim`
  hedgespec sim --grid default --dry-run          how many runs this is, and how long they take
  hedgespec sim --selectors my_learner.py:MINE:rate=0.2 hedge     (docs/tutorial.md)

OUT receives summary.parquet (a row per trace, selector and seed), per_query.parquet, curves.parquet
(cumulative regret), answer.parquet (one answer token by token) and run.json (inputs, seeds,
versions); with --figure also regret.png. Columns: docs/results.md. Give each run an --out of
its own: only --force replaces the results of another run there. Regret is counted in rounds, against
the best fixed drafter of each query in hindsight.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    from hedgespec.cli.common import add_json, add_quiet, one_blas_thread

    one_blas_thread()
    from hedgespec.options import add_options
    from hedgespec.simulator.settings import OutputSettings

    parser = commands.add_parser(
        "sim",
        epilog=EPILOG,
        description="Replay recorded traces with drafter selectors.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--grid",
        type=Path,
        metavar="FILE",
        help="TOML file of sweeps (docs/results.md). Its keys are the options "
        "below; options given here are set in every run. `default` is the "
        "sweeps of `make sim`. Finished work is kept in OUT/parts, so that an "
        "interrupted sweep can go on",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on a Ray cluster (needs the `ray` extra; without ADDRESS one is "
        "started here). Finished work is kept in OUT/parts (docs/scale.md)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print how much would run and about how long it takes, after a few "
        "seconds of trying; write nothing",
    )
    add_json(parser)
    add_quiet(parser)
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

    from hedgespec.bundled import bundled_traces
    from hedgespec.cli.common import work_bar
    from hedgespec.files import check_writable
    from hedgespec.options import as_table, given_options
    from hedgespec.results.store import PARTS_FOLDER, check_replaceable, free_folder
    from hedgespec.simulator import SweepSettings, run_sweep
    from hedgespec.simulator.kept import KeptResults
    from hedgespec.simulator.sweep import asked

    console = Console(quiet=options.quiet or options.json)
    given = given_options(options, SweepSettings)
    runs, output = _runs(options, given)
    out = output.out
    traces = [] if all(one.traces for one in runs) else bundled_traces()
    goes_on = options.grid is not None or options.ray is not None
    if options.dry_run:
        return _dry_run(traces, runs, out / PARTS_FOLDER if goes_on else None, options)
    check_writable(out)
    wanted, overridden = asked(traces, runs), as_table(SweepSettings, given)
    kept = KeptResults(None)
    if options.grid is not None:
        wanted["grid"] = {"file": str(options.grid), "overridden": overridden}
    if goes_on:
        kept = KeptResults(out / PARTS_FOLDER, wanted)
    with work_bar("reading traces", options.quiet) as progress:
        results = run_sweep(
            traces,
            runs,
            progress,
            kept,
            partial(check_replaceable, out, wanted, output.force),
            _place(options.ray),
        )
    if results.summary.is_empty():
        console.print("interrupted before the first result; nothing written")
        return 130
    if options.grid is not None:
        results.provenance["grid"] = wanted["grid"]
        _say_overridden(overridden, console)
    out = free_folder(out, wanted, output.force)
    _save(replace(output, out=out), results, console)
    if options.json:
        _print_json(out, results)
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
        console.print(
            f"Every run of the grid had {options}", highlight=False, markup=False, soft_wrap=True
        )


def _save(output: "OutputSettings", results: "Results", console: "Console") -> None:
    from hedgespec.results.store import PICTURE, save_results

    shown = results.first if results.first and not results.first.summary.is_empty() else results
    pictures = {}
    if output.figure:
        from hedgespec.analysis.figures import regret_figure

        pictures[PICTURE] = partial(regret_figure, shown.curves)
    save_results(output.out, results, pictures)
    if not console.quiet:
        _print(output.out, shown, results, [*pictures], console)


def _print(
    folder: Path, shown: "Results", results: "Results", pictures: list[str], console: "Console"
) -> None:
    from hedgespec.analysis.overview import print_overview
    from hedgespec.analysis.verdict import judge_all, print_verdicts

    print_overview(shown.summary, console, results.provenance, shown.per_query)
    if len(shown.summary) < len(results.summary):
        console.print(
            f"{len(results.summary) - len(shown.summary)} further rows, of the other "
            "settings, are in summary.parquet",
            highlight=False,
        )
    if results.complete:
        print_verdicts(judge_all(results), console)
    state = "" if results.complete else "INTERRUPTED: these are the results so far. "
    what = ", ".join(["Tables", *pictures])
    console.print(
        f"{state}{what} and run.json are in {folder}", highlight=False, markup=False, soft_wrap=True
    )


def _print_json(folder: Path, results: "Results") -> None:
    """The overview of every setting, and the verdicts."""
    from hedgespec.analysis.verdict import judge_all
    from hedgespec.cli.common import print_json, verdicts_as_json

    print_json(
        {
            "out": str(folder),
            "complete": results.complete,
            "settings": results.overview().to_dicts(),
            "verdicts": verdicts_as_json(judge_all(results) if results.complete else []),
        }
    )


def _dry_run(
    traces: list[Path],
    runs: "list[SweepSettings]",
    parts: Path | None,
    options: argparse.Namespace,
) -> int:
    """Say what would be run."""
    from dataclasses import asdict

    from hedgespec.cli.common import print_json
    from hedgespec.simulator.forecast import forecast
    from hedgespec.simulator.kept import KeptResults

    kept = KeptResults(parts if parts is not None and parts.is_dir() else None)
    found = forecast(traces, runs, kept)
    if options.json:
        print_json({"dry_run": True, **asdict(found)})
    elif not options.quiet:
        print(found)
    return 0
