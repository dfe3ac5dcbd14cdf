"""Figures from result tables, one kind per file; all in the style of `style.py`."""

from hedgespec.analysis.figures import (
    acceptance,
    adoption,
    answer,
    answer_length,
    delay,
    drafters,
    gains,
    pareto,
    regret,
    router,
    seconds,
)
from hedgespec.analysis.figures.regret import regret_figure

# In the order of the report: what each shows, and the function that draws it.
FIGURES = {
    "Which drafter suits which domain?": acceptance.draw,
    "Which learner?": gains.draw,
    "How does regret grow with the answer?": regret.draw,
    "And in seconds?": seconds.draw,
    "How soon is the best drafter found?": adoption.draw,
    "Why did it switch?": answer.draw,
    "How many drafters?": drafters.draw,
    "What does delay cost?": delay.draw,
    "A router by the prompt, or online selection?": router.draw,
    "What does evaluation buy?": pareto.draw,
    "Do long answers gain more?": answer_length.draw,
}

__all__ = ["FIGURES", "regret_figure"]
