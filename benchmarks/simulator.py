"""Speed of the replay kernels, as ratios measured in one run: `make bench`.

On one synthetic trace (i.i.d. acceptance, 200 queries of 1000 tokens, N = 8, K = 5): each kernel
against the same algorithm in plain NumPy with the same decisions, and two threads against one.
Prints a table and writes build/bench.json.
"""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from hedgespec.selectors.uniforms import ACCEPTANCE, SELECTION, query_key, uniform
from hedgespec.simulator import Replayer
from hedgespec.traces import DrafterInfo, Manifest, SamplingInfo, TargetInfo, Trace

QUERIES, TOKENS, DRAFTERS, DRAFT_LENGTH = 200, 1000, 8, 5
NUMPY_QUERIES = 4
REPEATS = 5


def synthetic_trace() -> Trace:
    """Gamma around .4 to .75 by drafter; a = 1 with probability gamma, else 0."""
    rng = np.random.default_rng(0)
    count = QUERIES * TOKENS
    gamma = np.clip(np.linspace(0.4, 0.75, DRAFTERS) + rng.normal(0, 0.15, (count, DRAFTERS)), 0, 1)
    accepted = rng.random(gamma.shape) < gamma
    with np.errstate(divide="ignore"):
        log_q = np.log(accepted.astype(np.float32))[:, None, :]
    manifest = Manifest(
        "synthetic", "", TargetInfo("none", "", "", 2),
        [DrafterInfo(f"d{i}", "synthetic", "", None) for i in range(DRAFTERS)],
        SamplingInfo(1.0, 1.0, 0, 0, TOKENS), DRAFT_LENGTH, "full", "", "", QUERIES, count, {},
    )
    flat = gamma.astype(np.float32)[:, None, :]
    return Trace(manifest, pl.DataFrame(), np.arange(QUERIES + 1) * TOKENS,
                 np.zeros(count, np.uint32), np.zeros(count, np.float32), log_q, flat,
                 accepted[:, None, :], flat)


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
        radius = DRAFT_LENGTH / 2 * np.sqrt((1 + n) / n**2 * (1 + 2 * np.log(
            DRAFTERS * t**2 * np.sqrt(1 + n) / 0.5)))
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
    "hedge": NumpyHedge, "normalhedge": NumpyNormalHedge, "ucbspec": NumpyUCBSpec,
    "exp3spec": NumpyEXP3Spec,
}


def numpy_replay(replayer: Replayer, make: Callable[[], object]) -> tuple[int, float]:
    """Rounds and seconds of the first queries, one NumPy call after the other."""
    accept = np.exp(np.minimum(replayer.trace.log_q[:, 0], 0))
    loss = replayer.loss
    # Random numbers are made beforehand: their cost is not the algorithm's.
    numbers = [[[uniform(query_key(0, query), position, stream) for position in range(TOKENS)]
                for stream in (ACCEPTANCE, SELECTION)] for query in range(NUMPY_QUERIES)]
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
            arm = min(int(np.searchsorted(weights.cumsum(), select_u[start - begin], "right")),
                      DRAFTERS - 1)
            emitted = 1
            while (emitted <= DRAFT_LENGTH and start + emitted - 1 < end
                   and accept_u[start + emitted - 1 - begin] < accept[start + emitted - 1, arm]):
                emitted += 1
            emitted = min(emitted, end - start)
            if hasattr(learner, "learn_round"):
                learner.learn_round(arm, weights[arm], emitted)
            start += emitted
            rounds += 1
    return rounds, perf_counter() - started


def best_speed(replayer: Replayer, name: str) -> float:
    """Rounds per second over the whole trace, best of REPEATS."""
    runs = [replayer.run(name, 0) for _ in range(REPEATS)]
    return int((runs[0].choice >= 0).sum()) / min(run.seconds for run in runs)


def main() -> None:
    """Measure and report."""
    trace = synthetic_trace()
    one, two = Replayer(trace), Replayer(trace, threads=2)
    kernels: dict[str, dict[str, float]] = {}
    result = {
        "machine": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "tokens": QUERIES * TOKENS, "drafters": DRAFTERS, "draft_length": DRAFT_LENGTH,
        "kernels": kernels,
    }
    print(f"{'selector':14s}{'M rounds/s':>12s}{'over NumPy':>12s}{'2 threads':>12s}")
    for name, make in IN_NUMPY.items():
        speed, parallel = best_speed(one, name), best_speed(two, name)
        rounds, seconds = numpy_replay(one, make)
        same = int((one.run(name, 0).choice[: NUMPY_QUERIES * TOKENS] >= 0).sum())
        assert rounds == same, f"{name}: NumPy decided otherwise ({rounds} and {same} rounds)"
        ratio = speed / (rounds / seconds)
        kernels[name] = {"rounds_per_second": speed, "over_numpy": ratio,
                         "two_threads_over_one": parallel / speed}
        print(f"{name:14s}{speed / 1e6:12.2f}{ratio:12.0f}{parallel / speed:12.2f}")
    out = Path("build/bench.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
