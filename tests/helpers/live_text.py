"""Plain decoding of a tiny target and its exact law, to hold live decoding against."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.drafters import Drafter
from hedgespec.models.target import LanguageModel, load_model

PROMPT = [5, 9, 7, 5, 9, 8, 5, 9]


def save_noisy_copy(folder: Path, model: str) -> None:
    """The target with noise on its weights: a separate drafter that is right now and then."""
    loaded = load_model(model, "cpu", "float32")
    torch.manual_seed(6)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)


def plain_greedy(target: LanguageModel, prompt: list[int], new_tokens: int) -> list[int]:
    """One whole pass per token, nothing cached."""
    tokens = list(prompt)
    with torch.inference_mode():
        while len(tokens) < len(prompt) + new_tokens:
            tokens.append(int(target.model(torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] in target.eos_tokens:
                break
    return tokens[len(prompt) :]


@torch.inference_mode()
def prompt_with_doubt(
    target: LanguageModel, drafters: Iterable[Drafter], sampling: Sampling
) -> list[int]:
    """A prompt after which every drafter may be accepted and may be rejected."""
    generator = torch.Generator().manual_seed(8)
    while True:
        ids = torch.randint(3, 15, (14,), generator=generator)
        states = target.hidden_states(ids[None, :-1], torch.ones(1, 13), (1, 2, 3))
        known = {layer: state[0] for layer, state in states.items()}
        p = probabilities(target.model(ids[None]).logits[:, -1], sampling)
        accepted = [
            torch.minimum(p, probabilities(drafter.session().extend(ids, known), sampling))
            for drafter in drafters
        ]
        if all(0.05 < common.sum() < 0.95 for common in accepted):
            return ids.tolist()


def law_of_two_tokens(target: LanguageModel, prompt: list[int], sampling: Sampling) -> np.ndarray:
    """Joint probabilities (V, V) of the first two tokens; an end token is followed by 0."""
    with torch.inference_mode():
        first = probabilities(target.model(torch.tensor([prompt])).logits[:, -1], sampling)[0]
        ids = torch.tensor([[*prompt, token] for token in range(len(first))])
        second = probabilities(target.model(ids).logits[:, -1], sampling)
        law = first[:, None] * second
        law[1] = first[1] * torch.eye(len(first))[0]
    return law.double().numpy()
