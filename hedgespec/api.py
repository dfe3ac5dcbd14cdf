"""hedgespec in Python: read a trace, replay it, look at what came out, report on it.

Everything here is exported by `hedgespec` itself. Traces and costs may be folders and files, or
names of bundled ones; selectors may be labels, configured objects or a `Selector` of one's own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgespec.bundled import bundled_traces, grid_file, trace_folder, trace_names
from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import option_fields
from hedgespec.results.store import Results
from hedgespec.selectors import Selector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.simulator import (
    Chooser,
    Replay,
    Replayer,
    SweepSettings,
    as_chooser,
    run_sweep,
)
from hedgespec.simulator.grid import read_grid
from hedgespec.traces import Trace
from hedgespec.traces import read_trace as read_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[str, int, int], None]


def read_trace(trace: str | Path) -> Trace:
    """A recorded trace: a folder, or the name of a bundled one (see `trace_names`).

    Raises TraceError if it is damaged, HedgespecError if there is none.
    """
    folder = trace_folder(trace)
    if not folder.exists():
        raise HedgespecError(
            f"{trace}: no such trace; bundled are {', '.join(trace_names())}"
            + did_you_mean(str(trace), trace_names())
        )
    return read_folder(folder)


def replay(
    trace: Trace | str | Path,
    selector: str | Selector | Chooser,
    *,
    seed: int = 0,
    feedback: str | Feedback | None = None,
    loss: str | Loss | None = None,
    draft_length: int | None = None,
    rule: str = "auto",
    threads: int = 1,
) -> Replay:
    """Replay one selector once: which drafter ran which round, (T) by token.

    The plain equivalent is `replay` of hedgespec/reference.py. `feedback` and `loss` are those of
    full-information learners, None for the defaults; `draft_length` None is the trace's own. Raises
    HedgespecError where a setting makes no sense for the selector or the trace.
    """
    replayer = Replayer(
        trace if isinstance(trace, Trace) else read_trace(trace), draft_length, rule, threads
    )
    return replayer.run(
        replayer.chooser(selector),
        seed,
        parse_feedback(feedback) if isinstance(feedback, str) else feedback,
        parse_loss(loss) if isinstance(loss, str) else loss,
    )


def simulate(
    traces: Trace | str | Path | Sequence[Trace | str | Path] = (),
    selectors: str | Selector | Chooser | Sequence[str | Selector | Chooser] = (),
    *,
    progress: Progress = lambda label, done, total: None,
    keep: Path | None = None,
    **settings: Any,
) -> Results:
    """Replay selectors on traces with all combinations of settings: `hedgespec sim`.

    No traces are all bundled ones; no selectors, `default`: five learners and the references.
    `settings` are the fields of `SweepSettings`, such as `feedbacks=["every:4"]`, `draft_lengths`,
    `seeds` or `costs`; one value will do for a list. `progress(label, done, total)` is called
    before each run. With a folder `keep` finished jobs are kept there, and not run again. Raises
    HedgespecError on bad input before anything runs.
    """
    folders = [_folder(trace) for trace in _several(traces)]
    chosen = [one if isinstance(one, str) else as_chooser(one) for one in _several(selectors)]
    wanted = SweepSettings(
        selectors=tuple(chosen), **{key: _as_field(key, value) for key, value in settings.items()}
    )
    return run_sweep(folders or bundled_traces(), wanted, progress, keep)


def sweep(
    grid: str | Path = "default",
    *,
    progress: Progress = lambda label, done, total: None,
    keep: Path | None = None,
    **overrides: Any,
) -> Results:
    """Replay the runs of a TOML file, or of the bundled grid `default`: `hedgespec sim --grid`.

    `overrides` are settings that every run is to have instead of the file's; the other arguments
    are those of `simulate`.
    """
    given = {key: _as_field(key, value) for key, value in overrides.items()}
    runs = read_grid(grid_file(grid)).with_options(given).runs
    return run_sweep(
        [] if all(run.traces for run in runs) else bundled_traces(), runs, progress, keep
    )


def figure(
    results: Results | str | Path,
    name: str = "regret",
    *,
    traces: Sequence[str] = (),
    learners: Sequence[str] = (),
    against: str | None = None,
    number: int = 0,
) -> "Figure":
    """A figure of the report, as a matplotlib figure.

    `name` is one of `figure_names()`; it is drawn once for each trace and measure, and `number`
    says which. Empty `traces` and `learners`, and no `against`, are chosen from the results. Raises
    HedgespecError for an unknown name, and where the results have nothing to draw.
    """
    from hedgespec.analysis.figures import FIGURES
    from hedgespec.analysis.figures.paper import plot, styled
    from hedgespec.analysis.results import ResultSet
    from hedgespec.analysis.study import Study

    if name not in FIGURES:
        raise HedgespecError(
            f"unknown {arg('name', name)}; choose from {', '.join(FIGURES)}"
            + did_you_mean(name, FIGURES)
        )
    source = results if isinstance(results, Results) else Path(results)
    study = Study.of(ResultSet(source), list(traces), list(learners), against)
    drawings = list(FIGURES[name].draw(study))
    if not 0 <= number < len(drawings):
        raise HedgespecError(
            f"{arg('number', number)}: the results make {len(drawings)} figures {name!r}"
        )
    with styled():
        return plot(drawings[number])


def figure_names() -> dict[str, str]:
    """The figures that `figure` draws, and what each shows."""
    from hedgespec.analysis.figures import FIGURES

    return {name: kind.heading for name, kind in FIGURES.items()}


def report(
    results: Results | str | Path,
    out: str | Path,
    *,
    traces: Sequence[str] = (),
    learners: Sequence[str] = (),
    against: str | None = None,
) -> Path:
    """Write a report of results into the folder `out`: `hedgespec report`, without pictures of its
    figures (see `figure`). Returns the page's path.

    Raises HedgespecError for results that cannot be reported on.
    """
    from hedgespec.analysis.report import Request, write_report
    from hedgespec.command import command_line
    from hedgespec.version import __version__

    source = results if isinstance(results, Results) else Path(results)
    request = Request([source], traces=tuple(traces), learners=tuple(learners), against=against)
    return write_report(request, Path(out), command_line(), __version__, processes=1).page


def _folder(trace: Trace | str | Path) -> Path:
    if not isinstance(trace, Trace):
        return trace_folder(trace)
    if trace.folder is None:
        raise HedgespecError(
            f"trace {trace.name} was not read from a folder: its results could "
            "not say what made them; use replay"
        )
    return trace.folder


def _several(values: Any) -> tuple[Any, ...]:
    """Several values, or one that stands for a list of one."""
    return tuple(values) if isinstance(values, list | tuple | set) else (values,)


def _as_field(key: str, value: Any) -> Any:
    """A setting as its field has it: one value made a list where the field is one."""
    fields = {item.name: item for item in option_fields(SweepSettings)}
    if key not in fields:
        raise HedgespecError(
            f"unknown setting {key!r}; known are {', '.join(fields)}" + did_you_mean(key, fields)
        )
    return _several(value) if fields[key].several else value
