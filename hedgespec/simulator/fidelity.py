"""Replays the log of a live run: every decision must come out again."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.costs.estimate import costs_of, target_seconds
from hedgespec.errors import HedgespecError
from hedgespec.results.labels import NONE
from hedgespec.results.log import TRACE, LiveRun, LoggedRun, learned_losses, read_log
from hedgespec.results.schema import SECONDS_OF
from hedgespec.selectors import FULL, ConfiguredSelector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss, parse_loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.simulator.choosers import Chooser
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Trace, read_trace

_OWN = ("select", "draft", "verify")  # parts of a round besides evaluation
_STALLED = 3.0


@dataclass(frozen=True)
class ReplayedLog:
    """A log, its replay with the round lengths that were, and where these rounds start (R)."""

    log: LoggedRun
    replayer: Replayer
    starts: np.ndarray
    found: Replay


def check_fidelity(folder: Path) -> int:
    """`check_replayed` of the log in `folder`."""
    return check_replayed(replayed_log(folder))


def compare_seconds(folder: Path) -> tuple[float, float] | None:
    """`seconds_of` the log in `folder`."""
    return seconds_of(replayed_log(folder))


def check_replayed(one: ReplayedLog) -> int:
    """Compare a log with its replay; return its number of rounds.

    The compiled replay, given the round lengths that were, must choose the same drafters; the
    selector, fed with the logged statistics, must learn the same losses and play the same
    probabilities bit for bit. Raises HedgespecError naming the first loss, or round and field, that
    differs, or what is missing.
    """
    log, replayer, starts, found = one.log, one.replayer, one.starts, one.found
    run, rounds = log.run, log.rounds
    trace, chooser = replayer.trace, replayer.chooser(run["selector"])
    weights = None
    if isinstance(chooser, ConfiguredSelector):
        weights, learned = _driven(
            chooser,
            run["seed"],
            replayer,
            rounds,
            *_learning(run, chooser),
            run.get("round_seconds"),
        )
        if log.losses is not None:
            _compare_losses(learned, log.losses, replayer.arms.names)
    arms = _chosen(found, starts, replayer.arms.names)
    drafters = {
        name: drafter or NONE
        for name, drafter in zip(
            replayer.arms.names, replayer.arms.drafter_names(trace), strict=True
        )
    }
    _compare(
        "drafter", [drafters.get(arm, arm) for arm in arms], rounds["drafter"].to_numpy(), rounds
    )
    if "arm" in rounds:
        _compare("arm", arms, rounds["arm"].to_numpy(), rounds)
    if "evaluated" in rounds:
        _compare("evaluated", found.evaluated[starts], rounds["evaluated"].to_numpy(), rounds)
    if found.sets is not None:
        first = replayer.arms.first
        names = np.array(replayer.arms.drafter_names(trace))[first]
        sets = [names[chosen].tolist() for chosen in found.sets[starts][:, first]]
        _compare("evaluated_set", sets, rounds["evaluated_set"].to_list(), rounds)
    if weights is not None:
        _compare("weights", weights, rounds["weights"].to_list(), rounds)
    return len(rounds)


def seconds_of(one: ReplayedLog) -> tuple[float, float] | None:
    """Seconds of a log's rounds, and of their replay under the costs that the log holds.

    The log's are those of choosing, drafting, verifying and the evaluations that the selector
    asked for. None without costs.
    """
    log, replayer = one.log, one.replayer
    if replayer.trace.manifest.costs is None or "evaluated" not in log.rounds:
        return None
    asked = pl.when("evaluated").then(f"{SECONDS_OF}evaluate").otherwise(0.0)
    parts = [pl.col(f"{SECONDS_OF}{part}") for part in _OWN]
    live = float(log.rounds.select(sum(parts, asked).sum()).item())
    return live, float(replayer.seconds(one.found)[0].sum())


def passes_of(one: ReplayedLog) -> tuple[float, float]:
    """Of `seconds_of` those of the target's passes: how far the machine itself was from its costs."""
    rounds = one.log.rounds
    replayed = target_seconds(costs_of(one.replayer.trace), rounds["drafted"].to_numpy() + 1)
    return float(rounds[f"{SECONDS_OF}verify"].sum()), float(replayed.sum())


def stalled_rounds(one: ReplayedLog) -> tuple[int, float]:
    """Rounds that took over _STALLED times the median of those in which the same drafter drafted as
    much, and their seconds, both without evaluation: the machine did something else.
    """
    took = pl.sum_horizontal(f"{SECONDS_OF}{part}" for part in _OWN)
    found = one.log.rounds.filter(took > _STALLED * took.median().over("drafter", "drafted"))
    return len(found), float(found.select(took.sum()).item())


