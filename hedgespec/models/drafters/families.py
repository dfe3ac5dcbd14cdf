"""Drafter families, and the reading of drafter specifications."""

from dataclasses import dataclass

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.drafters.context import NGram, PromptLookup
from hedgespec.models.drafters.eagle import Eagle
from hedgespec.models.drafters.early_exit import EarlyExit
from hedgespec.models.drafters.language_model import LanguageModelDrafter
from hedgespec.models.drafters.parallel import Parallel
from hedgespec.models.drafters.redrafter import Redrafter
from hedgespec.models.target import LanguageModel
from hedgespec.traces.schema import is_drafter_name

FAMILIES: dict[str, type[Drafter]] = {
    family.kind: family
    for family in (LanguageModelDrafter, Eagle, Parallel, Redrafter, EarlyExit, PromptLookup, NGram)
}


@dataclass(frozen=True)
class Specification:
    """`[NAME=]FAMILY[:ARGUMENT]`; `name` is "" where none is given, `identity` is all the rest."""

    name: str
    identity: str
    family: type[Drafter]
    argument: str

    @classmethod
    def parse(cls, text: str) -> "Specification":
        """Read one. Raises HedgespecError for a bad name or an unknown family."""
        name, equals, identity = text.partition("=")
        if not equals or ":" in name:  # no name, or a "=" within the argument
            name, identity = "", text
        else:
            check_name(name)
        family, _, argument = identity.partition(":")
        if family not in FAMILIES:
            raise HedgespecError(
                f"drafter {text!r}: unknown family {family!r}; choose from {', '.join(FAMILIES)}"
                + did_you_mean(family, FAMILIES)
            )
        return cls(name, identity, FAMILIES[family], argument)

    def check(self, layers: int | None = None) -> None:
        """Raise HedgespecError for an argument that cannot be right, before anything is loaded.

        `layers` are those of the target, where they are known.
        """
        self.family.check_argument(self.identity, self.argument, layers)

    def made(self, target: LanguageModel) -> Drafter:
        """The drafter. Raises HedgespecError for what cannot be loaded, or does not fit."""
        self.check(target.layers)
        drafter = self.family(
            self.name,
            self.identity,
            target,  # type: ignore[call-arg]
            self.argument,
        )
        target.check_layers(drafter.target_layers)
        return drafter


def check_name(name: str) -> None:
    """Raise HedgespecError for what cannot be a drafter's name."""
    if not is_drafter_name(name):
        raise HedgespecError(
            f"drafter name {name!r} may hold only a-z, 0-9, '.', '_' and '-'; "
            "choose one with NAME=FAMILY:..."
        )
