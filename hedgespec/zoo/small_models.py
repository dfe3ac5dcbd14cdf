"""Small stand-alone language models with the target's tokenizer, distilled from it."""

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from hedgespec.models.target import LanguageModel

_WIDTH, _LAYERS, _HEAD = 96, 4, 32


def new_small_model(target: LanguageModel, seed: int) -> LlamaForCausalLM:
    """A Llama of a few million parameters over the target's vocabulary.

    Its embedding, tied to its head, starts as the target's in the coordinates of largest variance;
    the rest starts at random.
    """
    torch.manual_seed(seed)
    source = target.model.get_input_embeddings().weight.detach().float()
    width = min(_WIDTH, source.shape[1])
    config = LlamaConfig(
        vocab_size=target.vocabulary_size,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=_LAYERS,
        num_attention_heads=max(1, width // _HEAD),
        max_position_embeddings=target.context_length,
        tie_word_embeddings=True,
        eos_token_id=target.eos_tokens,
        pad_token_id=target.pad_token,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _, directions = torch.linalg.eigh(source.T @ source)
    embedding = source @ directions[:, -width:]
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(embedding * (0.05 / embedding.std()))
    return model.to(target.device)


def load_small_model(folder: str, target: LanguageModel) -> LlamaForCausalLM:
    """A small model saved before, on the target's device."""
    return AutoModelForCausalLM.from_pretrained(folder).to(target.device)
