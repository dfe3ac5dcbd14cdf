"""What the replay kernels work on: a named tuple for each kernel, beside the queries."""

from typing import NamedTuple

import numpy as np

from hedgespec.selectors.feedback import ArmSeconds, Schedule

NO_FEATURES = np.empty((0, 0))


class LearnerRun(NamedTuple):
    """How a learner runs: its `params`, and a state of `state_size` numbers.

    `carry` does not reset it between queries, and of a trace in pieces not where one `follows`
    another: `carried` (copies, state_size) is its state before, and becomes that after.
    """

    draft_length: int
    carry: bool
    follows: bool
    carried: np.ndarray
    seed: int
    params: np.ndarray
    state_size: int


class FullTask(NamedTuple):
    """Of replay_full. Queries come in the `order` (Q).

    `offsets` (Q+1) are the queries' first tokens, `numbers` (Q) those by which random numbers are
    drawn for them. Per token: `acceptance` (T, D, N), with which the
    rounds run, `loss` (T, N), and `survive` and `end` (T, D, N) of cut losses. `schedule` says when
    the learner learns. `features` (T, F) stand at the end of its parameters, of learners that read
    them.
    """

    order: np.ndarray
    offsets: np.ndarray
    numbers: np.ndarray
    acceptance: np.ndarray
    loss: np.ndarray
    survive: np.ndarray
    end: np.ndarray
    schedule: Schedule
    learner: LearnerRun
    features: np.ndarray = NO_FEATURES


class PartialTask(NamedTuple):
    """Of replay_partial: as `FullTask`, with the `seconds` of arms."""

    order: np.ndarray
    offsets: np.ndarray
    numbers: np.ndarray
    acceptance: np.ndarray
    loss: np.ndarray
    schedule: Schedule
    learner: LearnerRun
    seconds: ArmSeconds


class ChosenTask(NamedTuple):
    """Of replay_chosen: as `FullTask`, with `gamma` (T, D, N) of the rounds that were run, and the
    arms' draft `lengths` (N)."""

    order: np.ndarray
    offsets: np.ndarray
    numbers: np.ndarray
    acceptance: np.ndarray
    gamma: np.ndarray
    lengths: np.ndarray
    learner: LearnerRun


class ExactTask(NamedTuple):
    """Of replay_exact: as `FullTask`, of one expectation instead of a seed."""

    offsets: np.ndarray
    loss: np.ndarray
    schedule: Schedule
    draft_length: int
    params: np.ndarray
    state_size: int
    features: np.ndarray = NO_FEATURES
