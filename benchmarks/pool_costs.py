"""What rounds cost with the drafters of recorded traces, all measured in one run.

    python -m benchmarks.pool_costs domain-mix-t0.7 methods-t0 --compile --batches 4 16 64 \
        --out costs.json
    python -m benchmarks.pool_costs domain-mix-t0.7 --costs costs.json --into domain-mix-t0 ...

Speed depends on shapes, not on values: target and drafters have random weights of the shapes of
SmolLM2-135M and its zoo. Heads, small models and what copies from the text run on fixed tensors as
one pool, what cannot runs as it is (heads of other methods). With --into, manifests of bundled
traces get these costs for their own.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from hedgespec.bundled import trace_folder
from hedgespec.costs.file import (
    BATCHED,
    costs_for,
    load_costs,
    save_measured,
    save_unfinished,
    unfinished,
)
from hedgespec.costs.profile import random_target
from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.live.pool_costs import pool_costs
from hedgespec.models.drafters import Drafter, make_drafters
from hedgespec.models.heads.eagle import save_head
from hedgespec.models.heads.recurrent import save_redrafter
from hedgespec.models.target import LanguageModel
from hedgespec.traces import Costs, DrafterInfo, load_manifest
from hedgespec.traces.schema import MANIFEST
from hedgespec.zoo.new_heads import new_head, new_parallel_head, new_recurrent_head
from hedgespec.zoo.settings import ZooSettings
from hedgespec.zoo.small_models import new_small_model

WIDTHS = (2, 16, 32, 64)
TARGET = "smollm2-135m"


def main() -> None:
    """Measure, or put measured costs into manifests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("traces", nargs="+", help="bundled traces, whose drafters are measured")
    add("--shapes", default=TARGET, help="of the target: a name of `hedgespec profile`, or a file")
    add("--lm", help="shapes of drafters that are models, likewise (default: the zoo's)")
    add("--draft-vocabulary", type=int, default=ZooSettings.draft_vocabulary, help="of heads")
    add("--device", default="cuda")
    add("--dtype", default="bfloat16")
    add("--draft-length", type=int, default=5)
    add("--context", type=int, default=256)
    add("--repeats", type=int, default=50)
    add("--widths", type=int, nargs="*", default=WIDTHS)
    add("--batches", type=int, nargs="*", default=(), help="texts at once, besides one")
    add("--contexts", type=int, nargs="*", default=(), help="further numbers of tokens before")
    add("--compile", action="store_true")
    add("--eager", action="store_true", help="run all as they are")
    add("--out", type=Path)
    add("--resume", action="store_true", help="go on from what FILE.unfinished has")
    add("--costs", type=Path, help="costs that were measured before")
    add("--into", nargs="*", default=[], help="traces whose manifests get them")
    options = parser.parse_args()
    costs = load_costs(options.costs) if options.costs else measured(options)
    if options.out:
        save_measured(options.out, costs)
    for name in options.into:
        put_into(trace_folder(name) / MANIFEST, costs)


@torch.inference_mode()
def measured(options: argparse.Namespace) -> Costs:
    """Costs of the trace's drafters, by name."""
    target = with_words(random_target(options.shapes, options.device, options.dtype))
    infos = {
        info.name: info
        for name in options.traces
        for info in load_manifest(trace_folder(name)).drafters
    }
    return pool_costs(
        target,
        random_pool(list(infos.values()), target, options.draft_vocabulary, options.lm),
        options.draft_length,
        compiled=options.compile,
        eager=options.eager,
        context=options.context,
        widths=options.widths,
        repeats=options.repeats,
        batches=options.batches,
        contexts=options.contexts,
        kept=partial(save_unfinished, options.out) if options.out else lambda costs: None,
        known=unfinished(options.out) if options.resume else None,
    )


def with_words(target: LanguageModel) -> LanguageModel:
    """The target with a tokenizer of as many words as it knows."""
    words = {f"w{number}": number for number in range(target.vocabulary_size)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, "w0")))
    return LanguageModel(target.id, target.model, tokenizer)


def random_pool(
    infos: list,
    target: LanguageModel,
    draft_vocabulary: int = ZooSettings.draft_vocabulary,
    lm: str | None = None,
) -> list[Drafter]:
    """Drafters with the names and kinds of `infos`, random weights of the zoo's shapes; models of
    the shapes `lm`, if given."""
    vocabulary = np.arange(min(draft_vocabulary, target.vocabulary_size))
    depths = ZooSettings.parallel_depths
    pool = {}
    with tempfile.TemporaryDirectory() as folder:
        for info in infos:
            place = Path(folder) / info.name
            if info.kind == "eagle":
                save_head(new_head(target, vocabulary, None, 0), place)
                pool[info.name] = f"eagle:{place}"
            elif info.kind == "parallel":
                head = new_head(target, vocabulary, None, 0)
                save_head(new_parallel_head(head, depths, 0), place)
                pool[info.name] = f"parallel:{place}"
            elif info.kind == "redrafter":
                save_redrafter(new_recurrent_head(target, vocabulary, 0), place)
                pool[info.name] = f"redrafter:{place}"
            elif info.kind == "lm":
                pool[info.name] = LanguageModel(
                    info.name, _small_model(target, lm), target.tokenizer
                )
            else:
                pool[info.name] = info.id
        return make_drafters(pool, target)


def _small_model(target: LanguageModel, lm: str | None) -> torch.nn.Module:
    if lm is None:
        return new_small_model(target, 0).to(target.model.dtype).eval()
    dtype = str(target.model.dtype).removeprefix("torch.")
    return random_target(lm, target.device.type, dtype).model


def _of(costs: Costs, drafters: list[DrafterInfo]) -> Costs:
    """Costs of some of the drafters alone, in their order."""
    missing = sorted({one.name for one in drafters} - set(costs.drafters))
    if missing:
        raise HedgespecError(f"the costs have no drafter {', '.join(missing)}")
    found = costs_for(costs, drafters)
    batched = sum(one.kind in BATCHED for one in drafters)
    return replace(
        found,
        evaluate_together={
            count: seconds
            for count, seconds in found.evaluate_together.items()
            if int(count) <= batched
        },
    )


def put_into(path: Path, costs: Costs) -> None:
    """Replace the costs in a manifest by those of its own drafters."""
    document = json.loads(path.read_text(encoding="utf-8"))
    drafters = load_manifest(path.parent).drafters
    own = replace(_of(costs, drafters), conditions=[_of(one, drafters) for one in costs.conditions])
    write_text(path, json.dumps({**document, "costs": asdict(own)}, indent=1) + "\n")
    load_manifest(path.parent)


if __name__ == "__main__":
    main()
