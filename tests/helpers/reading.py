"""What reading takes, in plain Python, by docs/metrics.md."""


def passes(known, tokens):
    """Seconds of reading, `known` being those of numbers of tokens: {K+1: ..., more: ...}."""
    least, most = min(known), max(known)
    if len(known) == 1:
        return known[least]
    total = 0.0
    tokens = max(tokens, least)
    while tokens >= most:
        total, tokens = total + known[most], tokens - most
    if tokens:
        tokens = max(tokens, least)
        low = max(count for count in known if count <= tokens)
        high = min(count for count in known if count >= tokens)
        share = (tokens - low) / (high - low) if high > low else 0.0
        total += (1 - share) * known[low] + share * known[high]
    return total


class PlainReading:
    """Of one text. `alone` has for each drafter seconds by number of tokens, `together` for all of
    them in one batch, None if that was not measured."""

    def __init__(self, alone, together):
        self.alone, self.together = alone, together
        self.seen, self.all_seen = [0] * len(alone), 0

    def round(self, chosen, arm, start):
        """Seconds of evaluating the drafters `chosen`, and of catching up to draft."""
        chosen = list(chosen)
        evaluation = catching_up = 0.0
        if chosen:
            evaluation = sum(passes(self.alone[one], start - self.seen[one]) for one in chosen)
            if len(chosen) == len(self.alone):
                if self.together is not None:
                    evaluation = min(evaluation, passes(self.together, start - self.all_seen))
                self.all_seen = start
        own = passes(self.alone[arm], 0)
        if arm in chosen:
            evaluation -= own
        else:
            catching_up = passes(self.alone[arm], start - self.seen[arm]) - own
        for one in [*chosen, arm]:
            self.seen[one] = start
        return evaluation, catching_up
