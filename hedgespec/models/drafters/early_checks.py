"""What can be found wrong with a target and drafters before any weights are loaded."""

from collections.abc import Sequence
from pathlib import Path

from hedgespec.models.drafters.early_exit import EarlyExit
from hedgespec.models.drafters.families import Specification
from hedgespec.models.drafters.language_model import LanguageModelDrafter
from hedgespec.models.places import check_place, is_gguf_file, read_layers, read_tokenizer
from hedgespec.models.tokenizers import Words, gguf_words, refuse_other_words, words_of


def check_before_loading(target: str, drafters: Sequence[str] = ()) -> None:
    """Raise HedgespecError for a target that is not there, or a drafter that cannot be right.

    Arguments are checked first, then what the target's config says of its layers, then whether the
    tokenizers of models have the same words.
    """
    found = [Specification.parse(text) for text in drafters]
    check_place(target)
    for one in found:
        one.check()
    if any(one.family is EarlyExit for one in found):
        layers = read_layers(target)
        for one in found:
            one.check(layers)
    for one in found:
        if one.family is LanguageModelDrafter:
            _check_words(one, target)


def _check_words(drafter: Specification, target: str) -> None:
    """Of two GGUF files, or of two models that are none: the words of others are not called alike
    before they are loaded."""
    places = (drafter.argument, target)
    if len({is_gguf_file(place) for place in places}) > 1:
        return
    own, others = map(_words, places)
    if own is not None and others is not None:
        refuse_other_words(drafter.identity, own, others, target)


def _words(place: str) -> Words | None:
    if is_gguf_file(place):
        return gguf_words(Path(place))
    return words_of(read_tokenizer(place))
