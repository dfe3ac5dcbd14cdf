"""A learner outside of a replay: fed by hand, and with losses of many kinds."""

import numpy as np

from hedgespec.selectors import (
    EMITTED,
    LOOKAHEAD,
    OUTCOMES,
    VERIFIED,
    Selector,
    parse_selector,
)

LENGTH = 5


class Driver:
    """Calls a selector's functions as the replay does."""

    def __init__(self, text: str, arms: int, draft_length: int = LENGTH):
        configured = parse_selector(text)
        self.selector: Selector = configured.selector
        self.params = configured.parameter_array([draft_length] * arms)
        self.arms = arms
        self.key = 0  # a learner's own random numbers differ from round to round
        self.state = np.full(self.selector.state_size(arms), np.nan)
        self.selector.reset(self.state, self.params, arms, draft_length)

    def play(self) -> np.ndarray:
        weights = np.full(self.arms, np.nan)
        self.selector.play(self.state, self.params, self.key, weights)
        return weights

    def learn_losses(self, loss: np.ndarray, played: np.ndarray | None = None) -> None:
        played = self.play() if played is None else played
        self.selector.learn(self.state, self.params, 0, played, loss)

    def learn_round(
        self,
        arm: int,
        propensity: float,
        emitted: int,
        verified: float = 0.0,
        lookahead: float = 0.0,
    ) -> None:
        outcome = np.zeros(OUTCOMES)
        outcome[EMITTED], outcome[VERIFIED], outcome[LOOKAHEAD] = emitted, verified, lookahead
        self.selector.learn(self.state, self.params, self.key, 0, arm, propensity, outcome)
        self.key += 1


def play_all(text: str, losses: np.ndarray) -> np.ndarray:
    driver = Driver(text, losses.shape[1])
    plays = []
    for loss in losses:
        plays.append(driver.play())
        driver.learn_losses(loss, plays[-1])
    return np.array(plays)


def loss_sequences(arms: int, steps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(arms)
    gap = rng.random((steps, arms)) * np.linspace(0.6, 1.0, arms)
    blocks = ((np.arange(steps)[:, None] // 20) % arms == np.arange(arms)).astype(float)
    return {
        "random": rng.random((steps, arms)),
        "gap": gap,
        "switching": blocks,
        "zero": np.zeros((steps, arms)),
        "one": np.ones((steps, arms)),
        "alternating": np.indices((steps, arms)).sum(axis=0) % 2.0,
        "tiny": rng.random((steps, arms)) * 1e-9,
    }
