"""Replay loop for references: the drafter of a round from each token is known beforehand."""

from hedgespec.selectors.contract import compiled
from hedgespec.selectors.uniforms import query_key
from hedgespec.simulator.verification import emitted_tokens


@compiled
def replay(first, last, offsets, numbers, acceptance, assigned, draft_length, seed, choice):
    """Replay queries first..last-1; a round that starts at token t uses drafter assigned[t]."""
    for query in range(first, last):
        begin, end = offsets[query], offsets[query + 1]
        key = query_key(seed, numbers[query])
        start = begin
        while start < end:
            arm = assigned[start]
            choice[start] = arm
            start += emitted_tokens(acceptance, arm, begin, start, end, draft_length, key)
