"""What recording from servers needs besides the settings of a recording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hedgespec.bridges.dialects import DIALECTS
from hedgespec.options import Option, check_ranges

LISTED = 20  # the cap of vLLM unless it is told another


@dataclass(frozen=True)
class ServerSettings:
    """How servers are asked. `top_logprobs` None is the sampling's top_k, without one LISTED."""

    top_logprobs: Annotated[int | None, Option(
        "servers: most probable tokens asked for at each position; gamma is exact with --top-k up "
        f"to N, else bounded (default: that of --top-k, else {LISTED})", "N", low=2)] = None
    answers: Annotated[Path | None, Option(
        "servers: score these answers, do not write any: a trace of the same questions, or a file "
        "of answers as Spec-Bench and FastChat have them", "FILE")] = None
    tokenizer: Annotated[str | None, Option(
        "servers: a folder or Hugging Face id whose tokenizer renders the prompts (default: the "
        "target's server does)", "MODEL")] = None
    engine: Annotated[str, Option(
        "servers: what they run (default: found by asking)",
        choices=("auto", *DIALECTS))] = "auto"
    concurrency: Annotated[int, Option("servers: answers in work at once", "N", low=1)] = 8
    timeout: Annotated[int, Option("servers: seconds to wait for a reply", "S", low=1)] = 120
    key_variable: Annotated[tuple[str, ...], Option(
        "servers: environment variable that holds the key of all, or of the server NAME (target or "
        "a drafter), sent as Authorization: Bearer; may be given several times (default: "
        "HEDGESPEC_API_KEY, if it is set)", "[NAME=]VARIABLE", repeated=True)] = ()
    retries: Annotated[int, Option(
        "servers: further tries, each after twice the pause, where a server does not answer or is "
        "at fault", "N", low=0)] = 5

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)


def is_server(model: str) -> bool:
    """Whether a target or drafter is named by the address of a server."""
    return model.startswith(("http://", "https://"))
