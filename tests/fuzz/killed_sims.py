"""`hedgespec sim` is killed; then what is there is refused or whole, and the next run works."""

from functools import cache
from pathlib import Path

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.results.store import Results, read_results
from tests.fuzz.killing import check_line, check_told, run, run_killed, seconds_of
from tests.helpers.synthetic import write_trace

# In runs of a grid finished jobs are kept, and taken up again.
GRID = """
traces = ["{trace}"]
selectors = ["hedge", "uniform", "exp3spec", "best-fixed"]
seeds = 40
mode = "replayed"
"""
_TIMED = ["rounds_per_second"]


@cache
def _usual() -> float:
    """Seconds of one that is left alone, its kernels compiled."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        command = _command(Path(folder), Path(folder) / "out")
        run(*command)
        return seconds_of(*command[:-1], str(Path(folder) / "again"))


def _command(folder: Path, out: Path) -> list[str]:
    if not (folder / "trace").exists():
        write_trace(folder / "trace", lengths=(200, 300, 150))
        (folder / "grid.toml").write_text(GRID.format(trace=folder / "trace"))
    return ["-m", "hedgespec", "sim", "--grid", str(folder / "grid.toml"), "--out", str(out)]


def trial(rng: np.random.Generator, folder: Path) -> str:
    """Kill one run or two, sometimes while kernels are compiled; read, run again, report."""
    out, usual = folder / "out", _usual()
    command = _command(folder, out)
    cache = folder / "cache" if rng.random() < 0.2 else None
    for _ in range(rng.integers(1, 3)):
        share = rng.uniform(0.2, 4.0 if cache else 1.05)
        run_killed(share * usual, *command, cache=cache)
    before = _state(out)
    if rng.random() < 0.3:
        check_told(run("-m", "hedgespec", "report", str(out), "--out", str(folder / "report")))
    done = run(*command, cache=cache)
    if not check_told(done):
        assert "--force" in done.stderr, done.stderr[-500:]
        done = run(*command, "--force", cache=cache)
    assert done.returncode == 0, done.stderr[-500:]
    assert "Traceback" not in done.stderr
    whole = _whole(folder, out)
    if rng.random() < 0.3:
        done = run("-m", "hedgespec", "report", str(out), "--out", str(folder / "report"))
        assert done.returncode == 0, done.stderr[-500:]
    assert not [path for path in out.rglob("*.tmp")], "temporary files are left"
    if before is not None:
        assert _same(before, whole), "a run that was killed had left other results"
    return "refused, then whole" if before is None else "whole"


def _state(out: Path) -> Results | None:
    """The results that are there; None if they are refused."""
    try:
        found = read_results(out)
    except HedgespecError as error:
        check_line(error)
        return None
    return found if found.complete else None


def _whole(folder: Path, out: Path) -> Results:
    """What stands there, which must be what a run left alone gives."""
    done = run(*_command(folder, folder / "alone"))
    assert done.returncode == 0, done.stderr[-500:]
    found, alone = read_results(out), read_results(folder / "alone")
    assert _same(found, alone), "a run after one that was killed has other results"
    return found


def _same(one: Results, other: Results) -> bool:
    return (
        one.per_query.equals(other.per_query)
        and one.curves.equals(other.curves)
        and one.answer.equals(other.answer)
        and one.summary.drop(_TIMED).equals(other.summary.drop(_TIMED))
    )
