"""From what the device found to the statistics that rules and selectors work with."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from hedgespec.models.acceptance import generator_of, reduce_pair
from hedgespec.models.known_tokens import reduce_known, spread
from hedgespec.rules import Rule, Statistics
from hedgespec.traces.schema import DRAFTER_STATISTICS


def statistic_names(rule: Rule) -> list[str]:
    """Statistics of a drafter's token (S): those of every trace and the rule's own.

    Those of draft trees are not of single tokens: see `trees`.
    """
    own = () if rule.path_only else rule.recorded
    return [*DRAFTER_STATISTICS, *(f"{statistic}.{rule.label}" for statistic in own)]


def reduce_for(rule: Rule, p: torch.Tensor, q: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """The statistics (S, n) of tokens (n) from p and q (n, V), in the order of their names."""
    found = reduce_pair(p, q, tokens)
    if rule.recorded and not rule.path_only:
        own = rule.reduce(p, q, tokens, generator_of(tokens) if rule.candidates > 1 else None)
        found |= {f"{statistic}.{rule.label}": own[statistic] for statistic in rule.recorded}
    return torch.stack([found[name].float() for name in statistic_names(rule)])


def reduce_together(
    rule: Rule,
    p: torch.Tensor,
    q: torch.Tensor,
    tokens: torch.Tensor,
    known: torch.Tensor | None = None,
) -> torch.Tensor:
    """The same (S, M, n) of M drafters on the same tokens (n): p (n, V), q (M, n, V), or of what
    they know, (M, n, v); see models/known_tokens.py."""
    if known is not None and (not rule.recorded or rule.path_only):
        found = reduce_known(p, q, tokens, known)
        return torch.stack([found[name].float() for name in statistic_names(rule)])
    members, count, _ = q.shape
    whole = q if known is None else spread(q, known, p.shape[-1])
    return reduce_for(rule, p.repeat(members, 1), whole.flatten(0, 1), tokens.repeat(members)).view(
        -1, members, count
    )


def unpack(rule: Rule, log_p: torch.Tensor, table: torch.Tensor) -> Statistics:
    """Statistics of one draft depth from log_p (n) and a table (S, n, N) on the host."""
    values = dict(zip(statistic_names(rule), table.numpy()[:, :, None], strict=True))
    return Statistics(
        log_p=log_p.numpy(),
        log_q=values.pop("log_q"),
        gamma=values.pop("gamma"),
        match=values.pop("match") > 0,
        p_top=values.pop("p_top"),
        rules=values,
    )


def no_statistics(rule: Rule, count: int) -> torch.Tensor:
    """The table (S, n, 1) of a drafter that proposes nothing."""
    names = statistic_names(rule)
    table = torch.zeros(len(names), count, 1)
    table[names.index("log_q")] = -torch.inf
    return table


def side_by_side(drafters: Sequence[Statistics]) -> Statistics:
    """Of all drafters, from those of each (N = 1) on the same tokens."""
    first = drafters[0]

    def joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(arrays), axis=-1)

    return Statistics(
        log_p=first.log_p,
        **{name: joined(getattr(one, name) for one in drafters) for name in DRAFTER_STATISTICS},
        rules={name: joined(one.rules[name] for one in drafters) for name in first.rules},
    )


def last_tokens(parts: Sequence[Statistics], count: int) -> Statistics:
    """Statistics of the last `count` tokens, or of all there are."""
    used: list[Statistics] = []
    for part in reversed(parts):
        if sum(len(one.log_p) for one in used) >= count:
            break
        used.insert(0, part)

    def joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(list(arrays))[-count:]

    return Statistics(
        **{
            name: joined(getattr(part, name) for part in used)
            for name in ("log_p", *DRAFTER_STATISTICS)
        },
        rules={name: joined(part.rules[name] for part in used) for name in used[0].rules},
    )
