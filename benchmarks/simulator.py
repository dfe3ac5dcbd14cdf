"""Speed of the replay kernels, as ratios measured in one run: `make bench`.

On one synthetic trace (i.i.d. acceptance, 200 queries of 1000 tokens, N = 8, K = 5): each kernel
against the same algorithm in plain NumPy and, where gcc is found, in C (replay.c, -O3
-march=native), all with the same decisions; two threads against one; exact expectations against
one replay; and a learner's first replay in a new process, compiled before and not. Then kernels
against bandit libraries, where installed (libraries.py). Prints two tables and writes
build/bench.json.
"""

import ctypes
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from libraries import compare

from hedgespec.rules import parse_rule
from hedgespec.selectors import FULL, parse_selector
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.uniforms import ACCEPTANCE, SELECTION, query_key, uniform
from hedgespec.simulator import Replayer
from hedgespec.simulator.replay import Replay
from hedgespec.traces import Trace, read_trace
from hedgespec.traces.synthetic import write_synthetic

QUERIES, TOKENS, DRAFTERS, DRAFT_LENGTH = 200, 1000, 8, 5
NUMPY_QUERIES = 4
REPEATS = 15


def synthetic_trace(queries: int = QUERIES) -> Trace:
    """Independent acceptances, around .4 to .75 by drafter."""
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic(Path(folder) / "trace", "iid", queries, TOKENS, DRAFTERS, seed=0)
        return read_trace(Path(folder) / "trace")


class NumpyHedge:
    """exp(-eta L), anytime eta."""

    def __init__(self) -> None:
        self.loss, self.seen = np.zeros(DRAFTERS), 0

    def play(self) -> np.ndarray:
        eta = np.sqrt(8 * np.log(DRAFTERS) / (self.seen + 1))
        weights = np.exp(-eta * (self.loss - self.loss.min()))
        return weights / weights.sum()

    def learn(self, loss: np.ndarray) -> None:
        self.loss += loss
        self.seen += 1


class NumpyNormalHedge:
    """Root by bisection to 1e-12."""

    def __init__(self) -> None:
        self.regret, self.seen = np.zeros(DRAFTERS), 0

    def play(self) -> np.ndarray:
        largest = self.regret.max()
        if largest <= 1e-12 * (1 + self.seen):
            return np.full(DRAFTERS, 1 / DRAFTERS)
        ratio = np.maximum(self.regret, 0) / largest
        low, high = 1.0, 1.0 + np.log(DRAFTERS)
        while high - low > 1e-12:
            middle = (low + high) / 2
            if np.exp(middle * ratio * ratio).mean() < np.e:
                low = middle
            else:
                high = middle
        weights = ratio * np.exp(low * ratio * ratio)
        return weights / weights.sum()

    def learn(self, loss: np.ndarray) -> None:
        self.regret += self.play() @ loss - loss
        self.seen += 1


class NumpyUCBSpec:
    """Upper confidence bounds."""

    def __init__(self) -> None:
        self.count, self.total = np.zeros(DRAFTERS), np.zeros(DRAFTERS)

    def play(self) -> np.ndarray:
        if not self.count.all():
            return np.eye(DRAFTERS)[self.count.argmin()]
        n, t = self.count, self.count.sum()
        radius = (
            DRAFT_LENGTH
            / 2
            * np.sqrt((1 + n) / n**2 * (1 + 2 * np.log(DRAFTERS * t**2 * np.sqrt(1 + n) / 0.5)))
        )
        return np.eye(DRAFTERS)[(self.total / n + radius).argmax()]

    def learn_round(self, arm: int, propensity: float, emitted: int) -> None:
        self.count[arm] += 1
        self.total[arm] += emitted


