"""Real speculative decoding of a tiny history-dependent target and drafters, compiled.

Tables: p[position, prefix code, token] and q[drafter, position, prefix code, token], the prefix
code being the tokens so far read as a number in base V.
"""

from dataclasses import dataclass

import numba
import numpy as np
import polars as pl

from hedgespec.selectors import CHOSEN, EMITTED, OUTCOMES, draw, parse_selector
from hedgespec.selectors.losses import length_loss
from hedgespec.traces import DrafterInfo, Manifest, SamplingInfo, TargetInfo, Trace


@dataclass(frozen=True)
class TinyPair:
    """Random p and q over `vocabulary` tokens and `length` positions."""

    p: np.ndarray
    q: np.ndarray

    @classmethod
    def random(cls, seed: int, vocabulary: int, length: int, drafters: int) -> "TinyPair":
        rng = np.random.default_rng(seed)
        shape = (length, vocabulary ** (length - 1))
        p = rng.dirichlet(np.full(vocabulary, 0.7), size=shape)
        noise = rng.dirichlet(np.full(vocabulary, 0.5), size=(drafters, *shape))
        return cls(p, 0.4 * p + 0.6 * noise)

    @property
    def gamma(self) -> np.ndarray:
        """Acceptance probability, shape (position, prefix code, drafter)."""
        return np.moveaxis(np.minimum(self.p, self.q).sum(axis=-1), 0, -1).copy()


def decode(
    pair: TinyPair, text: str, draft_length: int, episodes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decode `episodes` texts with the selector `text`, all randomness fresh.

    Returns tokens (episodes, T) and choice (episodes, T): the drafter of the round that started
    at a position, -1 where none did.
    """
    configured = parse_selector(text)
    selector = configured.selector
    reset, play, learn = selector.reset, selector.play, selector.learn
    size = selector.state_size(len(pair.q))

    if selector.feedback == CHOSEN:

        @numba.njit
        def after_round(state, params, weights, gamma, fed, start, arm, emitted, loss):
            outcome = np.zeros(OUTCOMES)
            outcome[EMITTED] = emitted
            learn(state, params, start, start, arm, weights[arm], outcome)
            return fed
    else:

        @numba.njit
        def after_round(state, params, weights, gamma, fed, start, arm, emitted, loss):
            while fed + draft_length <= start + emitted:
                length_loss(gamma, gamma, fed, draft_length, draft_length, loss)
                play(state, params, fed, weights)
                learn(state, params, fed, weights, loss)
                fed += 1
            return fed

    @numba.njit
    def run(p, q, all_gamma, params, tokens, choice):
        np.random.seed(seed)
        arms, length, vocabulary = q.shape[0], p.shape[0], p.shape[2]
        state, weights, loss = np.empty(size), np.empty(arms), np.empty(arms)
        gamma = np.empty((length, 1, arms))
        draft = np.empty(draft_length, dtype=np.int64)
        for episode in range(episodes):
            reset(state, params, arms, draft_length)
            position, code, fed = 0, 0, 0
            while position < length:
                play(state, params, position, weights)
                arm = draw(weights, np.random.random())
                choice[episode, position] = arm
                start = position
                planned = min(draft_length, length - position)
                ahead = code
                for step in range(planned):  # the drafter proposes
                    draft[step] = draw(q[arm, position + step, ahead], np.random.random())
                    ahead = ahead * vocabulary + draft[step]
                accepted = 0
                while accepted < planned:  # the target verifies
                    token = draft[accepted]
                    ratio = p[position, code, token] / q[arm, position, code, token]
                    if np.random.random() >= ratio:
                        break
                    gamma[position, 0] = all_gamma[position, code]
                    tokens[episode, position] = token
                    code = code * vocabulary + token
                    position += 1
                    accepted += 1
                if position < length:  # correction or bonus
                    target = p[position, code].copy()
                    if accepted < planned:
                        target = np.maximum(target - q[arm, position, code], 0.0)
                    token = draw(target / target.sum(), np.random.random())
                    gamma[position, 0] = all_gamma[position, code]
                    tokens[episode, position] = token
                    code = code * vocabulary + token
                    position += 1
                fed = after_round(
                    state, params, weights, gamma, fed, start, arm, position - start, loss
                )

    shape = (episodes, len(pair.p))
    tokens, choice = np.zeros(shape, np.int64), np.full(shape, -1, np.int16)
    run(pair.p, pair.q, pair.gamma, configured.parameter_array(), tokens, choice)
    return tokens, choice


def recorded_texts(pair: TinyPair, count: int, seed: int, draft_length: int = 2) -> Trace:
    """A trace of `count` texts drawn from the target alone."""
    drafters, length, _, vocabulary = pair.q.shape
    rng = np.random.default_rng(seed)
    tokens = np.zeros((count, length), dtype=np.int64)
    shape = (count, length, 1, drafters)
    log_p, log_q, gamma = np.zeros((count, length)), np.zeros(shape), np.zeros(shape)
    code, rows = np.zeros(count, dtype=np.int64), np.arange(count)
    for position in range(length):
        p, q = pair.p[position, code], pair.q[:, position, code]
        token = (rng.random((count, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=vocabulary - 1)
        tokens[:, position] = token
        log_p[:, position] = np.log(p[rows, token])
        log_q[:, position, 0] = np.log(q[:, rows, token]).T
        gamma[:, position, 0] = pair.gamma[position, code]
        code = code * vocabulary + token
    manifest = Manifest(
        "tiny",
        "",
        TargetInfo("tiny", "", "", vocabulary),
        [DrafterInfo(f"d{i}", "tiny", "", None) for i in range(drafters)],
        SamplingInfo(1.0, 1.0, 0, seed, length),
        draft_length,
        "full",
        "",
        "",
        count,
        count * length,
        {},
    )
    flat = (count * length, 1, drafters)
    return Trace(
        manifest,
        pl.DataFrame(),
        np.arange(count + 1) * length,
        tokens.reshape(-1),
        log_p.reshape(-1),
        log_q.reshape(flat),
        gamma.reshape(flat),
        np.zeros(flat, dtype=bool),
        np.zeros(flat),
    )
