"""What evaluation policies are worth, their parameters chosen on other questions than shown.

    python -m benchmarks.evaluation_policies

Replays the bundled domain mixes under two machines' costs: learners that learn from all drafters
with every loss and evaluation policy of a grid that can be had live, and all bandits. Questions
fall into two halves by a hash of their id. On each half the fastest of the grid, and the fastest
bandit, are chosen by tokens per second; shown is what they reach on the other. Fills the table of
docs/metrics.md.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from zlib import crc32

import numpy as np

from benchmarks.pages import ROOT, fill
from hedgespec.bundled import costs_file, trace_folder
from hedgespec.costs.file import load_costs, with_costs
from hedgespec.results.labels import (
    BEST_FIXED,
    FASTEST_FIXED,
    FASTEST_SINGLE,
    QueryLabel,
    questions,
)
from hedgespec.results.markdown import markdown
from hedgespec.results.statistics import mat_gain
from hedgespec.selectors import BUILT_IN, CHOSEN, built_in
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.simulator import Replayer
from hedgespec.traces import Trace, read_trace

DOCUMENT = ROOT / "docs" / "metrics.md"
TRACES = ("domain-mix-t0.7", "domain-mix-t0", "domain-mix-t1")
COSTS = ("smollm2-135m-zoo-h100", "llama-3.1-8b-h100")
LEARNERS, LOSSES = ("normalhedge", "ftl", "hedge"), ("length", "seconds", "accept")
_PARTS = (
    "eliminate:0.5,0.0625",
    "eliminate:0.5,0.02",
    "eliminate:1,0.0625",
    "eliminate:1,0.02",
    "eliminate:2,0.0625",
)
POLICIES = (
    "queued",
    *(f"batch:{m}" for m in (4, 8, 16, 32, 64)),
    *(f"every:{m}" for m in (4, 16)),
    *_PARTS,
    *(f"batch:{m}+{part}" for m in (2, 4, 8, 16) for part in _PARTS),
    "limited:2",
    "limited:3",
)
# Needs the seconds of evaluations while it decodes, which live decoding does not know.
REPLAYED = (
    *(f"budget:{s}" for s in (0.005, 0.01, 0.02, 0.03)),
    "binned:0.2",
    "binned:0.4",
    *(f"eliminate:{c},0.0625+budget:{s}" for c in (0.5, 1) for s in (0.01, 0.02)),
)


@dataclass(frozen=True)
class Tried:
    """One setting: its name, the means over seeds of each query's seconds (Q) and regret in rounds
    (Q), and drafters evaluated a round."""

    name: str
    seconds: np.ndarray
    regret: np.ndarray
    drafters: float


class Trial:
    """One trace under one machine's costs."""

    def __init__(self, trace: Trace, costs: str, policies: Sequence[str], seeds: int):
        self._replayer = Replayer(with_costs(trace, load_costs(costs_file(costs))))
        self._policies, self._seeds = policies, seeds
        self.where = f"{trace.name}, {costs}"
        self.tokens = np.diff(trace.offsets)
        ids = trace.queries["query_id"].to_list()
        self.questions = np.array(questions(ids))
        self.halves = np.array(
            [crc32(QueryLabel.parse(name).question.encode()) % 2 for name in ids]
        )
        self._best = self._replayer.rounds_per_query(self._replayer.run_exact(BEST_FIXED))

    def known(self, label: str) -> np.ndarray:
        """Expected seconds (Q) of a reference."""
        return self._per_query(self._replayer.seconds(self._replayer.run_exact(label))[0])

    def bandits(self) -> Iterator[Tried]:
        """Every bandit with its default parameters."""
        for name in BUILT_IN:
            if built_in(name).feedback == CHOSEN and self._runs_live(name):
                yield self._tried(name)

    def grid(self) -> Iterator[Tried]:
        """Every learner, loss and evaluation policy."""
        for learner, loss, policy in product(LEARNERS, LOSSES, self._policies):
            yield self._tried(learner, policy, loss)

    def _runs_live(self, name: str) -> bool:
        selector = built_in(name)
        return not selector.looks_ahead(selector.default_parameters())

    def _tried(self, selector: str, policy: str = "", loss: str = "") -> Tried:
        replayer = self._replayer
        learning = (parse_feedback(policy), parse_loss(loss)) if policy else ()
        runs = [replayer.run(selector, seed, *learning) for seed in range(self._seeds)]
        seconds = np.mean([self._per_query(replayer.seconds(run)[0]) for run in runs], axis=0)
        rounds = np.mean([replayer.rounds_per_query(run) for run in runs], axis=0)
        drafters = np.mean([replayer.evaluated_drafters(run).sum() for run in runs])
        name = " ".join(filter(None, (selector, policy, loss)))
        return Tried(name, seconds, rounds - self._best, float(drafters / rounds.sum()))

    def _per_query(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, self._replayer.trace.offsets[:-1])

    def rows(self) -> Iterator[list[str]]:
        """A row for each half that is reported on."""
        grid, bandits = list(self.grid()), list(self.bandits())
        others = [self.known(label) for label in (FASTEST_FIXED, BEST_FIXED, FASTEST_SINGLE)]
        for half in (0, 1):
            mine, shown = self.halves != half, self.halves == half
            best, bandit = (
                min(tried, key=lambda one: one.seconds[mine].sum()) for tried in (grid, bandits)
            )
            speed = self.tokens[shown].sum() / best.seconds[shown].sum()
            gains = (self._gain(best, seconds, shown) for seconds in (*others, bandit.seconds))
            yield [
                self.where,
                best.name,
                f"{speed:.0f}",
                f"{best.regret[shown].mean():+.1f}",
                f"{best.drafters:.2f}",
                *gains,
                bandit.name,
            ]

    def _gain(self, best: Tried, seconds: np.ndarray, shown: np.ndarray) -> str:
        found = mat_gain(best.seconds[shown, None], seconds[shown], self.questions[shown])
        [value], [low], [high] = found.value, found.low, found.high
        return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


HEADER = [
    "trace, costs",
    "chosen on the other half",
    "tokens/s",
    "regret, rounds",
    "drafters a round",
    "% over fastest fixed",
    "% over best fixed",
    "% over fastest single",
    "% over that bandit",
    "fastest bandit",
]


def main() -> None:
    """Print the table and put it on the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--budget",
        action="store_true",
        help="also what can only be replayed; the page stays as it is",
    )
    options = parser.parse_args()
    policies = POLICIES + REPLAYED * options.budget
    rows = []
    for name, costs in product(TRACES, COSTS):
        rows += Trial(read_trace(trace_folder(name)), costs, policies, options.seeds).rows()
        print(f"\r{len(rows)} rows", end="", file=sys.stderr)
    table = markdown(HEADER, rows, (0, 1, 9))
    print(f"\r{table}")
    if not options.budget:
        fill(DOCUMENT, {"evaluation-policies": table})


if __name__ == "__main__":
    main()
