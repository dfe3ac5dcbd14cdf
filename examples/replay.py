"""Replay one trace with four selectors, and ask what to do on it.

python examples/replay.py
"""

import hedgespec

trace = hedgespec.read_trace("domain-mix-t0.7")  # a bundled one; or the folder of your own
results = hedgespec.simulate(trace, ["normalhedge", "ucbspec", "best-fixed", "none"], seeds=2)
print(results.overview().select("selector", "mat", "regret_per_query", "tokens_per_second"))
