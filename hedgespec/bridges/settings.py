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

    top_logprobs: Annotated[
        int | None,
        Option(
            "servers: how many of the most probable tokens to ask for at each position; gamma is exact "
            f"with --top-k up to N, else bounded (default: --top-k's number, else {LISTED})",
            "N",
            low=2,
        ),
    ] = None
    answers: Annotated[
        Path | None,
        Option(
            "servers: answers to score instead of new ones: a trace of the same questions, or a file "
            "of answers in the format of Spec-Bench and FastChat",
            "FILE",
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        Option(
            "servers: folder or Hugging Face id of a tokenizer that renders the prompts (default: the "
            "target's server renders them)",
            "MODEL",
        ),
    ] = None
    engine: Annotated[
        str,
        Option(
            "servers: the engine they run (default: they are asked)", choices=("auto", *DIALECTS)
        ),
    ] = "auto"
    concurrency: Annotated[
        int, Option("servers: number of answers in progress at once", "N", low=1)
    ] = 8
    timeout: Annotated[int, Option("servers: seconds to wait for a reply", "S", low=1)] = 120
    key_variable: Annotated[
        tuple[str, ...],
        Option(
            "servers: environment variable that holds the key of all servers, or of the server NAME "
            "(target or a drafter); the key is sent as Authorization: Bearer. May be given several "
            "times (default: HEDGESPEC_API_KEY, if it is set)",
            "[NAME=]VARIABLE",
            repeated=True,
        ),
    ] = ()
    retries: Annotated[
        int,
        Option(
            "servers: retries if a server does not answer or fails, each after twice the pause",
            "N",
            low=0,
        ),
    ] = 5

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)


def is_server(model: str) -> bool:
    """Whether a target or drafter is named by the address of a server."""
    return model.startswith(("http://", "https://"))
