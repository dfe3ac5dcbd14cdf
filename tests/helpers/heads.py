"""Draft heads with random weights, of the tiny target's shape."""

from dataclasses import replace

import torch
from transformers import LlamaConfig

from hedgespec.models.heads.eagle import EagleConfig, EagleHead, ParallelHead
from hedgespec.models.heads.recurrent import RecurrentConfig, RecurrentHead

VOCABULARY, DRAFT_VOCABULARY, WIDTH = 63, 40, 32


def random_head(seed: int = 0, generation: int = 3, reduced: bool = True, **changes) -> EagleHead:
    layer = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        num_hidden_layers=1,
        rms_norm_eps=1e-5,
    )
    third = generation == 3
    config = EagleConfig(
        layer,
        generation,
        draft_vocabulary_size=DRAFT_VOCABULARY if third and reduced else None,
        target_layers=(1, 2, 3) if third else None,
        fc_bias=not third,
    )
    config = replace(config, **changes)
    torch.manual_seed(seed)
    network = ParallelHead if config.masks else EagleHead
    head = network(config, own_head=third)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    if head.reduced:
        known = torch.randperm(VOCABULARY)[:DRAFT_VOCABULARY].sort().values
        head.d2t = known - torch.arange(DRAFT_VOCABULARY)
        head.t2d = torch.zeros(VOCABULARY, dtype=torch.bool)
        head.t2d[known] = True
    return head.eval()


def random_recurrent(tokens: list[int], seed: int = 0, spread: float = 0.3) -> RecurrentHead:
    """Random weights over the target's tokens `tokens`."""
    torch.manual_seed(seed)
    head = RecurrentHead(RecurrentConfig(WIDTH, VOCABULARY, len(tokens)))
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn_like(parameter) * spread)
    head.d2t = torch.tensor(tokens) - torch.arange(len(tokens))
    return head.eval()


def inputs(head: EagleHead, batch: int = 2, length: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings and fused features as a target would give them."""
    torch.manual_seed(9)
    head.attach(torch.nn.Embedding(VOCABULARY, WIDTH), torch.nn.Linear(WIDTH, VOCABULARY, False))
    ids = torch.randint(VOCABULARY, (batch, length))
    count = 3 if head.config.generation == 3 else 1
    states = [torch.randn(batch, length, WIDTH) for _ in range(count)]
    return head.embed(ids), head.fuse(states)
