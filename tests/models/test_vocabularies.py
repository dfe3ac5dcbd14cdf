"""Targets, heads and drafters whose vocabularies, tokenizers or LM heads are not quite the same."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import (  # noqa: E402
    AutoModelForCausalLM,
    AutoTokenizer,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
)

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.tracegen.score import score  # noqa: E402
from tests.helpers.head_zoo import Shape, eagle1, flat, layer_config  # noqa: E402
from tests.helpers.heads import random_recurrent  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def changed(folder: Path, model: str, size: int) -> str:
    """The model with another padding."""
    resized = AutoModelForCausalLM.from_pretrained(model)
    resized.resize_token_embeddings(size)
    resized.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def padded(tiny_models, tmp_path_factory):
    """A target whose embedding has 80 rows for 63 tokens; padding is likely in its text."""
    folder = changed(tmp_path_factory.mktemp("padded"), tiny_models["target"], 80)
    target = load_model(folder, "cpu", "float32")
    with torch.no_grad():
        head = target.model.get_output_embeddings().weight
        head[63:] = 1.2 * head[3:20]
    return target


def pool(tiny_models, folder: Path, whole: int) -> list[str]:
    """Drafters of 63 tokens, of `whole` and of 70; heads with their own embedding and without."""
    own = {"embed_tokens.weight": torch.randn(whole, 32)}
    big = {"lm_head.weight": torch.randn(whole, 32)}
    no_d2t = {
        name: tensor
        for name, tensor in flat().tensors.items()
        if name not in ("d2t", "t2d", "lm_head.weight")
    }
    t2d = torch.cat([flat().tensors["t2d"], torch.zeros(whole - 63, dtype=torch.bool)])
    flat(flat().tensors | own | {"t2d": t2d}, vocab_size=whole).save(folder / "reduced")
    flat(no_d2t | own | big, vocab_size=whole, draft_vocab_size=None).save(folder / "whole")
    flat(no_d2t, draft_vocab_size=None, vocab_size=whole).save(folder / "borrowed")
    save_redrafter(random_recurrent(list(range(3, 43))), folder / "recurrent")
    return [
        f"lm=lm:{tiny_models['drafter']}",
        f"wide=lm:{changed(folder / 'wide', tiny_models['drafter'], 70)}",
        *(f"{name}=eagle:{folder / name}" for name in ("reduced", "whole", "borrowed")),
        f"redrafter:{folder / 'recurrent'}",
        "early-exit:2",
        "ngram",
    ]


@pytest.mark.parametrize("whole", [63, 70, 96])
def test_vocabularies_padded_differently_work_in_every_way(padded, tiny_models, tmp_path, whole):
    drafters = make_drafters(pool(tiny_models, tmp_path, whole), padded)
    text = [70, 5, 66, 79, 9, 64, 7, 78]
    scores, _ = score(padded, drafters, [[5, 9, 70]], [text], Sampling(0.0), 8)
    assert all(
        np.isfinite(values).all() for name, values in scores.drafters.items() if "gamma" in name
    )
    expected = plain_greedy(padded, PROMPT, 25)
    assert max(expected) > 62
    for way in ({}, {"rule": "tree", "trees": ("dynamic:12,3,3",)}, {"static": True}):
        some = drafters[:5] if "static" in way else drafters
        for selector in ("ucbspec", "normalhedge"):
            decoder = LiveDecoder(
                padded, some, selector, DecoderSettings(sampling=Sampling(0.0), **way)
            )
            assert decoder.generate(PROMPT, 25).tokens == expected
            assert not decoder.dropped


def test_a_target_padded_less_than_its_drafters(tiny_models, tmp_path):
    target = load_model(tiny_models["target"], "cpu", "float32")
    drafters = make_drafters(pool(tiny_models, tmp_path, 70), target)
    decoder = LiveDecoder(
        target, drafters, "normalhedge", DecoderSettings(sampling=Sampling(0.0), rule="tree")
    )
    assert decoder.generate(PROMPT, 25).tokens == plain_greedy(target, PROMPT, 25)
    assert not decoder.dropped


@pytest.mark.parametrize("changes", [{"vocab_size": 60}, {"vocab_size": 80, "beyond": True}])
def test_heads_of_other_tokens_are_refused(tiny_models, tmp_path, changes):
    target = load_model(tiny_models["target"], "cpu", "float32")
    tensors = flat().tensors
    if changes.pop("beyond", False):
        tensors = tensors | {
            "d2t": torch.full((40,), 35),
            "t2d": (torch.arange(80) >= 35) & (torch.arange(80) < 75),
        }
    shape = flat(tensors, **changes)
    with pytest.raises(HedgespecError, match=r"made for a target|names token 74|points outside"):
        make_drafters([f"eagle:{shape.save(tmp_path)}"], target)


def scaled(kind: str) -> object:
    common = {
        "vocab_size": 63,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    torch.manual_seed(7)
    return {
        "granite": lambda: GraniteForCausalLM(GraniteConfig(logits_scaling=8.0, **common)),
        "cohere": lambda: CohereForCausalLM(CohereConfig(logit_scale=0.25, **common)),
        "gemma2": lambda: Gemma2ForCausalLM(
            Gemma2Config(final_logit_softcapping=3.0, head_dim=8, **common)
        ),
    }[kind]().eval()


@pytest.mark.parametrize("kind", ["granite", "cohere", "gemma2"])
def test_a_borrowed_head_gives_logits_as_the_target_makes_them(tiny_models, tmp_path, kind):
    """Scaled and capped: the head's output is a final state of the target's."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    target = LanguageModel.of(scaled(kind), tokenizer)
    config = layer_config(architectures=["LlamaForCausalLM"], bias=True)
    shape = Shape(config, eagle1())
    [drafter] = make_drafters([f"eagle:{shape.save(tmp_path)}"], target)
    with torch.inference_mode():
        features = 4 * torch.randn(5, 32)
        torch.testing.assert_close(drafter.head.logits(features), target.logits(features))
        plain = target.model.get_output_embeddings()(features)
    assert (target.logits(torch.zeros(1, 32)) - plain).abs().max() > 0


