"""hedgespec in plain Python: record, replay, decide, account. Nothing is fast; read this first.

T tokens of a text, N drafters, D recorded depths (1: drafters that read the text alone), V words.
"""

import numpy as np


def record(p, q, text):
    """What a trace keeps of p (T, V) and q (T, D, N, V): gamma = P(a draft token is accepted), and
    the same given that the `text` is emitted, min(1, q/p) of its tokens; both (T, D, N)."""
    at = np.arange(len(text))
    given = q[at, :, :, text] / p[at, text][:, None, None]
    return np.minimum(p[:, None, None], q).sum(-1), np.minimum(given, 1)


def expected_tokens(gamma, start, count):
    """Tokens (N) that a round from `start` is expected to emit if it drafts `count` (EAL)."""
    reached, total = 1.0, 1.0
    for step in range(count):
        reached = reached * gamma[start + step, min(step, gamma.shape[1] - 1)]
        total = total + reached
    return total


class Hedge:
    """A learner: it plays probabilities of the drafters, and learns their losses."""

    def __init__(self, drafters):
        self.total, self.seen = np.zeros(drafters), 0

    def play(self, position):
        rate = np.sqrt(8 * np.log(len(self.total)) / (self.seen + 1))
        weights = np.exp(-rate * (self.total - self.total.min()))
        return weights / weights.sum()

    def learn(self, position, played, loss):
        self.total, self.seen = self.total + loss, self.seen + 1


def queued(rounds, start, length, gamma):
    """The schedule `queued`: losses in [0, 1] of all positions whose `length` tokens are there."""
    return [
        (position, 1 - expected_tokens(gamma, position, length) / (length + 1), None)
        for position in range(start - length + 1)
    ]


def replay(gamma, accept, length, learner, accept_u, select_u, due=queued):
    """Rounds (start, drafter, play, tokens) of one text with draft length `length`.

    A draft token is accepted where the position's uniform number in `accept_u` (T) is below
    `accept`; `select_u` (T) draws drafters. `due` gives (position, loss, play); each position is
    learned once, against that play, or against what the learner would play there (None).
    """
    start, rounds, learned = 0, list[tuple](), set()
    while start < len(accept):
        for position, loss, played in due(rounds, start, length, gamma):
            if position not in learned and hasattr(learner, "learn"):  # a bandit has `finished`
                learned.add(position)
                learner.learn(position, learner.play(position) if played is None else played, loss)
        play = learner.play(start)
        drafter = min(np.searchsorted(np.cumsum(play), select_u[start], "right"), len(play) - 1)
        ahead = range(start, min(start + length, len(accept)))
        chance = [accept[t, min(t - start, accept.shape[1] - 1), drafter] for t in ahead]
        accepted = np.append(accept_u[start : start + length] < chance, False).argmin()
        tokens = min(int(accepted) + 1, len(accept) - start)  # the target adds one of its own
        rounds.append((start, int(drafter), play, tokens))
        if hasattr(learner, "finished"):  # of its own round
            learner.finished(start, drafter, play[drafter], tokens)
        start += tokens
    return rounds


def account(rounds, best, seconds):
    """MAT, regret in rounds against `best` rounds, and tokens per second; `seconds` (N) a round."""
    tokens = sum(emitted for *_, emitted in rounds)
    took = sum(seconds[drafter] for _, drafter, *_ in rounds)
    return tokens / len(rounds), len(rounds) - best, tokens / took
