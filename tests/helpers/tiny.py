"""Tiny random models with a real tokenizer, saved as Hugging Face folders."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

WORDS = [f"w{number}" for number in range(60)]


def save_tiny_model(folder: Path, seed: int, layers: int, extra_words: int = 0) -> None:
    """A random Llama of width 32 over a word-level vocabulary."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", *WORDS, *(f"x{number}" for number in range(extra_words))]
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            eos_token_id=1,
            pad_token_id=0,
            bos_token_id=None,
            initializer_range=0.4,
        )
    )
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)


def save_other_architecture(kind: str, folder: Path, tokenizer_of: str) -> str:
    """Random models whose layers, norm and positions are not where Llama has them."""
    import torch
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        GPT2LMHeadModel,
        MistralConfig,
        MistralForCausalLM,
        OPTConfig,
        OPTForCausalLM,
    )

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    tokenizer.save_pretrained(folder)
    common = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
    }
    torch.manual_seed(3)
    models = {
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(n_positions=64, n_embd=32, n_layer=3, n_head=2, **common)
        ),
        "opt": lambda: OPTForCausalLM(
            OPTConfig(
                hidden_size=32,
                ffn_dim=64,
                num_hidden_layers=3,
                num_attention_heads=2,
                max_position_embeddings=64,
                word_embed_proj_dim=32,
                **common,
            )
        ),
        "sliding": lambda: MistralForCausalLM(
            MistralConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                sliding_window=4,
                max_position_embeddings=64,
                **common,
            )
        ),
    }
    models[kind]().save_pretrained(folder)
    return str(folder)


def save_questions(path: Path, count: int = 12) -> Path:
    """A question file of several domains, lengths and turns."""
    with open(path, "w", encoding="utf-8") as handle:
        for number in range(count):
            words = " ".join(WORDS[(number * 7 + k) % 60] for k in range(3 + number % 5))
            turns = [words] if number % 4 else [words, "w1 w2"]
            handle.write(
                json.dumps(
                    {"question_id": number, "category": f"domain{number % 3}", "turns": turns}
                )
                + "\n"
            )
    return path


def save_plain_layers(kind: str, folder: Path, context: int = 256) -> str:
    """A random model of a kind whose layers a head can start from: `PLAIN_LAYERS`.

    It reads bytes: transformers reads a tokenizer of Qwen's as byte-level pairs, whatever it is.
    """
    import torch
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    tokenizer = _byte_tokenizer()
    tokenizer.save_pretrained(folder)
    common = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": context,
        "initializer_range": 0.3,
    }
    torch.manual_seed(3)
    models = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**common, head_dim=16)),
        "llama-biased": lambda: LlamaForCausalLM(
            LlamaConfig(**common, attention_bias=True, mlp_bias=True)
        ),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**common)),
        "qwen2-tied": lambda: Qwen2ForCausalLM(Qwen2Config(**common, tie_word_embeddings=True)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**common, head_dim=12)),
    }
    model = models[kind]()
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "_norm" in name:  # which start as 0 and 1
            torch.nn.init.normal_(parameter, mean=float("_norm" in name), std=0.2)
    model.save_pretrained(folder)
    return str(folder)


def save_tiny_gguf(path: Path) -> str:
    """A random Qwen2 as a GGUF file whose matrices are quantised to eight bits."""
    import gguf
    import numpy as np
    from tokenizers import pre_tokenizers

    size, layers, heads, words = 32, 6, 2, sorted(pre_tokenizers.ByteLevel.alphabet())
    pair = words[0] + words[1]  # there must be one
    tokens = ["<pad>", "<eos>", *words, pair]
    writer = gguf.GGUFWriter(str(path), "qwen2")
    for add, value in (
        (writer.add_context_length, 1024),
        (writer.add_embedding_length, size),
        (writer.add_block_count, layers),
        (writer.add_feed_forward_length, 2 * size),
        (writer.add_head_count, heads),
        (writer.add_head_count_kv, 1),
        (writer.add_layer_norm_rms_eps, 1e-6),
        (writer.add_rope_freq_base, 1e4),
        (writer.add_vocab_size, len(tokens)),
        (writer.add_tokenizer_model, "gpt2"),
        (writer.add_tokenizer_pre, "qwen2"),
        (writer.add_token_list, tokens),
        (writer.add_token_types, [3, 3, *[1] * (len(words) + 1)]),
        (writer.add_token_merges, [f"{words[0]} {words[1]}"]),
        (writer.add_eos_token_id, 1),
        (writer.add_pad_token_id, 0),
    ):
        add(value)
    rng = np.random.default_rng(0)

    def matrix(name: str, *shape: int) -> None:
        values = rng.normal(0, 0.3, shape).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    def vector(name: str, count: int) -> None:
        writer.add_tensor(name, rng.normal(1, 0.1, count).astype(np.float32))

    matrix("token_embd.weight", len(tokens), size)
    matrix("output.weight", len(tokens), size)
    vector("output_norm.weight", size)
    for layer in range(layers):
        for name, rows in (("attn_q", size), ("attn_k", size // heads), ("attn_v", size // heads)):
            matrix(f"blk.{layer}.{name}.weight", rows, size)
            vector(f"blk.{layer}.{name}.bias", rows)
        matrix(f"blk.{layer}.attn_output.weight", size, size)
        matrix(f"blk.{layer}.ffn_gate.weight", 2 * size, size)
        matrix(f"blk.{layer}.ffn_up.weight", 2 * size, size)
        matrix(f"blk.{layer}.ffn_down.weight", size, 2 * size)
        vector(f"blk.{layer}.attn_norm.weight", size)
        vector(f"blk.{layer}.ffn_norm.weight", size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def _byte_tokenizer() -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = ["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({text: number for number, text in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")


PLAIN_LAYERS = ("llama", "llama-biased", "qwen2", "qwen2-tied", "qwen3")
