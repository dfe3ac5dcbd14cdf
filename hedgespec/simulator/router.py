"""Follow-the-prompt router: a linear classifier from the prompt's embedding to a drafter.

What Not-a-Bandit (2510.20064) compares online selection with: it chooses before the first token and
never again. Multinomial logistic regression with a ridge penalty.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from hedgespec.bundled import trace_folder
from hedgespec.errors import HedgespecError
from hedgespec.results.labels import QueryLabel, SelectorLabel
from hedgespec.traces import Trace, read_trace

if TYPE_CHECKING:
    from hedgespec.simulator.replayer import Replayer

FOLDS = 4
RIDGE = 1e-2  # of features with unit mean square in all
_STEPS = 500


class Router:
    """Routes the queries of a replayer's trace; `replayed` makes a replayer of another trace."""

    def __init__(self, replayer: "Replayer", replayed: Callable[[Trace], "Replayer"]):
        self._replayer, self._replayed = replayer, replayed
        self._routes: dict[str, np.ndarray] = {}
        self._teachers: dict[str, Replayer] = {}

    def route(self, name: SelectorLabel) -> np.ndarray:
        """The arm for each query (Q), from a classifier trained on the trace that is named."""
        if str(name) not in self._routes:
            teacher = self._teacher(name)
            best = teacher.expected_rounds.argmin(axis=1)
            self._routes[str(name)] = route(self._replayer.trace, teacher.trace, best,
                                            len(self._replayer.arms.names))
        return self._routes[str(name)]

    def check(self, name: SelectorLabel) -> None:
        """Raise HedgespecError if it cannot be trained on that trace."""
        check_route(self._replayer.trace, self._teacher(name).trace)

    def _teacher(self, name: SelectorLabel) -> "Replayer":
        """The replays that it learns from: of its own trace, or of another one."""
        if name.trace is None:
            return self._replayer
        if str(name) not in self._teachers:  # asked for when it is checked and when it is trained
            teacher = self._replayed(read_trace(trace_folder(name.trace)))
            if teacher.arms.names != self._replayer.arms.names:
                raise HedgespecError(f"{name}: that trace has other drafters than "
                                     f"{self._replayer.trace.name}")
            self._teachers[str(name)] = teacher
        return self._teachers[str(name)]


def route(trace: Trace, training: Trace, best: np.ndarray, arms: int) -> np.ndarray:
    """Choose an arm (Q) for each query of `trace`, int16.

    `best` (Q') are the arms to learn for the queries of `training`. Questions fall into FOLDS
    parts; a query is routed by a classifier that has seen the other parts only, so never its own
    question, in whatever wording or turn. Raises HedgespecError as `check_route` does.
    """
    check_route(trace, training)
    seen, asked = _embeddings(training), _embeddings(trace)
    seen_fold, asked_fold = _folds(training), _folds(trace)
    choice = np.zeros(len(asked), dtype=np.int16)
    for fold in np.unique(asked_fold):
        known, new = seen_fold != fold, asked_fold == fold
        mean, scale = seen[known].mean(axis=0), seen[known].std(axis=0)
        weights = train(_features(seen[known], mean, scale), best[known], arms)
        choice[new] = (_features(asked[new], mean, scale) @ weights).argmax(axis=1)
    return choice


def check_route(trace: Trace, training: Trace) -> None:
    """Raise HedgespecError if the traces have embeddings of different targets, or too few questions
    are there to train on."""
    seen, asked = _embeddings(training).shape[1], _embeddings(trace).shape[1]
    if seen != asked:
        raise HedgespecError(
            f"router: prompt embeddings of trace {training.name} have width {seen}, those "
            f"of {trace.name} {asked}: recorded with different targets")
    folds = _folds(training)
    if any((folds == fold).all() for fold in np.unique(_folds(trace))):
        raise HedgespecError(f"router: too few questions in trace {training.name} to train on")


def train(features: np.ndarray, labels: np.ndarray, arms: int, ridge: float = RIDGE) -> np.ndarray:
    """Weights (F, N) that minimise mean cross-entropy + ridge/2 |weights|^2.

    `features` (n, F), `labels` (n) in 0..N-1. Nesterov's gradient method with the step that the
    loss's curvature allows.
    """
    count = len(features)
    wanted = np.eye(arms)[labels]
    gram = features @ features.T if count < features.shape[1] else features.T @ features
    curvature = 0.5 * np.linalg.eigvalsh(gram)[-1] / count + ridge
    weights = ahead = np.zeros((features.shape[1], arms))
    for step in range(_STEPS):
        scores = features @ ahead
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        gradient = features.T @ (chances - wanted) / count + ridge * ahead
        before, weights = weights, ahead - gradient / curvature
        ahead = weights + step / (step + 3) * (weights - before)
    return weights


def _embeddings(trace: Trace) -> np.ndarray:
    return np.array(trace.queries["prompt_embedding"].to_list(), dtype=np.float64)


def _folds(trace: Trace) -> np.ndarray:
    """The part (Q) that each query's question falls into."""
    questions = [QueryLabel.parse(name).question for name in trace.queries["query_id"]]
    return np.array([crc32(question.encode()) % FOLDS for question in questions])


def _features(embeddings: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardised embeddings and a constant; what never varies is left out as 0."""
    varies = scale > 0
    standard = np.where(varies, (embeddings - mean) / np.where(varies, scale, 1), 0)
    constant = np.ones((len(embeddings), 1))
    return np.hstack([standard / np.sqrt(embeddings.shape[1]), constant])
