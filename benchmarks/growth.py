"""How the cost of a replay grows with tokens, drafters, depths, settings and seeds (docs/scale.md).

    python -m benchmarks.growth

CPU seconds of reading, checking and replaying made-up traces, each size changed alone; the kernels
are compiled before. What the clock says depends on what else the machine does, and is not told.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from hedgespec.results.markdown import markdown
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces.synthetic import write_synthetic

ANSWER = 250  # tokens


@dataclass(frozen=True)
class Size:
    """Of a trace and of what is replayed on it: each setting is UCBSpec, with so many seeds."""

    tokens: int = 100_000
    drafters: int = 8
    depths: int = 4
    settings: int = 4
    seeds: int = 5

    def label(self, varied: str) -> str:
        """The varied number."""
        return f"{getattr(self, varied):,}"


VARIED = {
    "tokens": (50_000, 100_000, 200_000, 400_000),
    "drafters": (4, 8, 16, 32),
    "depths": (2, 4, 8, 16),
    "settings": (1, 4, 16),
    "seeds": (1, 5, 25),
}


def seconds(size: Size, folder: Path) -> float:
    """CPU seconds of a sweep over a trace of this size."""
    trace = folder / f"{size.tokens}-{size.drafters}-{size.depths}"
    if not trace.exists():
        write_synthetic(
            trace,
            "iid",
            queries=size.tokens // ANSWER,
            tokens=ANSWER,
            drafters=size.drafters,
            depths=size.depths,
        )
    selectors = tuple(f"ucbspec:delta={0.5 - number / 100}" for number in range(size.settings))
    settings = SweepSettings(selectors, seeds=size.seeds, mode="replayed")
    begun = process_time()
    run_sweep([trace], settings)
    return process_time() - begun


def rows() -> list[list[str]]:
    """A row for each size: what is varied, the number, CPU seconds, and what one more takes."""
    found = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds(replace(Size(), tokens=1000, settings=1, seeds=1), folder)
        for varied, numbers in VARIED.items():
            before: tuple[int, float] | None = None
            for number in numbers:
                size = replace(Size(), **{varied: number})
                taken = seconds(size, folder)
                more = "" if before is None else f"{(taken - before[1]) / (number - before[0]):.3g}"
                found.append([varied, size.label(varied), f"{taken:.2f}", more])
                before = number, taken
    return found


if __name__ == "__main__":
    print(markdown(["varied", "number", "CPU s", "CPU s for one more"], rows()))
