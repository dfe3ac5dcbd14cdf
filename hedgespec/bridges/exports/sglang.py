"""SGLang's simulated acceptance length: an environment variable."""

from hedgespec.bridges.exports.contract import Export
from hedgespec.bridges.policy import Drafting


def write(found: Drafting) -> str:
    """The acceptance length, the target's own token included."""
    return f"SGLANG_SIMULATE_ACC_LEN={found.length:.4f}\n"


EXPORT = Export(
    "sglang",
    "an environment variable of SGLang's server",
    "all but the mean length of a round: where in a draft tokens are rejected, which drafter "
    "drafts when, how both depend on the text",
    write,
)
