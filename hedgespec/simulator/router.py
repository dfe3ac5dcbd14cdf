"""Follow-the-prompt router: a linear classifier from the prompt's embedding to a drafter.

What Not-a-Bandit (2510.20064) compares online selection with: it chooses before the first token and
never again. Multinomial logistic regression with a ridge penalty.
"""

from collections.abc import Callable
from zlib import crc32

import numpy as np

from hedgespec.bundled import trace_folder
from hedgespec.errors import HedgespecError
from hedgespec.results.labels import ROUTER, QueryLabel, SelectorLabel
from hedgespec.simulator.known import Asked, Taught
from hedgespec.traces import Trace, read_trace

FOLDS = 4
RIDGE = 1e-2  # of features with unit mean square in all
_STEPS = 500


class Router:
    """Routes the queries of a trace; `replayed` makes another trace ready to learn from."""

    def __init__(self, known: Taught, replayed: Callable[[Trace], Taught]):
        self._known, self._replayed = known, replayed
        self._routes: dict[str | None, np.ndarray] = {}
        self._teachers: dict[str, Taught] = {}

    def route(self, training: str | None) -> np.ndarray:
        """The arm for each query (Q), from a classifier trained on the trace that is named."""
        if training not in self._routes:
            teacher = self._teacher(training)
            best = teacher.expected_rounds.argmin(axis=1)
            self._routes[training] = route(
                self._known.trace, teacher.trace, best, len(self._known.arms.names)
            )
        return self._routes[training]

    def check(self, training: str | None) -> None:
        """Raise HedgespecError if it cannot be trained on that trace."""
        check_route(self._known.trace, self._teacher(training).trace)

    def _teacher(self, training: str | None) -> Taught:
        """What it learns from: its own trace, or another one."""
        if training is None:
            return self._known
        if training not in self._teachers:  # asked for when it is checked and when it is trained
            teacher = self._replayed(read_trace(trace_folder(training)))
            if teacher.arms.names != self._known.arms.names:
                raise HedgespecError(
                    f"{SelectorLabel(ROUTER, training)}: that trace has other "
                    f"drafters than {self._known.trace.name}"
                )
            self._teachers[training] = teacher
        return self._teachers[training]


def route(trace: Asked, training: Asked, best: np.ndarray, arms: int) -> np.ndarray:
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


def check_route(trace: Asked, training: Asked) -> None:
    """Raise HedgespecError if the traces have embeddings of different targets, or too few questions
    are there to train on."""
    seen, asked = _embeddings(training).shape[1], _embeddings(trace).shape[1]
    if seen != asked:
        raise HedgespecError(
            f"router: prompt embeddings of trace {training.name} have width {seen}, those "
            f"of {trace.name} {asked}: recorded with different targets"
        )
    folds = _folds(training)
    if any((folds == fold).all() for fold in np.unique(_folds(trace))):
        raise HedgespecError(f"router: too few questions in trace {training.name} to train on")


def train(features: np.ndarray, labels: np.ndarray, arms: int, ridge: float = RIDGE) -> np.ndarray:
    """Weights (F, N) that minimise mean cross-entropy + ridge/2 |weights|^2.

    `features` (n, F), `labels` (n) in 0..N-1. Nesterov's gradient method with the step that the
    loss's curvature allows. The weights are sums of the features: with fewer of these than F it is
    learned how much of each is in them (n, N), by the same steps.
    """
    count, few = len(features), len(features) < features.shape[1]
    wanted = np.eye(arms)[labels]
    gram = features @ features.T if few else features.T @ features
    curvature = 0.5 * np.linalg.eigvalsh(gram)[-1] / count + ridge
    weights = ahead = np.zeros((len(gram), arms))
    for step in range(_STEPS):
        scores = (gram if few else features) @ ahead
        chances = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        away = chances - wanted
        gradient = (away if few else features.T @ away) / count + ridge * ahead
        before, weights = weights, ahead - gradient / curvature
        ahead = weights + step / (step + 3) * (weights - before)
    return features.T @ weights if few else weights


def _embeddings(trace: Asked) -> np.ndarray:
    found = np.array(trace.queries["prompt_embedding"].to_list(), dtype=np.float64)
    if not found.shape[1]:
        raise HedgespecError(
            f"{ROUTER}: trace {trace.name} has no prompt embeddings, which a "
            "router learns from; servers give none"
        )
    return found


def _folds(trace: Asked) -> np.ndarray:
    """The part (Q) that each query's question falls into."""
    questions = [QueryLabel.parse(name).question for name in trace.queries["query_id"]]
    return np.array([crc32(question.encode()) % FOLDS for question in questions])


def _features(embeddings: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standardised embeddings and a constant; what never varies is left out as 0."""
    varies = scale > 0
    standard = np.where(varies, (embeddings - mean) / np.where(varies, scale, 1), 0)
    constant = np.ones((len(embeddings), 1))
    return np.hstack([standard / np.sqrt(embeddings.shape[1]), constant])
