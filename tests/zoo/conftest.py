"""Questions of made-up words for the zoos of this room."""

import random

import pytest


def questions(domain, count, seed=0):
    """`count` questions of six words of the tiny models' vocabulary."""
    from hedgespec.tracegen.prompts import Question

    rng = random.Random(f"{domain} {seed}")
    return [
        Question(
            f"{domain}-{number}", domain, [" ".join(f"w{rng.randrange(60)}" for _ in range(6))]
        )
        for number in range(count)
    ]


@pytest.fixture
def small_questions(monkeypatch):
    """Zoos and experiments ask such questions."""
    from hedgespec.zoo import build, experiment

    for module in (build, experiment):
        monkeypatch.setattr(module, "held_out_questions", questions)
    monkeypatch.setattr(build, "training_questions", questions)
