"""What rules are computed from: statistics of T emitted tokens under the target and N drafters."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """As in a trace: `log_p` (T); `log_q`, `gamma`, `match` and `p_top` (T, D, N)."""

    log_p: np.ndarray
    log_q: np.ndarray
    gamma: np.ndarray
    match: np.ndarray
    p_top: np.ndarray
