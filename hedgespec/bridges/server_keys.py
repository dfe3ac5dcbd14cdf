"""Keys of servers. They come from the environment, go to their servers, and are written nowhere."""

import os
from collections.abc import Iterable, Sequence

from hedgespec.errors import HedgespecError, arg

VARIABLE = "HEDGESPEC_API_KEY"  # every server's, where nothing else is named


def keys_of(servers: Iterable[str], variables: Sequence[str]) -> dict[str, str | None]:
    """The key of each server by its name; None: it wants none.

    `variables` name variables of the environment: VARIABLE is of all servers, NAME=VARIABLE of one.
    Without any it is HEDGESPEC_API_KEY, if that is set. Raises HedgespecError for a variable that
    is not set or holds no key, or another server's name.
    """
    if not variables:
        return dict.fromkeys(servers, _key(VARIABLE) if os.environ.get(VARIABLE) else None)
    found: dict[str, str | None] = dict.fromkeys(servers)
    for word in sorted(variables, key=lambda word: "=" in word):  # those of one server last
        name, _, variable = word.rpartition("=")
        if name and name not in found:
            raise HedgespecError(
                f"{arg('key_variable', word)}: no server is called {name!r}; they "
                f"are {', '.join(found)}"
            )
        found |= dict.fromkeys([name] if name else found, _key(variable))
    return found


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise HedgespecError(
            f"{arg('key_variable', variable)}: the environment has no such "
            f"variable, or it is empty; set it: export {variable}=..."
        )
    if not all("!" <= sign <= "~" for sign in key):
        raise HedgespecError(
            f"{arg('key_variable', variable)}: its value is no key: it holds "
            "spaces, or characters that no header may hold"
        )
    return key
