"""A model's first layers as a model of its own in a Hugging Face folder, as early-exit:LAYER
drafts; or all of them. For servers that read no GGUF.

    python -m tests.helpers.cut_model OUT --layers 25
"""

import argparse
from pathlib import Path


def cut(source: str, out: Path, layers: int | None = None) -> None:
    """Save the first `layers` (None: all) of a model that hedgespec can load, in float32."""
    from hedgespec.models.target import load_model

    loaded = load_model(source, "cpu", "float32")
    if layers is not None:
        loaded.model.model.layers = loaded.model.model.layers[:layers]
        loaded.model.config.num_hidden_layers = layers
    loaded.model.save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", default="smollm2-135m-instruct")
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    cut(options.source, options.out, options.layers)


if __name__ == "__main__":
    main()
