"""What learners are compared with: fixed drafters, hindsight, and a router by the prompt."""

FIXED = "fixed:"
BEST_FIXED = "best-fixed"
BEST_SINGLE = "best-single"
ORACLE = "oracle"
ROUTER = "router"
REFERENCES = {
    "fixed:<drafter>": "always this drafter",
    BEST_FIXED: "per query, the fixed drafter with the fewest expected rounds (hindsight)",
    BEST_SINGLE: "the one fixed drafter with the fewest expected rounds over the trace (hindsight)",
    ORACLE: "per round, the drafter with the most expected tokens on the recorded text (hindsight)",
    ROUTER: "per query, the drafter that a linear classifier picks from the prompt's embedding, "
            "trained on other questions of the trace",
    "router:<trace>": "the same, trained on another trace: its folder, or a bundled trace's name",
}
# Column `feedback` of the results: what a reference knows.
HINDSIGHT, PROMPT, NOTHING = "hindsight", "prompt", "none"


def is_reference(text: str) -> bool:
    """Whether `text` names a reference, not a learner."""
    return text.startswith((FIXED, f"{ROUTER}:")) or text in REFERENCES


def knowledge(text: str) -> str:
    """What a reference knows before it chooses."""
    if text.startswith(FIXED):
        return NOTHING
    return PROMPT if text.partition(":")[0] == ROUTER else HINDSIGHT


def router_trace(text: str) -> str | None:
    """The trace that a router is to be trained on; None: the one it routes, or no router."""
    return text.partition(":")[2] or None if text.startswith(f"{ROUTER}:") else None
