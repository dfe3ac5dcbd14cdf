"""Decode with a transformers model that is in memory, and compare selectors on the same text.

    python examples/live.py                          SmolLM2-135M, fetched once (93 MB)
    python examples/live.py MODEL                    a Hugging Face id, a folder or a .gguf file

Drafters are made from the model itself and from the text; yours may be heads or smaller models.
"""

import sys

import hedgespec
from hedgespec.models.target import load_model

QUESTION = [{"role": "user", "content": "Count to twenty, then count back to one."}]


def main(model: str = "smollm2-135m-instruct", tokens: str = "60") -> None:
    """Print the text, then what each selector took for it."""
    target = load_model(model, "cpu", "float32")
    exit_layer = max(1, target.layers - 2)
    decoder = hedgespec.make_decoder(
        target.model,
        target.tokenizer,
        [f"early-exit:{exit_layer}", "prompt-lookup", "ngram"],
        sampling=hedgespec.Sampling(temperature=0.0),
    )
    prompt = QUESTION if target.tokenizer.chat_template else QUESTION[0]["content"]
    for selector in ("normalhedge", "ucbspec", "none"):
        one = decoder.with_selector(selector)
        text = one.generate_text(prompt, max_new_tokens=int(tokens))
        if selector == "normalhedge":
            print(text)
        print(f"{selector}: {one.last.mat:.2f} tokens a round")


if __name__ == "__main__":
    main(*sys.argv[1:])
