"""Start positions per second and drafter of building draft trees for recorded text.

    python -m benchmarks.trees --prompts question.jsonl --drafter generalist=eagle:zoo/generalist

The target answers the prompts; then the tree that starts at each answer token is built and walked,
drafter by drafter, after a warm-up. Without --drafter the head is a random one: the work is the
same. `the target's distributions` is the part that is done once for all drafters; a drafter's
number leaves it out, `all` counts everything. --profile adds what took the most time on the device.
Prints a table and writes build/bench-trees.json.
"""

from pathlib import Path

import torch

from benchmarks.models import DEVICE, load, parser_of, report
from benchmarks.recording import seconds_of
from hedgespec.costs.profile import random_heads
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import Drafter, ScoringBatch
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees import BLOCK, TreeShape, make_tree, score_trees
from hedgespec.tracegen.generate import generate_answers, query_uniforms
from hedgespec.tracegen.score import teacher_force

# Padded tokens of a scoring batch, per kind of device.
TOKENS = {"cpu": 2048, "cuda": 65536}
DRAFT_VOCABULARY = 12288


def scoring_batches(
    target: LanguageModel,
    drafters: list[Drafter],
    prompts: list[list[int]],
    max_new_tokens: int,
    sampling: Sampling,
    tokens: int,
) -> list[ScoringBatch]:
    """The target's answers to the prompts, of similar length together, read by the target."""
    answers = [
        answer.tokens
        for answer in generate_answers(
            target,
            prompts,
            [max_new_tokens] * len(prompts),
            [query_uniforms(0, number, max_new_tokens) for number in range(len(prompts))],
            sampling,
        )
    ]
    texts = sorted(zip(prompts, answers, strict=True), key=lambda text: len(text[0]) + len(text[1]))
    layers = tuple(sorted({target.layers}.union(*(item.target_layers for item in drafters))))
    batches, start = [], 0
    for end in range(1, len(texts) + 1):
        longest = sum(map(len, texts[min(end, len(texts) - 1)]))
        if end == len(texts) or (end + 1 - start) * longest > tokens:
            part = texts[start:end]
            batches.append(
                teacher_force(
                    target, [prompt for prompt, _ in part], [answer for _, answer in part], layers
                )
            )
            start = end
    return batches


def seconds_to_score(
    target: LanguageModel,
    drafters: list[Drafter],
    batches: list[ScoringBatch],
    shape: TreeShape,
    sampling: Sampling,
    block: int,
) -> float:
    """Seconds of building and walking the trees of all positions; of p alone without drafters."""

    def work() -> None:
        for batch in batches:
            score_trees(target, drafters, batch, shape, sampling, block)

    return seconds_of(work)[0]


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__, Path("build/bench-trees.json"))
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--tree", default="dynamic:60,7,10")
    parser.add_argument("--block", type=int, help="trees at a time")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()

    block = options.block or BLOCK[DEVICE]
    models = load(
        options, options.queries, lambda target: list(random_heads(target, 1, DRAFT_VOCABULARY))
    )
    target, drafters, prompts = models.target, models.drafters, models.prompts
    sampling = Sampling(options.temperature)
    shape = make_tree(options.tree)
    with torch.inference_mode():
        batches = scoring_batches(
            target, drafters, prompts, options.max_new_tokens, sampling, TOKENS[DEVICE]
        )
    starts = sum(len(batch.rows) for batch in batches)
    shared = seconds_to_score(target, [], batches, shape, sampling, block)
    alone = {
        drafter.name: seconds_to_score(target, [drafter], batches, shape, sampling, block)
        for drafter in drafters
    }
    together = seconds_to_score(target, drafters, batches, shape, sampling, block)
    found = {
        "tree": options.tree,
        "queries": len(prompts),
        "starts": starts,
        "block": block,
        "starts_per_second_the_targets_distributions": starts / shared,
        **{
            f"starts_per_second_{name}": starts / (seconds - shared)
            for name, seconds in alone.items()
        },
        "starts_per_second_all": starts / together,
        "starts_per_second_and_drafter_all": starts * len(drafters) / together,
    }
    if DEVICE == "cuda":
        found["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
    report(options, found)
    if options.profile:
        with torch.profiler.profile() as profile:
            score_trees(target, drafters, batches[0], shape, sampling, block)
        key = "self_cuda_time_total" if DEVICE == "cuda" else "self_cpu_time_total"
        print(profile.key_averages().table(sort_by=key, row_limit=20, max_name_column_width=60))


if __name__ == "__main__":
    main()
