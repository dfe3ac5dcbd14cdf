"""Two evaluations of one drafter: MAT from a trace, and MAT of really drafting and verifying.

    python benchmarks/agreement.py --trace recordings/domain-mix-t0.7 \\
        --prompts recordings/prompts/domain-mix.jsonl --domain math \\
        --drafter expert-math=eagle:zoo/expert-math

Decodes the prompts of one domain live, with fresh random numbers, and compares tokens per round
with the exact expectation on the recorded answers to the same prompts. z is the difference over its
standard error, the question being the unit. Prints a table and writes it as JSON.
"""

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl
import torch

from hedgespec.live import DecoderSettings, LiveDecoder
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import make_drafters
from hedgespec.models.target import load_model
from hedgespec.results.labels import fixed, questions
from hedgespec.results.statistics import mat_error
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.tracegen.prompts import first_prompt, read_questions
from hedgespec.traces import load_manifest


def replayed(trace: Path, drafter: str, domain: str) -> pl.DataFrame:
    """Expected rounds of each recorded answer."""
    settings = SweepSettings(selectors=(fixed(drafter),), mode="exact")
    return run_sweep([trace], settings).per_query.filter(pl.col("domain") == domain)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--domain", required=True)
    parser.add_argument("--drafter", required=True)
    parser.add_argument("--target", default="smollm2-135m-instruct")
    parser.add_argument("--answers", type=int, help="how many to decode (default: each prompt)")
    parser.add_argument("--limit", type=float, default=np.inf, help="seconds of decoding")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/agreement.json"))
    options = parser.parse_args()

    manifest = load_manifest(options.trace)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    target = load_model(options.target, device, manifest.dtype)
    [drafter] = make_drafters([options.drafter], target)
    asked = [
        question
        for question in read_questions(options.prompts)
        if question.domain == options.domain
    ]
    sampling = Sampling(
        manifest.sampling.temperature, manifest.sampling.top_p, manifest.sampling.top_k
    )
    decoder = LiveDecoder(
        target,
        [drafter],
        fixed(drafter.name),
        DecoderSettings(sampling=sampling, draft_length=manifest.draft_length, seed=options.seed),
    )
    counts = []
    started = perf_counter()
    for number in range(options.answers or len(asked)):
        if perf_counter() - started > options.limit:
            break
        question = asked[number % len(asked)]
        prompt = first_prompt(target.tokenizer, question)
        answer = decoder.generate(prompt, manifest.sampling.max_new_tokens, number)
        counts.append((len(answer.tokens), len(answer.rounds)))
        print(f"\r{number + 1} answers", end="", file=sys.stderr)
    print(file=sys.stderr)
    live = np.array(counts, dtype=float)
    recorded = replayed(options.trace, drafter.name, options.domain)
    live_mat, live_error = mat_error(live[:, 0], live[:, 1], np.arange(len(live)) % len(asked))
    trace_mat, trace_error = mat_error(
        recorded["tokens"].to_numpy(),
        recorded["rounds"].to_numpy(),
        np.array(questions(recorded["query_id"].to_list())),
    )
    result = {
        "drafter": drafter.name,
        "domain": options.domain,
        "device": device,
        "live_answers": len(live),
        "live_tokens": int(live[:, 0].sum()),
        "live_mat": live_mat,
        "live_standard_error": live_error,
        "trace_answers": len(recorded),
        "trace_tokens": int(recorded["tokens"].sum()),
        "trace_mat": trace_mat,
        "trace_standard_error": trace_error,
        "z": (live_mat - trace_mat) / float(np.hypot(live_error, trace_error)),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    for key, value in result.items():
        print(f"{key:22s} {value:.4f}" if isinstance(value, float) else f"{key:22s} {value}")


if __name__ == "__main__":
    main()
