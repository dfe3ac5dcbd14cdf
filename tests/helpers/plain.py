"""Texts, random numbers and selectors as hedgespec/reference.py takes them."""

import numpy as np

from hedgespec.results.labels import FIXED
from hedgespec.selectors import CHOSEN, FULL, parse_selector
from hedgespec.selectors.contract import EMITTED, LOOKAHEAD, OUTCOMES, VERIFIED
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.uniforms import ACCEPTANCE, SELECTION, decision_key, uniform


class Wrapped:
    """A selector of the project as the reference's learner."""

    def __init__(self, text, arms, length, key, gamma=None):
        configured = parse_selector(text)
        self.selector = configured.selector
        self.params = configured.parameter_array([length] * arms)
        self.state, self.arms = np.zeros(self.selector.state_size(arms)), arms
        self.length, self.key, self.gamma = length, key, gamma
        self.selector.reset(self.state, self.params, arms, length)
        if self.selector.feedback == CHOSEN:
            self.finished = self._finished
        else:
            self.learn = self._learn

    def play(self, position):
        weights = np.zeros(self.arms)
        self.selector.play(self.state, self.params, decision_key(self.key, position), weights)
        return weights

    def _learn(self, position, played, loss):
        self.selector.learn(self.state, self.params, position, played, loss)

    def _finished(self, start, arm, propensity, tokens):
        outcome = np.zeros(OUTCOMES)
        drafted = min(self.length, len(self.gamma) - start)
        outcome[EMITTED] = tokens
        for entry, count in ((VERIFIED, min(tokens, drafted)), (LOOKAHEAD, drafted)):
            outcome[entry] = np.mean(
                [
                    self.gamma[start + step, min(step, self.gamma.shape[1] - 1), arm]
                    for step in range(count)
                ],
                dtype=np.float64,
            )
        self.selector.learn(
            self.state, self.params, decision_key(self.key, start), start, arm, propensity, outcome
        )


def texts(trace):
    """Number, first and last token of each query, with its gamma and acceptance."""
    accept = np.exp(np.minimum(trace.log_q - trace.log_p[:, None, None], 0))
    for query, (begin, end) in enumerate(zip(trace.offsets[:-1], trace.offsets[1:], strict=True)):
        yield query, slice(begin, end), trace.gamma[begin:end].astype(float), accept[begin:end]


def numbers(key, count):
    """The uniform numbers of a text's positions."""
    return [
        np.array([uniform(key, position, stream) for position in range(count)])
        for stream in (ACCEPTANCE, SELECTION)
    ]


def length_loss(text):
    """Loss `length`, the reference's, for learners of losses; None for other selectors."""
    learns = not text.startswith(FIXED) and parse_selector(text).selector.feedback == FULL
    return Loss() if learns else None
