"""What a recorder must find: prompts and full distributions by plain forward passes."""

import json

import numpy as np
import torch

from hedgespec.tracegen.record import RecordSettings


def brute_force(
    folder: str,
    tokens: list[int],
    first: int,
    temperature: float,
    layers: int | None = None,
    top_p: float = 1.0,
    top_k: int = 0,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Full distributions at positions first-1 .. end-1, one sequence, one plain forward pass.

    `layers` keeps only the model's first layers: an early exit. `dtype` is the pass's.
    """
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval().to(dtype)
    if layers is not None:
        model.model.layers = model.model.layers[:layers]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].double().numpy()[first - 1 : -1]
    if top_k:
        logits[logits < np.sort(logits, axis=1)[:, -top_k, None]] = -np.inf
    probabilities = softmax(logits, temperature)
    if top_p < 1:
        for row in probabilities:
            order = np.argsort(-row)
            before = np.cumsum(row[order]) - row[order]
            row[order[before >= top_p]] = 0
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def log_rounding(p: np.ndarray, exact: np.ndarray) -> float:
    """How far float32 takes the logs of a distribution on this machine; `exact` is that of a pass in
    float64."""
    both = (p > 0) & (exact > 0)
    return float(np.abs(np.log(p[both]) - np.log(exact[both])).max())


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    shifted = logits / temperature
    weights = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def prompt_of(settings: RecordSettings, query_id: str, answers: dict[str, list[int]]) -> list[int]:
    """The prompt's token ids, built independently of the recorder."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings.target)
    question_id, _, turn = query_id.partition("/")
    lines = map(json.loads, settings.prompts.read_text().splitlines())
    turns = next(line["turns"] for line in lines if str(line["question_id"]) == question_id)
    parts = [turns[0]]
    if turn:
        parts += [tokenizer.decode(answers[question_id], skip_special_tokens=True), turns[1]]
    return tokenizer("\n\n".join(parts) + "\n\n")["input_ids"]
