"""Checks a learner of the user's own at length: `hedgespec check`."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors import CHOSEN, ConfiguredSelector
from hedgespec.selectors.functions import checked_functions
from hedgespec.selectors.online import OnlineSelector
from hedgespec.selectors.trial import made_up_losses, plays_of, try_out
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Trace, read_trace
from hedgespec.traces.synthetic import write_synthetic

DRAFTERS, DRAFT_LENGTHS = (1, 2, 3, 8, 33), (1, 5)
KINDS = ("iid", "switching", "domains")  # of made-up traces
_QUERIES, _TOKENS, _ARMS, _LENGTH = 6, 400, 4, 5
_SEEDS = 100
_POSITIONS = 200
_SAME = 1e-6  # of plays
_FAR = 5.0  # standard errors between an expectation and a mean of replays


@dataclass(frozen=True)
class Finding:
    """What a check found. `passed` is None for what is worth knowing and no fault."""

    check: str
    passed: bool | None
    said: str


@dataclass
class Checked:
    """All findings, and what the learner played on the first text of each made-up trace: where its
    rounds started (R) and the weights (R, N)."""

    findings: list[Finding] = field(default_factory=list)
    played: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(found.passed is not False for found in self.findings)


def check_learner(
    configured: ConfiguredSelector, progress: Callable[[str], None] = lambda check: None
) -> Checked:
    """Run all checks, up to the first call of the learner that breaks the contract."""
    found = Checked()
    for name, check in _CHECKS.items():
        progress(name)
        try:
            found.findings += [Finding(name, *one) for one in check(configured)]
        except HedgespecError as error:
            found.findings.append(Finding(name, False, str(error)))
            return found
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            progress(f"trace {kind}")
            write_synthetic(Path(folder) / kind, kind, _QUERIES, _TOKENS, _ARMS)
            replayer = Replayer(read_trace(Path(folder) / kind), _LENGTH)
            try:
                found.findings += _on_trace(configured, kind, replayer, found.played)
            except HedgespecError as error:
                found.findings.append(Finding(f"trace {kind}", False, str(error)))
                return found
    return found


_Said = Iterator[tuple[bool | None, str]]


def _sizes(configured: ConfiguredSelector) -> _Said:
    for arms, length in product(DRAFTERS, DRAFT_LENGTHS):
        try_out(configured.selector, tuple(configured.parameter_array().tolist()), arms, length)
    yield (
        True,
        (
            f"every play is a distribution, and no call leaves its arrays, with "
            f"{', '.join(map(str, DRAFTERS))} drafters and K = "
            f"{', '.join(map(str, DRAFT_LENGTHS))}"
        ),
    )


def _purity(configured: ConfiguredSelector) -> _Said:
    for losses in made_up_losses(_ARMS, _POSITIONS).values():
        first, again = _plays(configured, losses), _plays(configured, losses)
        if not np.array_equal(first, again):
            yield (
                False,
                (
                    f"the same losses gave other plays the second time, first at position "
                    f"{_first(first, again, 0)}: it keeps something outside of `state`"
                ),
            )
            return
    yield True, "the same losses give the same plays, bit for bit"


def _compiled(configured: ConfiguredSelector) -> _Said:
    functions = checked_functions(configured.selector)
    for losses in made_up_losses(_ARMS, _POSITIONS).values():
        plain = _plays(configured, losses)
        params = tuple(configured.parameter_array().tolist())
        found = plays_of(configured.selector, params, _LENGTH, losses, functions=functions)
        if not np.allclose(plain, found, rtol=0, atol=_SAME):
            yield (
                False,
                (
                    "compiled it plays other weights than as plain Python, first at position "
                    f"{_first(plain, found, _SAME)}"
                ),
            )
            return
    yield True, "compiled it plays what it does as plain Python"


def _permutation(configured: ConfiguredSelector) -> _Said:
    if configured.selector.draws or configured.selector.feedback == CHOSEN:
        yield None, "not checked: it draws, or sees only its own rounds"
        return
    losses = made_up_losses(_ARMS, _POSITIONS)["one drafter is better"]
    order = np.roll(np.arange(_ARMS), 1)
    plays, permuted = _plays(configured, losses)[:, order], _plays(configured, losses[:, order])
    if np.allclose(plays[1:], permuted[1:], rtol=0, atol=_SAME):
        yield True, "other names for the drafters change nothing but names"
    else:
        yield (
            None,
            (
                "what it plays depends on the order of the drafters, first at position "
                f"{1 + _first(plays[1:], permuted[1:], _SAME)}: does it treat all of them "
                "alike?"
            ),
        )


_CHECKS: dict[str, Callable[[ConfiguredSelector], _Said]] = {
    "sizes": _sizes,
    "purity": _purity,
    "compiled": _compiled,
    "order of drafters": _permutation,
}


def _plays(configured: ConfiguredSelector, losses: np.ndarray) -> np.ndarray:
    params = tuple(configured.parameter_array().tolist())
    return plays_of(configured.selector, params, _LENGTH, losses)


def _first(one: np.ndarray, other: np.ndarray, far: float) -> int:
    return int(np.flatnonzero((np.abs(one - other) > far).any(axis=1))[0])


def _on_trace(
    configured: ConfiguredSelector,
    kind: str,
    replayer: Replayer,
    played: dict[str, tuple[np.ndarray, np.ndarray]],
) -> Iterator[Finding]:
    name = f"trace {kind}"
    yield Finding(name, *_exact(configured, replayer))
    yield Finding(name, *_live(configured, kind, replayer, played))


def _exact(configured: ConfiguredSelector, replayer: Replayer) -> tuple[bool | None, str]:
    """The expectation against the mean of replays."""
    totals = [int(replayer.run(configured, seed).visits.sum()) for seed in range(_SEEDS)]
    mean = np.mean(totals)
    if not replayer.is_exact(configured):
        return True, f"{mean:.1f} rounds, replayed: no exact expectation with its settings"
    exact = replayer.run_exact(configured)
    assert exact.variance is not None
    error = max(np.sqrt(exact.variance.sum() / _SEEDS), 1e-9)
    far = abs(exact.visits.sum() - mean) / error
    said = (
        f"{exact.visits.sum():.1f} rounds expected, {mean:.1f} in the mean of {_SEEDS} replays "
        f"({far:.1f} standard errors apart)"
    )
    return bool(far <= _FAR), said


def _live(
    configured: ConfiguredSelector,
    kind: str,
    replayer: Replayer,
    played: dict[str, tuple[np.ndarray, np.ndarray]],
) -> tuple[bool, str]:
    """The replay's rounds driven as in live decoding; keeps what is played on the first text."""
    trace, choice = replayer.trace, replayer.run(configured, 0).choice
    assert choice is not None
    online = OnlineSelector(configured, _ARMS, _LENGTH)
    for query in range(len(trace.offsets) - 1):
        starts, weights, arms = _driven(online, replayer, trace, choice, query)
        if query == 0:
            played[kind] = starts, weights
        different = np.flatnonzero(choice[trace.offsets[query] + starts] != arms)
        if len(different):
            return False, (
                f"live it chooses otherwise than replayed, first in query {query} at "
                f"position {starts[different[0]]}"
            )
    return True, "live it chooses as it does when replayed"


def _driven(
    online: OnlineSelector, replayer: Replayer, trace: Trace, choice: np.ndarray, query: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts (R) of the rounds of a text, what is played (R, N) and chosen (R)."""
    begin, end = trace.offsets[query : query + 2]
    starts = np.flatnonzero(choice[begin:end] >= 0)
    weights, arms = np.empty((len(starts), _ARMS)), np.empty(len(starts), dtype=np.int64)
    online.begin(query)
    for number, (start, stop) in enumerate(zip(starts, [*starts[1:], end - begin], strict=True)):
        arms[number] = online.choose(int(start))
        weights[number] = online.weights
        gamma, realised = replayer.statistics(begin + start, begin + stop)
        online.finished_round(int(stop - start), gamma[:, :, arms[number]])
        online.verified(gamma, realised)
    return starts, weights, arms
