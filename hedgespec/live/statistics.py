"""From what the device found to the statistics that rules and selectors work with."""

import torch

from hedgespec.rules.base import Statistics
from hedgespec.traces.schema import DRAFTER_STATISTICS


def stack_statistics(found: dict[str, torch.Tensor]) -> torch.Tensor:
    """Statistics of tokens (n), as `reduce_pair` gives them, in one tensor (4, n)."""
    return torch.stack([found[name].float() for name in DRAFTER_STATISTICS])


def emitted_log_p(p: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """log p (n) of emitted tokens (n) under `p` (n, V): never -inf, for they were emitted."""
    chosen = p.gather(-1, tokens[:, None])[:, 0]
    return chosen.clamp_min(torch.finfo(p.dtype).tiny).log().float()


def unpack(log_p: torch.Tensor, table: torch.Tensor) -> Statistics:
    """Statistics of one draft depth from log_p (n) and a table (4, n, N) on the host."""
    values = dict(zip(DRAFTER_STATISTICS, table.numpy()[:, :, None], strict=True))
    return Statistics(log_p=log_p.numpy(), log_q=values["log_q"], gamma=values["gamma"],
                      match=values["match"] > 0, p_top=values["p_top"])


def host_statistics(p: torch.Tensor, tokens: torch.Tensor, table: torch.Tensor) -> Statistics:
    """Statistics of tokens (n), their law `p` (n, V), and a table (4, n, N) of the drafters."""
    return unpack(emitted_log_p(p, tokens).cpu(), table.cpu())


def no_statistics(count: int) -> torch.Tensor:
    """The table (4, n, 1) of a drafter that proposes nothing."""
    table = torch.zeros(len(DRAFTER_STATISTICS), count, 1)
    table[list(DRAFTER_STATISTICS).index("log_q")] = -torch.inf
    return table