class NumpyEXP3Spec:
    """Importance-weighted exponential weights."""

    def __init__(self) -> None:
        self.loss, self.rounds = np.zeros(DRAFTERS), 0

    def play(self) -> np.ndarray:
        eta = np.sqrt(np.log(DRAFTERS) / ((self.rounds + 1) * DRAFTERS))
        weights = np.exp(-eta * (self.loss - self.loss.min()))
        return weights / weights.sum()

    def learn_round(self, arm: int, propensity: float, emitted: int) -> None:
        self.loss[arm] += (DRAFT_LENGTH + 1 - emitted) / (DRAFT_LENGTH * propensity)
        self.rounds += 1


IN_NUMPY: dict[str, Callable[[], object]] = {
    "hedge": NumpyHedge,
    "normalhedge": NumpyNormalHedge,
    "ucbspec": NumpyUCBSpec,
    "exp3spec": NumpyEXP3Spec,
}


def replay_of(replayer: Replayer, name: str) -> Replay:
    """A replay; of learners of all losses with the loss that the others here learn."""
    learns = parse_selector(name).selector.feedback == FULL
    return replayer.run(name, 0, loss=Loss() if learns else None)


def numpy_replay(replayer: Replayer, make: Callable[[], object]) -> tuple[int, float]:
    """Rounds and seconds of the first queries, one NumPy call after the other."""
    accept = parse_rule("sampling").realised(replayer.trace, 1)[:, 0]
    loss = replayer.losses(Loss())
    # Random numbers are made beforehand: their cost is not the algorithm's.
    numbers = [
        [
            [uniform(query_key(0, query), position, stream) for position in range(TOKENS)]
            for stream in (ACCEPTANCE, SELECTION)
        ]
        for query in range(NUMPY_QUERIES)
    ]
    rounds = 0
    started = perf_counter()
    for query in range(NUMPY_QUERIES):
        learner = make()
        begin, end = query * TOKENS, (query + 1) * TOKENS
        accept_u, select_u = numbers[query]
        start, fed = begin, begin
        while start < end:
            if hasattr(learner, "learn"):
                for position in range(fed, start - DRAFT_LENGTH + 1):
                    learner.learn(loss[position])
                    fed = position + 1
            weights = learner.play()
            arm = min(
                int(np.searchsorted(weights.cumsum(), select_u[start - begin], "right")),
                DRAFTERS - 1,
            )
            emitted = 1
            while (
                emitted <= DRAFT_LENGTH
                and start + emitted - 1 < end
                and accept_u[start + emitted - 1 - begin] < accept[start + emitted - 1, arm]
            ):
                emitted += 1
            emitted = min(emitted, end - start)
            if hasattr(learner, "learn_round"):
                learner.learn_round(arm, weights[arm], emitted)
            start += emitted
            rounds += 1
    return rounds, perf_counter() - started


class CReplay:
    """The loops of replay.c, compiled in a temporary folder."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name) / "replay.so"
        source = Path(__file__).with_name("replay.c")
        subprocess.run(
            [
                "gcc",
                "-O3",
                "-march=native",
                "-shared",
                "-fPIC",
                str(source),
                "-o",
                str(library),
                "-lm",
            ],
            check=True,
        )
        self._library = ctypes.CDLL(str(library))

    def compare(self, replayer: Replayer, name: str) -> float:
        """Time of the kernel over that of C, the best of REPEATS each, run in turn."""
        trace = replayer.trace
        choice = np.full(len(trace.tokens), -1, dtype=np.int16)
        accept = parse_rule("sampling").realised(trace, 1)[:, 0]
        arrays = [
            np.ascontiguousarray(array)
            for array in (trace.offsets, accept, replayer.losses(Loss()))
        ]
        arguments = (
            ctypes.c_int64(QUERIES),
            *(ctypes.c_void_p(array.ctypes.data) for array in arrays),
            ctypes.c_int(DRAFTERS),
            ctypes.c_int64(DRAFT_LENGTH),
            ctypes.c_uint64(0),
            ctypes.c_void_p(choice.ctypes.data),
        )
        in_c, compiled = [], []
        for _ in range(REPEATS):
            run = replay_of(replayer, name)
            compiled.append(run.seconds)
            started = perf_counter()
            getattr(self._library, name)(*arguments)
            in_c.append(perf_counter() - started)
        # The last bits of exp differ, so that a rare decision may.
        assert np.mean(choice == run.choice) > 0.99, f"{name}: C decided otherwise"
        return min(compiled) / min(in_c)


FIRST_CALL = """
import sys, time
import numpy as np
from simulator import synthetic_trace
from hedgespec.simulator import Replayer
replayer = Replayer(synthetic_trace(queries=1))
replayer.run("fixed:synthetic-0", 0)
started = time.perf_counter()
replayer.run(sys.argv[1], 0)
print(time.perf_counter() - started)
"""


def first_call(name: str, cache: str) -> float:
    """Seconds of a learner's first replay in a new process, imports not counted."""
    environment = {**os.environ, "HEDGESPEC_CACHE": cache, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [sys.executable, "-c", FIRST_CALL, name],
        check=True,
        text=True,
        capture_output=True,
        env=environment,
    )
    return float(done.stdout)


