"""Trees of drafters without weights: a node looks its text and path up."""

import numba
import numpy as np
import torch

from hedgespec.models.lookup import matches
from hedgespec.models.trees.growth import Growth

# Children that a node has at most.
_MOST = 64


class ContextGrowth(Growth):
    """Children are what followed the longest match, as probable as they are frequent.

    Its logits (..., c) are log-probabilities of each node's own candidates, most probable first.
    """

    def __init__(self, ids: torch.Tensor, longest: int, latest_only: bool):
        """Texts `ids` (B, L); matches of at most `longest` tokens, the latest alone or all."""
        self._ids = ids.cpu().numpy()
        self._device = ids.device
        self._settings = (longest, latest_only, 1 if latest_only else _MOST)

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """What follows the text."""
        self._places = places.cpu().numpy()
        self._paths = np.empty((places.numel(), 1, 0), dtype=np.int64)
        return self._look_up()[:, 0]

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """What follows each path."""
        above = np.take_along_axis(self._paths, parents.cpu().numpy()[:, :, None], axis=1)
        self._paths = np.concatenate([above, tokens.cpu().numpy()[:, :, None]], axis=2)
        return self._look_up()

    def best(self, logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first candidates; token -1 with log-probability -inf where there are fewer."""
        tokens = self._tokens if logits.dim() == 3 else self._tokens[:, 0]
        missing = max(0, count - logits.shape[-1])
        return (
            torch.nn.functional.pad(logits[..., :count], (0, missing), value=-torch.inf),
            torch.nn.functional.pad(tokens[..., :count], (0, missing), value=-1),
        )

    def _look_up(self) -> torch.Tensor:
        tokens, log_q = _candidates(self._ids, self._places, self._paths, *self._settings)
        self._tokens = torch.from_numpy(tokens).to(self._device)
        return torch.from_numpy(log_q).to(self._device)


@numba.njit
def _candidates(ids, places, paths, longest, latest_only, most):
    """Tokens (n, m, most) and log-probabilities of what follows n*m paths (n, m, d), n = B*S."""
    count, nodes, depth = paths.shape
    tokens = np.full((count, nodes, most), -1, dtype=np.int64)
    log_q = np.full((count, nodes, most), -np.inf, dtype=np.float32)
    rounds = places.shape[1]
    for number in range(count):
        place = places[number // rounds, number % rounds]
        text = np.zeros(place + depth + 2, dtype=np.int64)  # room for the token that is sought
        text[: place + 1] = ids[number // rounds, : place + 1]
        for node in range(nodes):
            real = True
            for step in range(depth):
                text[place + 1 + step] = paths[number, node, step]
                real = real and paths[number, node, step] >= 0
            if real:
                _, followers, _ = matches(text, len(text) - 1, longest, latest_only)
                _most_frequent(followers, tokens[number, node], log_q[number, node])
    return tokens, log_q


@numba.njit
def _most_frequent(followers, tokens, log_q):
    """Write the most frequent ones, the lower token first, and the logarithms of their shares."""
    counts = np.zeros(len(followers), dtype=np.int64)  # at each token's first occurrence
    for place in range(len(followers)):
        first = 0
        while followers[first] != followers[place]:
            first += 1
        counts[first] += 1
    for rank in range(min(len(tokens), len(followers))):
        best = 0
        for place in range(1, len(followers)):
            if counts[place] > counts[best] or (
                counts[place] == counts[best] and followers[place] < followers[best]
            ):
                best = place
        if counts[best] == 0:
            return
        tokens[rank] = followers[best]
        log_q[rank] = np.log(counts[best] / len(followers))
        counts[best] = 0
