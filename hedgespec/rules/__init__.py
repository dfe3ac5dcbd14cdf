"""Verification rules: how the target accepts draft tokens, and with which probability.

Each rule is one file that defines RULE; see `base.Rule`. Choose one with `verification_rule`.
"""

from importlib import import_module

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.rules.base import Rule, Statistics
from hedgespec.traces import Trace

__all__ = ["RULES", "Rule", "Statistics", "parse_rule", "rule_at", "verification_rule"]

_FILES = (
    "sampling",
    "greedy",
    "onehot",
    "block",
    "gumbel",
    "multi",
    "multi_without",
    "kseq",
    "tree",
)
RULES: dict[str, type[Rule]] = {
    rule.name: rule for rule in (import_module(f"{__name__}.{file}").RULE for file in _FILES)
}


def parse_rule(text: str) -> Rule:
    """The rule called `text`: a name, perhaps with a number, as in multi:3.

    Raises HedgespecError for an unknown rule or a number that means nothing to it.
    """
    name, colon, argument = text.partition(":")
    if name not in RULES or (colon and not argument):
        raise HedgespecError(
            f"unknown rule {text!r}; choose from auto, {', '.join(RULES)}"
            + did_you_mean(name, RULES)
        )
    return RULES[name](argument)


def rule_at(text: str, temperature: float) -> Rule:
    """As `parse_rule`; "auto" is greedy at temperature 0, else sampling."""
    if text == "auto":
        text = "greedy" if temperature == 0 else "sampling"
    return parse_rule(text)


def verification_rule(text: str, trace: Trace) -> Rule:
    """The rule called `text` for a trace; "auto" as in `rule_at`.

    Raises HedgespecError for an unknown rule or one that `trace` was not recorded for.
    """
    rule = rule_at(text, trace.manifest.sampling.temperature)
    rule.check(trace)
    return rule