def best_speed(replayer: Replayer, name: str) -> float:
    """Rounds per second over the whole trace, best of REPEATS."""
    runs = [replay_of(replayer, name) for _ in range(REPEATS)]
    return int((runs[0].choice >= 0).sum()) / min(run.seconds for run in runs)


def main() -> None:
    """Measure and report."""
    trace = synthetic_trace()
    one, two = Replayer(trace), Replayer(trace, threads=2)
    kernels: dict[str, dict[str, float]] = {}
    result: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "tokens": QUERIES * TOKENS,
        "drafters": DRAFTERS,
        "draft_length": DRAFT_LENGTH,
        "kernels": kernels,
    }
    in_c = CReplay() if shutil.which("gcc") else None
    print(
        f"{'selector':14s}{'M rounds/s':>12s}{'over NumPy':>12s}{'time over C':>12s}"
        f"{'2 threads':>12s}{'exact / replay':>16s}{'first call':>12s}{'cold':>8s}"
    )
    for name, make in IN_NUMPY.items():
        speed, parallel = best_speed(one, name), best_speed(two, name)
        rounds, seconds = numpy_replay(one, make)
        same = int((replay_of(one, name).choice[: NUMPY_QUERIES * TOKENS] >= 0).sum())
        assert rounds == same, f"{name}: NumPy decided otherwise ({rounds} and {same} rounds)"
        ratio = speed / (rounds / seconds)
        kernels[name] = {
            "rounds_per_second": speed,
            "over_numpy": ratio,
            "two_threads_over_one": parallel / speed,
        }
        row = f"{name:14s}{speed / 1e6:12.2f}{ratio:12.0f}"
        if in_c and name != "exp3spec":
            kernels[name]["time_over_c"] = in_c.compare(one, name)
        row += f"{kernels[name].get('time_over_c', float('nan')):12.2f}{parallel / speed:12.2f}"
        if one.is_exact(name):
            exact = min(one.run_exact(name, loss=Loss()).seconds for _ in range(REPEATS))
            replayed = replay_of(one, name).visits.sum() / speed
            kernels[name]["exact_over_replay"] = exact / replayed
        row += f"{kernels[name].get('exact_over_replay', float('nan')):16.1f}"
        with tempfile.TemporaryDirectory() as cache:
            kernels[name]["first_call_cold_seconds"] = first_call(name, cache)
            kernels[name]["first_call_seconds"] = first_call(name, cache)
        print(
            row + f"{kernels[name]['first_call_seconds']:12.2f}"
            f"{kernels[name]['first_call_cold_seconds']:8.2f}"
        )
    result["libraries"] = compare(one, lambda name: best_speed(one, name), DRAFT_LENGTH)
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
