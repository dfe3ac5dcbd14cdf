"""What Ray adds to a sweep of many small units; the numbers of docs/scale.md.

    python -m benchmarks.on_ray [UNITS] [ROUNDS]

A grid of UNITS settings (1000) of Hedge on a small made-up trace is run here, in two processes, and
on a Ray cluster of two nodes of this machine with a core each, in turn, ROUNDS times (2). Seconds
are those of the whole command: on the clock, and of all processes that work for it (CPU), the
nodes' among them, which are started before. Needs the `ray` extra, and Linux, which says what each
process has taken.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from hedgespec.results.markdown import markdown
from hedgespec.traces.synthetic import write_synthetic

QUERIES, TOKENS, DRAFTERS, SEEDS = 100, 500, 8, 5
_LOOK = 1.0  # seconds between two looks at what processes have taken: nodes end theirs unseen


def taken() -> dict[str, int]:
    """Clock ticks of CPU of every process below this one, by number and start."""
    found = {}
    for process in _descendants(os.getpid()):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # gone
            continue
        found[f"{process} {fields[19]}"] = int(fields[11]) + int(fields[12])
    return found


def _descendants(process: int) -> Iterator[int]:
    for thread in Path(f"/proc/{process}/task").glob("*"):
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)


@contextmanager
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes of one core each, beside one that only knows them."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


def timed(*command: str) -> tuple[float, float]:
    """Seconds of `hedgespec sim`: on the clock, and of all processes."""
    before, started = taken(), perf_counter()
    found = dict(before)
    running = subprocess.Popen(
        [sys.executable, "-m", "hedgespec", "sim", *command], stdout=subprocess.DEVNULL
    )
    while running.returncode is None:
        try:
            running.wait(_LOOK)
        except subprocess.TimeoutExpired:
            found |= taken()
    if running.returncode:
        raise SystemExit(f"hedgespec sim ended with {running.returncode}")
    seconds = perf_counter() - started
    ticks = sum(found.values()) - sum(before.values())
    return seconds, ticks / os.sysconf("SC_CLK_TCK")


def measured(units: int, rounds: int) -> list[list[str]]:
    """Rows: where, seconds on the clock, CPU seconds, and their ratios to the plain run's."""
    places: dict[str, list[tuple[float, float]]] = {"two processes": [], "two nodes": []}
    with TemporaryDirectory() as scratch, two_nodes() as address:
        folder = Path(scratch)
        write_synthetic(folder / "trace", "iid", queries=QUERIES, tokens=TOKENS, drafters=DRAFTERS)
        selectors = ", ".join(f"'hedge:eta={(number + 1) / units}'" for number in range(units))
        (folder / "grid.toml").write_text(
            f"traces = ['trace']\nseeds = {SEEDS}\nmode = 'replayed'\nselectors = [{selectors}]\n"
        )
        grid = ["--grid", str(folder / "grid.toml"), "--threads", "2"]
        timed(
            "--traces",
            str(folder / "trace"),
            "--selectors",
            "hedge",
            "--seeds",
            "1",
            "--mode",
            "replayed",
            "--out",
            str(folder / "first"),
        )  # compiles
        for turn in range(rounds):
            places["two processes"].append(timed(*grid, "--out", str(folder / f"plain-{turn}")))
            places["two nodes"].append(
                timed(*grid, "--ray", address, "--out", str(folder / f"ray-{turn}"))
            )
            for name, found in places.items():
                print(name, *(f"{seconds:.1f}" for seconds in found[-1]), file=sys.stderr)
    best = {
        name: [min(seconds) for seconds in zip(*found, strict=True)]
        for name, found in places.items()
    }
    plain = best["two processes"]
    return [
        [
            name,
            *(f"{seconds:.1f}" for seconds in found),
            *(f"{seconds / of:.2f}" for seconds, of in zip(found, plain, strict=True)),
        ]
        for name, found in best.items()
    ]


if __name__ == "__main__":
    units, rounds = (int(one) for one in (*sys.argv[1:], *("1000", "2")[len(sys.argv) - 1 :]))
    print(
        markdown(
            ["", "seconds", "CPU s", "seconds / plain", "CPU s / plain"], measured(units, rounds)
        )
    )
