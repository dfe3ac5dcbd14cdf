"""Replays the log of a live run: every decision must come out again."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError
from hedgespec.results.log import TRACE, learned_losses, read_log
from hedgespec.selectors import FULL, ConfiguredSelector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator.choosers import Chooser
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Trace, read_trace


def check_fidelity(folder: Path) -> int:
    """Replay the log in `folder`; return its number of rounds.

    The compiled replay, given the round lengths that were, must choose the same drafters; the
    selector, fed with the logged statistics, must learn the same losses and play the same
    probabilities bit for bit. Raises HedgespecError naming the first loss, or round and field, that
    differs, or what is missing.
    """
    log = read_log(folder)
    run, rounds, trace = log.run, log.rounds, read_trace(folder / TRACE)
    starts = _starts(rounds, trace, folder)
    feedback = parse_feedback(run["feedback"]) if run["feedback"] else None
    seconds = run.get("round_seconds")
    replayer = Replayer(trace, run["draft_length"], run.get("rule", "auto"),
                        round_seconds=None if seconds is None else tuple(seconds))
    chooser = replayer.chooser(run["selector"])
    loss = _loss(run["loss"], chooser)
    weights = None
    if isinstance(chooser, ConfiguredSelector):
        weights, learned = _driven(chooser, run["seed"], replayer, rounds, feedback, loss,
                                   seconds)
        if log.losses is not None:
            _compare_losses(learned, log.losses, trace)
    found = replayer.run(chooser, run["seed"], feedback, loss,
                         acceptance=_acceptance(starts, trace))
    choice = found.choice
    assert choice is not None
    names = np.array(trace.manifest.drafter_names)
    chosen = np.where(choice[starts] >= 0, names[choice[starts]], "no round")
    _compare("drafter", chosen, rounds["drafter"].to_numpy(), rounds)
    if "evaluated" in rounds:
        _compare("evaluated", found.evaluated[starts], rounds["evaluated"].to_numpy(), rounds)
    if weights is not None:
        _compare("weights", weights, rounds["weights"].to_list(), rounds)
    return len(rounds)


def _loss(label: str | None, chooser: Chooser) -> Loss | None:
    """The loss of a log. Logs that name none are of loss `length`, the default when they were made.
    """
    if label:
        return parse_loss(label)
    full = isinstance(chooser, ConfiguredSelector) and chooser.selector.feedback == FULL
    return Loss() if full else None


def _starts(rounds: pl.DataFrame, trace: Trace, folder: Path) -> np.ndarray:
    """Tokens at which rounds started; the rounds must cover the text without a gap."""
    starts: np.ndarray = trace.offsets[rounds["query"].to_numpy()] + rounds["position"].to_numpy()
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


def _driven(
    chooser: ConfiguredSelector, seed: int, replayer: Replayer, rounds: pl.DataFrame,
    feedback: Feedback | None, loss: Loss | None, seconds: list[float] | None,
) -> tuple[list[list[float]], pl.DataFrame]:
    """What the selector plays in each round, and the losses it learns."""
    trace = replayer.trace
    online = OnlineSelector(
        chooser, len(trace.manifest.drafters), replayer.draft_length, feedback, loss, seed,
        None if seconds is None else np.array(seconds),
        path_only=bool(replayer.arms.path_only.all()))
    weights: list[list[float]] = []
    learned: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for query, position, emitted in rounds.select("query", "position", "emitted").iter_rows():
        if position == 0:
            online.begin(query)
        arm = online.choose(position)
        weights.append(online.weights.tolist())
        learned[query] = online.learned
        start = int(trace.offsets[query]) + position
        gamma, realised = replayer.statistics(start, start + emitted)
        online.finished_round(emitted, gamma[:, :, arm])
        online.verified(gamma, realised)
    return weights, learned_losses(learned)


def _compare_losses(found: pl.DataFrame, logged: pl.DataFrame, trace: Trace) -> None:
    """Raise HedgespecError naming the first loss that differs."""
    names = trace.manifest.drafter_names
    for now, then in zip_longest(found.iter_rows(), logged.iter_rows()):
        if now is None or then is None or now[:2] != then[:2]:
            raise HedgespecError(f"the replay differs first in what is learned: live "
                                 f"{_place(then)}, replayed {_place(now)}")
        for name, one, other in zip(names, now[2], then[2], strict=True):
            if one != other:
                raise HedgespecError(f"the replay differs first in the loss of {name} at "
                                     f"{_place(now)}: live {other}, replayed {one}")


def _place(row: tuple[int, int, list[float]] | None) -> str:
    return "nothing more" if row is None else f"query {row[0]}, position {row[1]}"


def _compare(field: str, found: object, logged: object, rounds: pl.DataFrame) -> None:
    for number, (now, then) in enumerate(zip(found, logged, strict=True)):  # type: ignore[call-overload]
        if now != then:
            query, position = rounds["query"][number], rounds["position"][number]
            raise HedgespecError(
                f"the replay differs first in round {number} (query {query}, position "
                f"{position}), field {field}: live {then}, replayed {now}")
