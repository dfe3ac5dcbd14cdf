"""Replays the log of a live run: every decision must come out again."""

from itertools import zip_longest
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError
from hedgespec.results.log import TRACE, learned_losses, read_log
from hedgespec.selectors import ConfiguredSelector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.selectors.online import OnlineSelector
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
    loss = parse_loss(run["loss"]) if run["loss"] else None
    replayer = Replayer(trace, run["draft_length"], run.get("rule", "auto"))
    chooser = replayer.chooser(run["selector"])
    weights = None
    if isinstance(chooser, ConfiguredSelector):
        weights, learned = _driven(chooser, run["seed"], replayer, rounds, feedback, loss)
        if log.losses is not None:
            _compare_losses(learned, log.losses, trace)
    found = replayer.run(chooser, run["seed"], feedback, loss,
                         acceptance=acceptance_that_gives(starts, trace))
    choice = found.choice
    assert choice is not None
    names = np.array(trace.manifest.drafter_names)
    chosen = np.where(choice[starts] >= 0, names[choice[starts]], "no round")
    _compare("drafter", chosen, rounds["drafter"].to_numpy(), rounds)
    if "evaluated" in rounds:
        _compare("evaluated", found.evaluated[starts], rounds["evaluated"].to_numpy(), rounds)
    if found.sets is not None:
        _compare("evaluated_set", [names[chosen].tolist() for chosen in found.sets[starts]],
                 rounds["evaluated_set"].to_list(), rounds)
    if weights is not None:
        _compare("weights", weights, rounds["weights"].to_list(), rounds)
    return len(rounds)


def _starts(rounds: pl.DataFrame, trace: Trace, folder: Path) -> np.ndarray:
    """Tokens at which rounds started; the rounds must cover the text without a gap."""
    starts: np.ndarray = trace.offsets[rounds["query"].to_numpy()] + rounds["position"].to_numpy()
    ends = starts + rounds["emitted"].to_numpy()
    if not np.array_equal(np.append(starts, trace.offsets[-1]), np.insert(ends, 0, 0)):
        raise HedgespecError(f"{folder}: the rounds do not cover the trace's tokens one by one")
    return starts


def acceptance_that_gives(starts: np.ndarray, trace: Trace) -> np.ndarray:
    """Acceptance probabilities (T, 1, N) under which rounds start at these tokens (R) whatever is
    chosen: 1, and 0 at each round's last token."""
    accepted = np.ones(len(trace.tokens), dtype=np.float32)
    accepted[np.append(starts[1:], len(accepted)) - 1] = 0.0
    return np.repeat(accepted[:, None, None], len(trace.manifest.drafters), axis=2)


def _driven(
    chooser: ConfiguredSelector, seed: int, replayer: Replayer, rounds: pl.DataFrame,
    feedback: Feedback | None, loss: Loss | None,
) -> tuple[list[list[float]], pl.DataFrame]:
    """What the selector plays in each round, and the losses it learns."""
    trace = replayer.trace
    online = OnlineSelector(
        chooser, len(trace.manifest.drafters), replayer.draft_length, feedback, loss, seed,
        path_only=bool(replayer.arms.path_only.all()))
    weights: list[list[float]] = []
    learned: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for query, position, emitted in rounds.select("query", "position", "emitted").iter_rows():
        start = int(trace.offsets[query])
        if position == 0:
            online.begin(query)
            read = np.full(len(trace.manifest.drafters), start)
        start += position
        if online.partial:
            for arm in np.flatnonzero(online.choose_evaluated(position)).tolist():
                gamma, realised = replayer.statistics(read[arm], start)
                online.verified_one(arm, gamma[:, :, arm], realised[:, :, arm])
                read[arm] = start
        arm = online.choose(position)
        weights.append(online.weights.tolist())
        learned[query] = online.learned
        gamma, realised = replayer.statistics(start, start + emitted)
        online.finished_round(emitted, gamma[:, :, arm])
        if not online.partial:
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
