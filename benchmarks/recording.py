"""Recording throughput: plain `generate` of the target alone beside recording all drafters.

    python -m benchmarks.recording --prompts question.jsonl        (on a GPU)

One run measures, on the same first-turn prompts in one batch and after a warm-up: Hugging Face
`generate` by itself, the recorder's generation, the scoring with all drafters, the parts of the
scoring one by one, and the memory bandwidth that the reduction to statistics reaches. Prints a
table and writes build/bench-recording.json.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.models import DEVICE, load, parser_of, report
from hedgespec.models.acceptance import reduce_pair
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.drafters import Drafter
from hedgespec.models.target import LanguageModel
from hedgespec.tracegen.generate import GeneratedAnswer, generate_answers, query_uniforms
from hedgespec.tracegen.record import CHUNK_ROWS
from hedgespec.tracegen.score import score, teacher_force


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall-clock seconds of the second of two runs of `work`, the device's work included.

    The first run is the warm-up: it grows the memory pools to the size that is needed.
    """
    work()
    _synchronise()
    started = perf_counter()
    result = work()
    _synchronise()
    return perf_counter() - started, result


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def plain_generate(target: LanguageModel, prompts: list[list[int]], tokens: int) -> int:
    """Sample with `generate` alone; return the number of tokens up to each answer's end."""
    batch = target.tokenizer.pad({"input_ids": prompts}, return_tensors="pt", padding_side="left")
    with torch.inference_mode():
        output = target.model.generate(
            **batch.to(target.device), do_sample=True, top_k=0, max_new_tokens=tokens
        )
    count = 0
    for row in output[:, batch["input_ids"].shape[1] :].tolist():
        ends = [row.index(token) + 1 for token in target.eos_tokens if token in row]
        count += min(ends, default=len(row))
    return count


@torch.inference_mode()
def scoring_parts(
    target: LanguageModel,
    drafters: list[Drafter],
    prompts: list[list[int]],
    answers: list[GeneratedAnswer],
    sampling: Sampling,
    chunk: int,
) -> dict[str, float]:
    """Seconds per answer token of each part of the scoring, and the bandwidth of the reduction.

    The passes over the text are timed on one piece of it, the rest on one chunk of its rows.
    """
    tokens = [answer.tokens for answer in answers]
    layers = tuple(sorted({target.layers}.union(*(item.target_layers for item in drafters))))
    target_seconds, batch = seconds_of(lambda: teacher_force(target, prompts, tokens, layers))
    drafters_seconds, prepared = seconds_of(lambda: [item.prepare(batch) for item in drafters])
    rows = slice(0, chunk)
    states = batch.at_rows(batch.states[target.layers])[rows]
    emitted = torch.tensor(list(chain.from_iterable(tokens))[:chunk], device=states.device)
    target_head, p = seconds_of(lambda: probabilities(target.logits(states), sampling, emitted))
    seconds = {
        "target_pass": target_seconds / batch.rows.numel(),
        "drafters_passes": drafters_seconds / batch.rows.numel(),
        "target_distributions": target_head / len(emitted),
    }
    seconds.update(dict.fromkeys(("drafters_logits", "drafters_softmax", "statistics"), 0.0))
    for drafter, state in zip(drafters, prepared, strict=True):
        for depth in range(1, drafter.depths + 1):
            logits_seconds, logits = seconds_of(lambda: drafter.logits(state, depth, rows))  # noqa: B023
            softmax_seconds, q = seconds_of(lambda: probabilities(logits, sampling))  # noqa: B023
            reduce_seconds, _ = seconds_of(lambda: reduce_pair(p, q, emitted))  # noqa: B023
            seconds["drafters_logits"] += logits_seconds / len(emitted)
            seconds["drafters_softmax"] += softmax_seconds / len(emitted)
            seconds["statistics"] += reduce_seconds / len(emitted)
    copy_seconds, _ = seconds_of(p.clone)
    copied = 2 * p.nbytes / copy_seconds
    read = 2 * p.nbytes * sum(item.depths for item in drafters) / len(emitted)
    return {
        **{f"seconds_per_token_{name}": value for name, value in seconds.items()},
        "statistics_bytes_per_second": read / seconds["statistics"],
        "statistics_share_of_copy_bandwidth": read / seconds["statistics"] / copied,
    }


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__, Path("build/bench-recording.json"))
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()

    models = load(options, options.batch_size)
    target, drafters, prompts = models.target, models.drafters, models.prompts
    limits = [options.max_new_tokens] * len(prompts)
    uniforms = [query_uniforms(0, number, options.max_new_tokens) for number in range(len(prompts))]
    sampling = Sampling(1.0)

    plain_seconds, plain_tokens = seconds_of(
        lambda: plain_generate(target, prompts, options.max_new_tokens)
    )
    generate_seconds, answers = seconds_of(
        lambda: generate_answers(target, prompts, limits, uniforms, sampling)
    )
    tokens = sum(len(answer.tokens) for answer in answers)

    def score_all() -> None:
        for start in range(0, len(prompts), 32):
            part = slice(start, start + 32)
            score(
                target,
                drafters,
                prompts[part],
                [answer.tokens for answer in answers[part]],
                sampling,
                CHUNK_ROWS[DEVICE],
            )

    score_seconds, _ = seconds_of(score_all)
    parts = scoring_parts(
        target, drafters, prompts[:32], answers[:32], sampling, CHUNK_ROWS[DEVICE]
    )
    report(
        options,
        {
            "drafters": [drafter.name for drafter in drafters],
            "batch_size": len(prompts),
            "max_new_tokens": options.max_new_tokens,
            "plain_generate_tokens_per_second": plain_tokens / plain_seconds,
            "recorder_generate_tokens_per_second": tokens / generate_seconds,
            "scoring_tokens_per_second": tokens / score_seconds,
            "scoring_over_generation": score_seconds / generate_seconds,
            "recording_over_plain_seconds_per_token": (generate_seconds + score_seconds)
            / tokens
            / (plain_seconds / plain_tokens),
            **parts,
        },
    )


if __name__ == "__main__":
    main()
