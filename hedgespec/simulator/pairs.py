"""Which pairs of feedback and loss each learner of a sweep runs with."""

import warnings
from collections.abc import Iterable
from itertools import product

from hedgespec.errors import HedgespecError
from hedgespec.options import refuse_idle
from hedgespec.selectors import CHOSEN, FULL
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss, check_learning
from hedgespec.simulator.choosers import Chooser
from hedgespec.simulator.references import Reference
from hedgespec.simulator.settings import SweepSettings

GROUPS = ("default", "all")  # names for several selectors
Pair = tuple[Feedback | None, Loss | None]
_OWN: list[Pair] = [(None, None)]
_SHOWN = 5


def possible_pairs(
    choosers: Iterable[Chooser], settings: SweepSettings
) -> list[tuple[Chooser, list[Pair]]]:
    """Each chooser with its pairs; warns of those left out, as they make no sense.

    Learners that learn from their own rounds keep their own feedback and loss. Raises
    HedgespecError if one selector alone is named, or no learner takes what was asked for.
    """
    given: list[Pair] = list(
        product(
            dict.fromkeys(settings.feedbacks) or [None],
            dict.fromkeys(settings.all_losses) or [None],
        )
    )
    found, left_out, taken = [], {}, given == _OWN
    for chooser in choosers:
        pairs = list(given)
        for pair in given:
            error = _fault(chooser, pair)
            if error is not None:
                left_out[_told(chooser, pair)] = error
                pairs.remove(pair)
        taken |= bool(pairs) and _feedback(chooser) == FULL
        found.append((chooser, pairs or (_OWN if _is_bandit(chooser) else [])))
    if left_out and (_names_one(settings) or not taken):
        raise next(iter(left_out.values()))
    _refuse_idle(
        settings,
        {}
        if taken
        else {
            name: value
            for name in ("feedbacks", "losses", "estimators", "prefill")
            if (value := getattr(settings, name))
        },
    )
    _warn(found, left_out)
    return found


def _refuse_idle(settings: SweepSettings, given: dict[str, object]) -> None:
    refuse_idle(
        given,
        [(name, False, "no selector here learns from losses of all drafters") for name in given],
    )


def _fault(chooser: Chooser, pair: Pair) -> HedgespecError | None:
    if isinstance(chooser, Reference):
        return None
    try:
        check_learning(chooser.selector, *pair)
    except HedgespecError as error:
        return error
    return None


def _feedback(chooser: Chooser) -> str:
    return "" if isinstance(chooser, Reference) else chooser.selector.feedback


def _is_bandit(chooser: Chooser) -> bool:
    return _feedback(chooser) == CHOSEN


def _names_one(settings: SweepSettings) -> bool:
    return len(settings.selectors) == 1 and settings.selectors[0] not in GROUPS


def _told(chooser: Chooser, pair: Pair) -> str:
    """Of a bandit its name alone."""
    if _is_bandit(chooser):
        return chooser.label
    return f"{chooser.label} with {' and '.join(one.label for one in pair if one is not None)}"


def _warn(found: list[tuple[Chooser, list[Pair]]], left_out: dict[str, HedgespecError]) -> None:
    bandits = [chooser.label for chooser, _ in found if chooser.label in left_out]
    others = [told for told in left_out if told not in bandits]
    parts = [f"{_listed(bandits)}: own feedback and loss, whatever is asked for"] * bool(bandits)
    parts += [f"left out, as they make no sense: {_listed(others)}"] * bool(others)
    if parts:
        warnings.warn("; ".join(parts), UserWarning, stacklevel=2)


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
