"""The target's own answers to questions: the text that drafters will have to predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.models.distributions import Sampling
from hedgespec.models.fitting import in_fitting_pieces
from hedgespec.models.target import LanguageModel
from hedgespec.tracegen.generate import generate_answers, query_uniforms
from hedgespec.tracegen.prompts import Question, first_prompt
from hedgespec.zoo.corpus import Corpus


@dataclass(frozen=True)
class Assignment:
    """`count` answers to the first turns of questions, each asked about equally often, in their
    order, which starts again at its end. `seed` draws them."""

    questions: Sequence[Question]
    count: int
    seed: int


def write_answers(
    target: LanguageModel,
    tasks: Sequence[Assignment],
    sampling: Sampling,
    max_new_tokens: int,
    batch_size: int,
    report: Callable[[int, str], None],
) -> list[Corpus]:
    """Sampled answers, one corpus per task.

    `report` is told how many answers are written, and what goes on.
    """
    asked = [
        [first_prompt(target.tokenizer, question) for question in task.questions] for task in tasks
    ]
    wanted = [(task, number) for task in range(len(tasks)) for number in range(tasks[task].count)]
    prompts = [asked[task][number % len(asked[task])] for task, number in wanted]
    limit = min(max_new_tokens, target.context_length - max(map(len, prompts)))
    if limit < 1:
        raise HedgespecError(
            f"{target.id}: a prompt of {max(map(len, prompts))} tokens leaves no "
            f"room for an answer in its context of {target.context_length}"
        )
    # Prompts of similar length together, the longest first: memory runs out early or never.
    order = sorted(range(len(wanted)), key=lambda place: -len(prompts[place]))
    sequences: list[np.ndarray] = [np.empty(0)] * len(wanted)
    done = 0

    def write(places: Sequence[int]) -> list[None]:
        nonlocal done
        uniforms = [
            query_uniforms(tasks[wanted[place][0]].seed, wanted[place][1], limit)
            for place in places
        ]
        answers = generate_answers(
            target,
            [prompts[place] for place in places],
            [limit] * len(places),
            uniforms,
            sampling,
            lambda step: report(done, f"token {step + 1} of <= {limit}"),
            log_softmax=False,
        )
        for place, answer in zip(places, answers, strict=True):
            sequences[place] = np.array(prompts[place] + answer.tokens, dtype=np.int32)
        done += len(places)
        report(done, "")
        return [None] * len(places)

    for start in range(0, len(order), batch_size):
        in_fitting_pieces(write, order[start : start + batch_size])
    corpora, start = [], 0
    for task in tasks:
        part = slice(start, start + task.count)
        corpora.append(Corpus(sequences[part], [len(prompt) for prompt in prompts[part]]))
        start += task.count
    return corpora