def replayed_log(folder: Path) -> ReplayedLog:
    """Read a log and replay it. Raises HedgespecError for what is missing or cannot be replayed."""
    log = read_log(folder)
    run, trace = log.run, read_trace(folder / TRACE)
    starts = _starts(log.rounds, trace, folder)
    seconds = run.get("round_seconds")
    lengths = tuple(run.get("arm_lengths", ()))
    replayer = Replayer(
        trace,
        None if lengths else run["draft_length"],
        run.get("rule", "auto"),
        arm_lengths=lengths,
        round_seconds=None if seconds is None else tuple(seconds),
    )
    chooser = replayer.chooser(run["selector"])
    found = replayer.run(
        chooser,
        run["seed"],
        *_learning(run, chooser),
        acceptance=acceptance_that_gives(starts, replayer),
    )
    return ReplayedLog(log, replayer, starts, found)


def _learning(run: LiveRun, chooser: Chooser) -> tuple[Feedback | None, Loss | None]:
    """Feedback and loss. Logs that name no loss are of `length`, the default when they were made."""
    feedback = parse_feedback(run["feedback"]) if run["feedback"] else None
    if run["loss"]:
        return feedback, parse_loss(run["loss"])
    full = isinstance(chooser, ConfiguredSelector) and chooser.selector.feedback == FULL
    return feedback, Loss() if full else None


def _chosen(found: Replay, starts: np.ndarray, names: list[str]) -> list[str]:
    """The arm, one of `names` (N), of the rounds from `starts` (R)."""
    if not found.drafts:
        return [NONE] * len(starts)
    assert found.choice is not None
    return [names[arm] if arm >= 0 else "no round" for arm in found.choice[starts].tolist()]


def _starts(rounds: pl.DataFrame, trace: Trace, folder: Path) -> np.ndarray:
    """Tokens at which rounds started; the rounds must cover the text without a gap."""
    starts: np.ndarray = trace.offsets[rounds["query"].to_numpy()] + rounds["position"].to_numpy()
    ends = starts + rounds["emitted"].to_numpy()
    if not np.array_equal(np.append(starts, trace.offsets[-1]), np.insert(ends, 0, 0)):
        raise HedgespecError(f"{folder}: the rounds do not cover the trace's tokens one by one")
    return starts


def acceptance_that_gives(starts: np.ndarray, replayer: Replayer) -> np.ndarray:
    """Acceptance probabilities (T, 1, N) under which rounds start at these tokens (R) whatever is
    chosen: 1, and 0 at each round's last token."""
    accepted = np.ones(len(replayer.trace.tokens), dtype=np.float32)
    accepted[np.append(starts[1:], len(accepted)) - 1] = 0.0
    return np.repeat(accepted[:, None, None], len(replayer.arms.names), axis=2)


def _driven(
    chooser: ConfiguredSelector,
    seed: int,
    replayer: Replayer,
    rounds: pl.DataFrame,
    feedback: Feedback | None,
    loss: Loss | None,
    seconds: list[float] | None,
) -> tuple[list[list[float]], pl.DataFrame]:
    """What the selector plays in each round, and the losses it learns."""
    trace = replayer.trace
    online = OnlineSelector(
        chooser,
        replayer.arms,
        replayer.draft_length,
        feedback,
        loss,
        seed,
        None if seconds is None else np.array(seconds),
        path_only=bool(replayer.arms.path_only.all()),
    )
    weights: list[list[float]] = []
    learned: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for query, position, emitted in rounds.select("query", "position", "emitted").iter_rows():
        start = int(trace.offsets[query])
        if position == 0:
            online.begin(query)
            read = np.full(len(replayer.arms.names), start)
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


def _compare_losses(found: pl.DataFrame, logged: pl.DataFrame, names: list[str]) -> None:
    """Raise HedgespecError naming the first loss that differs."""
    for now, then in zip_longest(found.iter_rows(), logged.iter_rows()):
        if now is None or then is None or now[:2] != then[:2]:
            raise HedgespecError(
                f"the replay differs first in what is learned: live "
                f"{_place(then)}, replayed {_place(now)}"
            )
        for name, one, other in zip(names, now[2], then[2], strict=True):
            if one != other:
                raise HedgespecError(
                    f"the replay differs first in the loss of {name} at "
                    f"{_place(now)}: live {other}, replayed {one}"
                )


def _place(row: tuple[int, int, list[float]] | None) -> str:
    return "nothing more" if row is None else f"query {row[0]}, position {row[1]}"


def _compare(field: str, found: object, logged: object, rounds: pl.DataFrame) -> None:
    for number, (now, then) in enumerate(zip(found, logged, strict=True)):  # type: ignore[call-overload]
        if now != then:
            query, position = rounds["query"][number], rounds["position"][number]
            raise HedgespecError(
                f"the replay differs first in round {number} (query {query}, position "
                f"{position}), field {field}: live {then}, replayed {now}"
            )