def variant(tiny_models, folder: Path, change) -> str:
    shutil.copytree(tiny_models["drafter"], folder)
    change(folder)
    return str(folder)


def with_tokens(*words: str):
    def change(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(list(words))
        tokenizer.save_pretrained(folder)

    return change


def renamed(old: str, new: str):
    def change(folder: Path) -> None:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            file = folder / name
            file.write_text(file.read_text().replace(f'"{old}"', f'"{new}"'))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            with_tokens("<think>", "</think>"),
            "63 ('<think>', the drafter's alone), 64 ('</think>', the drafter's alone);",
        ),
        (renamed("<unk>", "<reserved>"), "2 ('<reserved>', the target's '<unk>');"),
    ],
)
def test_added_and_special_tokens_that_differ_are_told(tiny_models, tmp_path, change, message):
    target = load_model(tiny_models["target"], "cpu", "float32")
    folder = variant(tiny_models, tmp_path / "variant", change)
    with pytest.warns(UserWarning, match="added or special tokens") as told:
        drafters = make_drafters([f"lm:{folder}"], target)
    assert any(message in str(one.message) for one in told)
    decoder = LiveDecoder(
        target, drafters, "fixed:variant", DecoderSettings(sampling=Sampling(0.0))
    )
    assert decoder.generate(PROMPT, 10).tokens == plain_greedy(target, PROMPT, 10)


def test_words_that_differ_are_refused_and_told(tiny_models, tmp_path):
    target = load_model(tiny_models["target"], "cpu", "float32")
    folder = variant(tiny_models, tmp_path / "variant", renamed("w7", "word"))
    with pytest.raises(HedgespecError, match=r"differs from the target's .* in tokens 10 \('word'"):
        make_drafters([f"lm:{folder}"], target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_drafters([f"lm:{tiny_models['drafter']}"], target)
