"""Replays the log of a live run: every decision must come out again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError
from hedgespec.results.labels import LossLabel
from hedgespec.results.log import TRACE, LiveRun, read_log
from hedgespec.selectors import parse_selector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator.references import is_reference
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Trace, read_trace


def check_fidelity(folder: Path) -> int:
    """Replay the log in `folder`; return its number of rounds.

    The compiled replay, given the round lengths that were, must choose the same drafters; the
    selector, fed with the logged statistics, must play the same probabilities bit for bit. Raises
    HedgespecError naming the first round and field that differ, or what is missing.
    """
    run, rounds = read_log(folder)
    trace = read_trace(folder / TRACE)
    starts = _starts(rounds, trace, folder)
    feedback = parse_feedback(run["feedback"]) if run["feedback"] else None
    loss = _loss(run["loss"])
    replayer = Replayer(trace, run["draft_length"], run.get("rule", "auto"))
    choice = replayer.run(run["selector"], run["seed"], feedback, loss,
                          acceptance=_acceptance(starts, trace)).choice
    assert choice is not None
    names = np.array(trace.manifest.drafter_names)
    found = np.where(choice[starts] >= 0, names[choice[starts]], "no round")
    _compare("drafter", found, rounds["drafter"].to_numpy(), rounds)
    if not is_reference(run["selector"]):
        weights = _weights(run, replayer, rounds, feedback, loss)
        _compare("weights", weights, rounds["weights"].to_list(), rounds)
    return len(rounds)


def _starts(rounds: pl.DataFrame, trace: Trace, folder: Path) -> np.ndarray:
    """Tokens at which rounds started; the rounds must cover the text without a gap."""
    starts = trace.offsets[rounds["query"].to_numpy()] + rounds["position"].to_numpy()
    ends = starts + rounds["emitted"].to_numpy()
    if not np.array_equal(np.append(starts, trace.offsets[-1]), np.insert(ends, 0, 0)):
        raise HedgespecError(f"{folder}: the rounds do not cover the trace's tokens one by one")
    return starts


def _acceptance(starts: np.ndarray, trace: Trace) -> np.ndarray:
    """Acceptance probabilities (T, 1, N) under which rounds are as long as they were: 1, and 0 at
    each round's last token."""
    accepted = np.ones(len(trace.tokens), dtype=np.float32)
    accepted[np.append(starts[1:], len(accepted)) - 1] = 0.0
    return np.repeat(accepted[:, None, None], len(trace.manifest.drafters), axis=2)


def _weights(
    run: LiveRun, replayer: Replayer, rounds: pl.DataFrame, feedback: Feedback | None,
    loss: Loss | None,
) -> list[list[float]]:
    """What the selector plays in each round."""
    trace = replayer.trace
    online = OnlineSelector(
        parse_selector(run["selector"]), len(trace.manifest.drafters),
        replayer.draft_length, feedback, loss, run["seed"],
        path_only=bool(replayer.arms.path_only.all()))
    weights: list[list[float]] = []
    for query, position, emitted in rounds.select("query", "position", "emitted").iter_rows():
        if position == 0:
            online.begin(query)
        arm = online.choose(position)
        weights.append(online.weights.tolist())
        start = int(trace.offsets[query]) + position
        gamma, realised = replayer.statistics(start, start + emitted)
        online.finished_round(emitted, gamma[:, :, arm])
        online.verified(gamma, realised)
    return weights


def _loss(text: str | None) -> Loss | None:
    if text is None:
        return None
    label = LossLabel.parse(text)
    kind = str(replace(label, estimator="", prefill=False))
    return parse_loss(kind, label.estimator or Loss.estimator, label.prefill)


def _compare(field: str, found: object, logged: object, rounds: pl.DataFrame) -> None:
    for number, (now, then) in enumerate(zip(found, logged, strict=True)):  # type: ignore[call-overload]
        if now != then:
            query, position = rounds["query"][number], rounds["position"][number]
            raise HedgespecError(
                f"the replay differs first in round {number} (query {query}, position "
                f"{position}), field {field}: live {then}, replayed {now}")
