"""llama.cpp's synthetic acceptance: options of llama-server."""

from hedgespec.bridges.exports.contract import Export, rounded
from hedgespec.bridges.policy import Drafting


def write(found: Drafting) -> str:
    """Marginal rates, as vLLM has them."""
    rates = ",".join(f"{rate:g}" for rate in rounded(list(found.marginal)))
    return f"--spec-draft-n-max {found.draft_length} --spec-synth-rates {rates}\n"


EXPORT = Export(
    "llama.cpp",
    "options of llama-server",
    "which drafter drafts when, how acceptance depends on the text and on the round before, and "
    "rounds without a draft: every round is alike",
    write,
)
