"""How rounds draft and verify: what the settings of a decoder come to for its target."""

from collections.abc import Sequence
from dataclasses import dataclass

from hedgespec.errors import HedgespecError, arg
from hedgespec.live.candidates import MOST_NODES, node_count
from hedgespec.live.settings import DRAFT_LENGTH, DecoderSettings
from hedgespec.models.distributions import Sampling
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees import NamedTree, TreeShape, make_trees
from hedgespec.rules import Rule, rule_at


@dataclass(frozen=True)
class RoundPlan:
    """Rounds of at most `draft_length` drafted tokens, the longest arm's, verified by `rule`.

    `tree` is what a rule of draft trees drafts. Draft length 0 decodes without drafting.
    """

    rule: Rule
    sampling: Sampling
    draft_length: int
    tree: NamedTree | None = None

    @property
    def shape(self) -> TreeShape | None:
        """The tree's."""
        return self.tree.shape if self.tree else None

    @property
    def branches(self) -> bool:
        """Whether drafts branch."""
        return self.rule.candidates > 1 or self.rule.path_only


def plan_rounds(settings: DecoderSettings, target: LanguageModel | None = None) -> RoundPlan:
    """The plan of some settings. Raises HedgespecError for what makes no sense, whatever the
    target or, if it is given, with this one."""
    rule = _live_rule(settings.rule, settings.sampling)
    tree = _tree_of(rule, settings.trees)
    if settings.arm_lengths and settings.draft_length is not None:
        raise HedgespecError(f"give {arg('draft_length')} or {arg('arm_lengths')}, not both")
    if tree and settings.arm_lengths:
        raise HedgespecError(
            f"{arg('arm_lengths')}: rule {rule.label} drafts trees, and a tree cut at a level is "
            f"not the one that is drafted for this depth; use another {arg('rule')}"
        )
    given = max(settings.arm_lengths, default=settings.draft_length)
    plan = RoundPlan(rule, settings.sampling, _draft_length(given, tree), tree)
    _check_nodes(plan)
    if target is not None:
        _check_attention(plan, target)
    return plan


def _live_rule(text: str, sampling: Sampling) -> Rule:
    """The rule for decoding. Raises HedgespecError for one that cannot be decoded with."""
    rule = rule_at(text, sampling.temperature)
    if rule.label == "greedy" and sampling.temperature != 0:
        raise HedgespecError("rule greedy needs temperature 0; sampling is for any")
    return rule


def _tree_of(rule: Rule, texts: Sequence[str]) -> NamedTree | None:
    """The tree that a rule of draft trees names, of some [NAME=]SHAPE."""
    if not rule.path_only:
        if texts:
            raise HedgespecError(
                f"{arg('trees', texts)}: rule {rule.label} drafts no trees; "
                f"give {arg('rule', 'tree')}"
            )
        return None
    trees = make_trees(texts or ["dynamic"])
    if rule.label not in trees:
        option, shape = rule.how_to_record()
        raise HedgespecError(
            f"rule {rule.label}: there is no tree of that name; give one, as in "
            f"{arg(option, [shape])}"
        )
    return trees[rule.label]


def _draft_length(given: int | None, tree: NamedTree | None) -> int:
    levels = tree.shape.deepest if tree else None
    length = given if given is not None else levels or DRAFT_LENGTH
    if tree and levels and length > levels:
        raise HedgespecError(
            f"rule {tree.label}: its trees have {levels} levels; draft length {length} is longer"
        )
    return length


def _check_nodes(plan: RoundPlan) -> None:
    rule = plan.rule
    nodes = node_count(rule.candidates, plan.draft_length)
    if nodes > MOST_NODES:
        raise HedgespecError(
            f"rule {rule.label} with draft length {plan.draft_length} drafts "
            f"{nodes} tokens a round, more than {MOST_NODES}: draft fewer"
        )


def _check_attention(plan: RoundPlan, target: LanguageModel) -> None:
    """Whether all candidates of a round can be verified at once."""
    if plan.branches and not has_plain_attention(target):
        raise HedgespecError(
            f"rule {plan.rule.label}: {target.id} does not let candidates be "
            "verified together (sliding windows, or an attention of its own)"
        )
