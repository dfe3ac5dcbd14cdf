"""Whatever chooses drafters in a replay: a learner with its parameters, or a reference."""

from hedgespec.selectors import ConfiguredSelector, Selector, configure, parse_selector
from hedgespec.simulator.references import Reference, parse_reference

Chooser = ConfiguredSelector | Reference


def as_chooser(what: str | Selector | Chooser) -> Chooser:
    """A chooser from its label, or from a selector with its default parameters.

    Raises HedgespecError for a label that names none (see `parse_selector`), and for a selector
    that breaks the contract.
    """
    if isinstance(what, str):
        return parse_reference(what) or parse_selector(what)
    return what if isinstance(what, Reference) else configure(what)
