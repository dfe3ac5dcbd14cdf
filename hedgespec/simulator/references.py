"""What learners are compared with: fixed drafters, hindsight, and a router by the prompt."""

from hedgespec.results.labels import (
    BEST_FIXED,
    BEST_SINGLE,
    HINDSIGHT,
    NONE,
    ORACLE,
    PROMPT,
    ROUTER,
    SelectorLabel,
    fixed,
)

REFERENCES = {
    fixed("<drafter>"): "always this drafter",
    BEST_FIXED: "per query, the fixed drafter with the fewest expected rounds (hindsight)",
    BEST_SINGLE: "the one fixed drafter with the fewest expected rounds over the trace (hindsight)",
    ORACLE: "per round, the drafter with the most expected tokens on the recorded text (hindsight)",
    ROUTER: "per query, the drafter that a linear classifier picks from the prompt's embedding, "
            "trained on other questions of the trace",
    f"{ROUTER}:<trace>": "the same, trained on another trace: its folder, or a bundled trace's "
                         "name",
}


def is_reference(text: str) -> bool:
    """Whether `text` names a reference, not a learner."""
    label = SelectorLabel.parse(text)
    return label.arm is not None or label.routes or text in REFERENCES


def knowledge(text: str) -> str:
    """What a reference knows before it chooses, as the column `feedback` of the results says it."""
    label = SelectorLabel.parse(text)
    if label.arm is not None:
        return NONE
    return PROMPT if label.routes else HINDSIGHT


def router_trace(text: str) -> str | None:
    """The trace that a router is to be trained on; None: the one it routes, or no router."""
    return SelectorLabel.parse(text).trace
