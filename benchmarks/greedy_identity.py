"""Greedy text with drafters against the target's own, token by token.

    python -m benchmarks.greedy_identity --prompts question.jsonl --answers 100

Decodes the first turns of a question file with `model.generate(do_sample=False)` and live with each
selector, and compares. Where they part, the gap between the two highest logits there says whether
it was a near-tie. Prints a table; what was found so far is written as JSON after each answer.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

from hedgespec.bundled import PROMPTS
from hedgespec.files import write_text
from hedgespec.live import DecoderSettings, LiveDecoder
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import default_drafters, make_drafters
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.tracegen.prompts import first_prompt, read_questions


@torch.inference_mode()
def own_text(target: LanguageModel, prompt: list[int], tokens: int) -> list[int]:
    """What generate writes."""
    ids = torch.tensor([prompt], device=target.device)
    found = target.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens
    )
    answer: list[int] = found[0, len(prompt) :].tolist()
    return answer


@torch.inference_mode()
def gap(target: LanguageModel, text: list[int]) -> float:
    """Difference of the two highest logits after a text."""
    logits = target.model(torch.tensor([text], device=target.device)).logits[0, -1].float()
    first, second = logits.topk(2).values.tolist()
    return float(first - second)


def main() -> None:
    """Compare and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="smollm2-135m-instruct")
    parser.add_argument("--prompts", type=Path, default=PROMPTS)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--drafter", action="append", default=[])
    parser.add_argument("--selector", action="append", default=[])
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=Path("build/greedy-identity.json"))
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    target = load_model(options.target, device, options.dtype)
    drafters = make_drafters(options.drafter or default_drafters(target.layers), target)
    selectors = options.selector or ["normalhedge", "ucbspec", "exp3spec", "uniform"]
    decoder = LiveDecoder(target, drafters, settings=DecoderSettings(Sampling(0.0)))
    decoders = {name: decoder.with_selector(name) for name in selectors}
    questions = read_questions(options.prompts)[: options.answers]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, object] = {}
    parted: list[dict[str, object]] = []
    tokens = 0
    for number, question in enumerate(questions):
        prompt = first_prompt(target.tokenizer, question)
        own = own_text(target, prompt, options.max_new_tokens)
        tokens += len(own)
        for name, shared in decoders.items():
            live = shared.generate(prompt, options.max_new_tokens, number).tokens
            if live != own:
                at = next(
                    place
                    for place, (one, other) in enumerate(zip([*own, -1], [*live, -1], strict=False))
                    if one != other
                )
                parted.append(
                    {
                        "question": question.id,
                        "selector": name,
                        "position": at,
                        "gap": gap(target, prompt + own[:at]),
                    }
                )
        result = {
            "device": device,
            "dtype": options.dtype,
            "target": options.target,
            "drafters": [drafter.name for drafter in drafters],
            "selectors": selectors,
            "answers": number + 1,
            "tokens": tokens,
            "different": parted,
        }
        write_text(options.out, json.dumps(result, indent=1) + "\n")
        print(
            f"\r{number + 1} of {len(questions)} answers, {len(parted)} differ",
            end="",
            file=sys.stderr,
        )
    print(file=sys.stderr)
    for key, value in result.items():
        print(f"{key:12s} {value}")


if __name__ == "__main__":
    main()
