"""Guard words behind the states of a learner: a write past their end is noticed."""

import numpy as np

from hedgespec.selectors.contract import compiled

FINE = -1  # what a kernel returns where nothing is wrong
_WORDS = 8
_GUARD = -6.02214076e-77  # no sum of losses comes to it


@compiled
def new_states(copies, size):
    """States (copies, size), not filled, and the words that lie behind them in memory."""
    memory = np.empty(copies * size + _WORDS)
    memory[copies * size :] = _GUARD
    return memory[: copies * size].reshape((copies, size)), memory[copies * size :]


@compiled
def copy_states(states, target):
    """Write states (copies, size) over others: in loops, for to assign arrays to arrays brings the
    text of an error about their shapes into the kernel, which takes long to compile."""
    for copy in range(states.shape[0]):
        for place in range(states.shape[1]):
            target[copy, place] = states[copy, place]


@compiled
def is_whole(guard):
    """Whether nothing has written to these words."""
    return (guard == _GUARD).all()


@compiled
def overrun(token):
    """What a kernel returns of a query whose guard words were written to, by its first token."""
    return -2 - token
