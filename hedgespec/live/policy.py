"""Who drafts how much: a selector that may learn, or always the same arm."""

from abc import ABC, abstractmethod

import numpy as np

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.live.decoded import Answer
from hedgespec.live.engine import Evaluation
from hedgespec.live.evaluated import last_tokens
from hedgespec.live.plan import RoundPlan, plan_rounds
from hedgespec.live.settings import DecoderSettings
from hedgespec.results.labels import NONE, SelectorLabel, fixed
from hedgespec.rules import Statistics
from hedgespec.selectors import FULL, ConfiguredSelector, Selector, configure
from hedgespec.selectors.arms import NO_DRAFTER, Arms, arms_of
from hedgespec.selectors.online import OnlineSelector


class Policy(ABC):
    """Chooses an arm, a drafter with its draft length, for each round of one text after the other.

    `label` names it in results, `feedback` and `loss` what it learns from the losses of all, None
    where it does not. `uses_gamma` says whether it wants the acceptance probability of the drafter
    that ran, `drafts` whether any drafter ever runs.
    """

    label: str
    feedback: str | None = None
    loss: str | None = None
    uses_gamma: bool = False
    drafts: bool = True

    def evaluation(self, evaluate_all: bool) -> Evaluation:
        """When it needs all drafters evaluated; they are at some time if `evaluate_all`."""
        return Evaluation.ON_DEMAND if evaluate_all else Evaluation.NEVER

    def begin(self, query: int) -> None:  # noqa: B027 (there may be nothing to do)
        """Start a text."""

    def needs(self, position: int) -> int:
        """How many tokens must be evaluated before a round at `position`; 0 if no more than are."""
        return 0

    @abstractmethod
    def choose(self, position: int) -> tuple[int, np.ndarray]:
        """The arm of the round at `position`, or NO_DRAFTER, and the probabilities (N) of all."""

    def choose_evaluated(self, position: int) -> list[int]:
        """The drafters to evaluate before a round at `position`, for Evaluation.IN_PART."""
        return []

    def evaluated(self, answer: Answer, plan: RoundPlan) -> None:  # noqa: B027
        """Take note of the answer's last statistics; `plan` is that of its rounds."""

    def evaluated_some(  # noqa: B027
        self, answer: Answer, plan: RoundPlan, drafters: list[int]
    ) -> None:
        """Take note of the last statistics of some drafters."""

    def finished_round(self, emitted: int, gamma: np.ndarray | None) -> None:  # noqa: B027
        """Take note of a round's tokens; `gamma` (m, D) is what `uses_gamma` asks for."""

    @property
    def learned(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Positions (M) of the losses that it was fed with in this text, and the losses (M, N)."""
        return None


class FixedArm(Policy):
    """Always the same arm."""

    def __init__(self, name: str, names: list[str]):
        """Raises HedgespecError if `name` is not among `names` (N)."""
        self.label = fixed(name)
        if name not in names:
            raise HedgespecError(
                f"{self.label}: there is no such arm; the pool has "
                f"{', '.join(names)}" + did_you_mean(name, names)
            )
        self._arm, self._count = names.index(name), len(names)

    def choose(self, position: int) -> tuple[int, np.ndarray]:
        """The arm."""
        return self._arm, np.eye(self._count)[self._arm]


class NoDrafter(Policy):
    """Decoding without drafts: the target reads and writes one token a round."""

    label = NONE
    drafts = False

    def __init__(self, arms: int):
        """`arms` N that are never chosen."""
        self._count = arms

    def choose(self, position: int) -> tuple[int, np.ndarray]:
        """Nobody."""
        return NO_DRAFTER, np.zeros(self._count)


class Learner(Policy):
    """A selector, called as in the simulator."""

    def __init__(
        self,
        configured: ConfiguredSelector,
        arms: Arms,
        plan: RoundPlan,
        settings: DecoderSettings,
    ):
        """Raises HedgespecError for a selector that cannot be used."""
        seconds = settings.round_seconds
        self.label, self._arms = configured.label, arms
        self._online = OnlineSelector(
            configured,
            arms,
            plan.draft_length,
            settings.feedback,
            settings.given_loss,
            settings.base_seed,
            None if seconds is None else np.array(seconds, dtype=float),
            plan.rule.path_only,
        )
        self.uses_gamma = self._online.selector.uses_gamma
        if self._online.selector.feedback == FULL:
            self.feedback, self.loss = self._online.feedback.label, self._online.loss.label

    def evaluation(self, evaluate_all: bool) -> Evaluation:
        """As its feedback says, if it learns from all drafters."""
        if self._online.selector.feedback != FULL:
            return super().evaluation(evaluate_all)
        if self._online.partial:
            return Evaluation.IN_PART
        if self._online.feedback.spares:
            return Evaluation.ON_DEMAND
        return Evaluation.ASIDE if self._online.feedback.delayed else Evaluation.EACH_ROUND

    def begin(self, query: int) -> None:
        """Forget the text before."""
        self._online.begin(query)

    def needs(self, position: int) -> int:
        """As the selector says."""
        return self._online.needs(position)

    def choose(self, position: int) -> tuple[int, np.ndarray]:
        """As the selector plays."""
        arm = self._online.choose(position)
        return arm, self._online.weights.copy()

    def choose_evaluated(self, position: int) -> list[int]:
        """As the selector says. An arm that drafts nothing is known to accept nothing."""
        chosen, online = self._online.choose_evaluated(position), self._online
        for arm in np.flatnonzero(chosen & (self._arms.drafters == NO_DRAFTER)).tolist():
            nothing = np.zeros((position - online.read[arm], self._arms.longest), np.float32)
            online.verified_one(arm, nothing, nothing)
        drafters: list[int] = self._arms.drafters[chosen & self._arms.first].tolist()
        return drafters

    def evaluated(self, answer: Answer, plan: RoundPlan) -> None:
        """Tell the selector the acceptance probabilities of the new tokens."""
        arms = self._arms
        self._online.verified(
            *(
                arms.spread([found] * len(arms.names))
                for found in _acceptance(answer.statistics, plan)
            )
        )

    def evaluated_some(self, answer: Answer, plan: RoundPlan, drafters: list[int]) -> None:
        """Tell it those of some drafters."""
        for drafter in drafters:
            found = [one[:, :, 0] for one in _acceptance(answer.by_drafter[drafter], plan)]
            for arm in np.flatnonzero(self._arms.drafters == drafter).tolist():
                self._online.verified_one(
                    arm, *(one if self._arms.alike else self._arms.cut(one, arm) for one in found)
                )

    def finished_round(self, emitted: int, gamma: np.ndarray | None) -> None:
        """For selectors that learn from their own rounds."""
        self._online.finished_round(emitted, gamma)

    @property
    def learned(self) -> tuple[np.ndarray, np.ndarray]:
        """As the selector was fed."""
        return self._online.learned


def _acceptance(parts: list[Statistics], plan: RoundPlan) -> tuple[np.ndarray, np.ndarray]:
    """gamma and realised acceptance (m, D, N) of the last part's m tokens."""
    rule, length, count = plan.rule, plan.draft_length, len(parts[-1].log_p)
    # A rule may need the positions from the start of a round on.
    known = last_tokens(parts, count + length - 1)
    return rule.expected(known, length)[-count:], rule.realised(known, length)[-count:]


def check_policy(selector: str, drafters: int, settings: DecoderSettings) -> None:
    """Raise HedgespecError for a selector, a rule or a way of learning that makes no sense.

    Models, and who the `drafters` of that number are, are checked when they are there.
    """
    plan = plan_rounds(settings)
    if SelectorLabel.parse(selector).arm is None:
        names = [str(arm) for arm in range(drafters)]
        make_policy(
            selector, arms_of(names, plan.draft_length, settings.arm_lengths), plan, settings
        )


def make_policy(
    selector: str | Selector | ConfiguredSelector,
    arms: Arms,
    plan: RoundPlan,
    settings: DecoderSettings,
) -> Policy:
    """The policy `fixed:ARM` or `none`, or a selector or its label, for some arms.

    Raises HedgespecError for an unknown one, or settings that make no sense for it.
    """
    arm = SelectorLabel.parse(selector).arm if isinstance(selector, str) else None
    if arm is not None:
        return FixedArm(arm, arms.names)
    if selector == NONE:
        return NoDrafter(len(arms.names))
    return Learner(configure(selector), arms, plan, settings)
