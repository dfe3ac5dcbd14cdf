"""Checks the settings of a recording, and loads what they name."""

from dataclasses import dataclass, field

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import Drafter, check_sampling, default_drafters, make_drafters
from hedgespec.models.target import LanguageModel, check_device, load_model
from hedgespec.models.trees import NamedTree, make_trees
from hedgespec.rules import Rule, parse_rule
from hedgespec.tracegen.settings import RecordSettings
from hedgespec.traces.schema import (
    PRECISIONS,
    TRACE_NAME_RULE,
    is_trace_name,
)


@dataclass(frozen=True)
class Setup:
    """The settings of a recording and what they name. Build one with `load_setup`."""

    settings: RecordSettings
    sampling: Sampling
    target: LanguageModel
    drafters: list[Drafter]
    rules: list[Rule]
    trees: list[NamedTree]

    @property
    def context(self) -> int:
        """The shortest context of target and drafters, in tokens.

        Texts stay below a switch of the target's RoPE: scored whole, their first tokens would have
        another one than when they were written.
        """
        lengths = [
            self.target.context_length,
            self.target.rope_switch,
            *(one.context_length for one in self.drafters),
        ]
        return min(length for length in lengths if length is not None)


def check_settings(settings: RecordSettings) -> None:
    """Raise HedgespecError for settings out of range, before anything is loaded."""
    _sampling(settings)
    settings.share  # noqa: B018 - refused here if it makes no sense
    if settings.precision not in PRECISIONS:
        raise HedgespecError(f"{arg('precision')} must be one of {', '.join(PRECISIONS)}")
    if not is_trace_name(settings.name):
        raise HedgespecError(f"{arg('name')} {settings.name!r}: {TRACE_NAME_RULE}")
    _recorded_rules(settings)
    make_trees(settings.trees)
    check_device(settings.device)


@dataclass
class Loaded:
    """A target, and drafters by their specifications, that several recordings share."""

    target: LanguageModel | None = None
    drafters: dict[str, Drafter] = field(default_factory=dict)


def load_setup(settings: RecordSettings, loaded: Loaded | None = None) -> Setup:
    """Load target and drafters, but for those `loaded`, to which they are added.

    Raises HedgespecError for what cannot be loaded or used.
    """
    loaded = loaded or Loaded()
    sampling = _sampling(settings)
    loaded.target = target = loaded.target or load_model(
        settings.target, settings.device, settings.dtype
    )
    specifications = list(settings.drafters) or default_drafters(target.layers)
    drafters = make_drafters([loaded.drafters.get(one, one) for one in specifications], target)
    loaded.drafters.update(zip(specifications, drafters, strict=True))
    check_sampling(drafters, sampling)
    return Setup(
        settings,
        sampling,
        target,
        drafters,
        _recorded_rules(settings),
        list(make_trees(settings.trees).values()),
    )


def _sampling(settings: RecordSettings) -> Sampling:
    return Sampling(settings.temperature, settings.top_p, settings.top_k)


def _recorded_rules(settings: RecordSettings) -> list[Rule]:
    """The rules whose statistics are to be recorded."""
    rules = [parse_rule(name) for name in settings.rules]
    for rule in rules:
        if not rule.recorded:
            raise HedgespecError(
                f"{arg('rules', rule.label)}: nothing to record, every trace has "
                "what this rule needs"
            )
        if rule.path_only:
            raise HedgespecError(
                f"{arg('rules', rule.label)}: draft trees are recorded with "
                f"{arg('trees')}, as in {arg('trees', ['dynamic'])}"
            )
    if len({rule.label for rule in rules}) < len(rules):
        raise HedgespecError(f"{arg('rules')} names a rule twice")
    return rules
