"""Verification rules: how the target accepts draft tokens, and with which probability.

Each rule is one file with `check`, `expected` (gamma, for the learners) and `realised` (a, for
the replay). Choose one with `verification_rule`.
"""

from types import ModuleType

from hedgespec.errors import HedgespecError
from hedgespec.rules import greedy, sampling
from hedgespec.traces import Trace

RULES: dict[str, ModuleType] = {"sampling": sampling, "greedy": greedy}


def verification_rule(name: str, trace: Trace) -> tuple[str, ModuleType]:
    """The rule called `name` ("auto": greedy at temperature 0, else sampling) and its name.

    Raises HedgespecError for an unknown rule or one that `trace` was not recorded for.
    """
    if name == "auto":
        name = "greedy" if trace.manifest.sampling.temperature == 0 else "sampling"
    if name not in RULES:
        raise HedgespecError(f"unknown rule {name!r}; choose from auto, {', '.join(RULES)}")
    RULES[name].check(trace)
    return name, RULES[name]
