"""What the compact rounding of a trace costs.

    hedgespec record --precision full --out recordings/full ...
    python benchmarks/precision.py recordings/full

Compares the exact expected rounds of every fixed drafter, and the choices of NormalHedge, on a
full-precision trace and on the same trace rounded as `--precision compact` does.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from hedgespec.simulator import Replayer
from hedgespec.traces import Trace, read_trace
from hedgespec.traces.schema import round_log, round_probability


def rounded(trace: Trace) -> Trace:
    """The trace as `--precision compact` would have stored it."""
    return replace(
        trace,
        log_p=round_log(trace.log_p, "compact"),
        log_q=round_log(trace.log_q, "compact"),
        gamma=round_probability(trace.gamma, "compact"),
        p_top=round_probability(trace.p_top, "compact"),
    )


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trace", type=Path)
    trace = read_trace(parser.parse_args().trace)
    full, compact = Replayer(trace), Replayer(rounded(trace))
    exact = [replayer.expected_rounds.sum(axis=0) for replayer in (full, compact)]
    print(f"{trace.name}: {trace.manifest.tokens} tokens, K = {full.draft_length}")
    print("expected rounds, relative difference by fixed drafter:")
    for name, a, b in zip(trace.manifest.drafter_names, *exact, strict=True):
        print(f"  {name:20s} {(b - a) / a:+.2e}")
    rounds = [
        np.mean(
            [
                replayer.rounds_per_query(replayer.run("normalhedge", seed)).sum()
                for seed in range(50)
            ]
        )
        for replayer in (full, compact)
    ]
    print(
        f"normalhedge, 50 seeds: {rounds[0]:.1f} and {rounds[1]:.1f} rounds, "
        f"relative difference {(rounds[1] - rounds[0]) / rounds[0]:+.2e}"
    )


if __name__ == "__main__":
    main()
