"""Replays one trace with any selector: prepares its tables once, then runs kernel after kernel."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.rules import verification_rule
from hedgespec.selectors import CHOSEN, FULL, NONE, ConfiguredSelector, parse_selector
from hedgespec.selectors.losses import estimator_arrays
from hedgespec.simulator.kernels import schedule_kernel, selector_kernel, table_kernels
from hedgespec.traces import Trace
from hedgespec.traces.schema import MAX_DRAFT_LENGTH

FEEDBACK_LABEL = {FULL: "queued", CHOSEN: "chosen", NONE: "none"}
BEST_FIXED = "best-fixed"
ORACLE = "oracle"
REFERENCES = {
    "fixed:<drafter>": "always this drafter",
    BEST_FIXED: "per query, the fixed drafter with the fewest expected rounds (hindsight)",
    ORACLE: "per round, the drafter with the most expected tokens on the recorded text (hindsight)",
}


@dataclass(frozen=True)
class Run:
    """One replay of a whole trace.

    `choice` (T, int16) holds the drafter of the round that started at a token, -1 where none
    did. `seconds` is the kernel's wall-clock time.
    """

    label: str
    feedback: str
    loss: str
    seed: int
    choice: np.ndarray
    seconds: float


class Replayer:
    """A trace made ready for replays with draft length K under one verification rule."""

    def __init__(
        self,
        trace: Trace,
        draft_length: int | None = None,
        rule: str = "auto",
        estimator: str = "gamma",
        threads: int = 1,
    ):
        """Prepare `trace`; `draft_length` None takes the trace's own.

        Raises HedgespecError for a rule, estimator or draft length that does not fit the trace.
        """
        self.trace = trace
        self.draft_length = (
            trace.manifest.draft_length if draft_length is None else draft_length)
        self.estimator = estimator
        self.threads = min(threads, len(trace.offsets) - 1)
        _check_draft_length(self.draft_length, trace)
        self.rule, module = verification_rule(rule, trace)
        self._acceptance = np.ascontiguousarray(module.realised(trace), dtype=np.float32)
        self._gamma = np.ascontiguousarray(module.expected(trace), dtype=np.float32)
        self._survive, self._end = estimator_arrays(estimator, self._gamma, self._acceptance)
        self._blocks = _query_blocks(trace.offsets, 1 if self.threads == 1 else 4 * self.threads)

    def run(self, text: str, seed: int) -> Run:
        """Replay the selector or reference called `text`; see `parse_selector`."""
        if text.startswith("fixed:") or text in REFERENCES:
            return self._run_schedule(text, seed)
        return self._run_selector(parse_selector(text), seed)

    def label(self, text: str) -> str:
        """How results name `text`. Raises HedgespecError if it is no selector for this trace."""
        if text.startswith("fixed:"):
            self._drafter(text)
            return text
        return text if text in REFERENCES else parse_selector(text).label

    @cached_property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed drafter, shape (Q, N)."""
        rounds = np.zeros((len(self.trace.offsets) - 1, self._arms))
        self._over_queries(table_kernels().expected_rounds, self.trace.offsets, self._acceptance,
                           self.draft_length, rounds)
        return rounds

    @cached_property
    def loss(self) -> np.ndarray:
        """Length loss of every start position, shape (T, N); NaN where never observable."""
        loss = np.empty((len(self.trace.tokens), self._arms))
        self._over_queries(table_kernels().loss_table, self.trace.offsets, self._survive,
                           self._end, self.draft_length, loss)
        return loss

    def rounds_per_query(self, run: Run) -> np.ndarray:
        """Number of rounds of each query, shape (Q,)."""
        return np.add.reduceat(run.choice >= 0, self.trace.offsets[:-1], dtype=np.int64)

    @property
    def _arms(self) -> int:
        return self._acceptance.shape[2]

    def _run_selector(self, configured: ConfiguredSelector, seed: int) -> Run:
        selector = configured.selector
        kernel = selector_kernel(configured)
        choice = self._no_choice()
        statistics = self._gamma if selector.feedback == CHOSEN else self.loss
        arguments = (self.trace.offsets, self._acceptance, statistics, self.draft_length, seed,
                     configured.parameter_array(), selector.state_size(self._arms), choice)
        kernel(0, 0, *arguments)  # compiles or loads, outside the measured time
        seconds = self._over_queries(kernel, *arguments)
        loss = {FULL: f"length:{self.estimator}", CHOSEN: "emitted", NONE: "none"}
        return Run(configured.label, FEEDBACK_LABEL[selector.feedback], loss[selector.feedback],
                   seed, choice, seconds)

    def _run_schedule(self, text: str, seed: int) -> Run:
        kernel = schedule_kernel()
        choice = self._no_choice()
        arguments = (self.trace.offsets, self._acceptance, self._schedule(text),
                     self.draft_length, seed, choice)
        kernel(0, 0, *arguments)
        seconds = self._over_queries(kernel, *arguments)
        feedback = "none" if text.startswith("fixed:") else "hindsight"
        return Run(text, feedback, "none", seed, choice, seconds)

    def _schedule(self, text: str) -> np.ndarray:
        """Drafter of a round that would start at each token, shape (T,), int16."""
        if text == BEST_FIXED:
            best = self.expected_rounds.argmin(axis=1)
            return np.repeat(best, np.diff(self.trace.offsets)).astype(np.int16)
        if text == ORACLE:
            emitted = np.empty((len(self.trace.tokens), self._arms))
            self._over_queries(table_kernels().round_table, self.trace.offsets, self._acceptance,
                               self.draft_length, emitted)
            return emitted.argmax(axis=1).astype(np.int16)
        return np.full(len(self.trace.tokens), self._drafter(text), dtype=np.int16)

    def _drafter(self, text: str) -> int:
        names = self.trace.manifest.drafter_names
        name = text.removeprefix("fixed:")
        if name not in names:
            raise HedgespecError(
                f"{text}: trace {self.trace.name} has no drafter {name!r}; it has: "
                f"{', '.join(names)}"
            )
        return names.index(name)

    def _no_choice(self) -> np.ndarray:
        return np.full(len(self.trace.tokens), -1, dtype=np.int16)

    def _over_queries(self, kernel: Callable[..., None], *arguments: object) -> float:
        """Run `kernel` over all queries, on several threads if asked; return the seconds."""
        started = perf_counter()
        if len(self._blocks) == 1:
            kernel(*self._blocks[0], *arguments)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                for done in [pool.submit(kernel, *block, *arguments) for block in self._blocks]:
                    done.result()
        return perf_counter() - started


def _check_draft_length(draft_length: int, trace: Trace) -> None:
    if not 1 <= draft_length <= MAX_DRAFT_LENGTH:
        raise HedgespecError(
            f"draft length must be at least 1 and at most {MAX_DRAFT_LENGTH}, not {draft_length}")
    for drafter in trace.manifest.drafters:
        if 1 < drafter.depths < draft_length:
            raise HedgespecError(
                f"trace {trace.name}: drafter {drafter.name} was recorded to depth "
                f"{drafter.depths}; draft length {draft_length} is longer"
            )


def _query_blocks(offsets: np.ndarray, blocks: int) -> list[tuple[int, int]]:
    """Cut the queries into at most `blocks` ranges of about equally many tokens."""
    targets = np.linspace(0, offsets[-1], blocks + 1)
    bounds = np.unique(np.searchsorted(offsets, targets))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
