"""The grammar of labels: how settings are named in commands, tables and logs, and read again.

Each label has one function that prints it and one that parses it; parse(print(x)) = x.
"""

from collections.abc import Iterable

Term = tuple[str, str]  # a name and what follows its colon, "" for nothing


def join_terms(terms: Iterable[Term]) -> str:
    """Print terms as NAME[:VALUE]+NAME[:VALUE]..., such as "every:4+round"."""
    return "+".join(f"{name}:{value}" if value else name for name, value in terms)


def split_terms(label: str) -> list[Term]:
    """Parse what `join_terms` prints."""
    parts = (part.partition(":") for part in label.split("+"))
    return [(name, value) for name, _, value in parts]
