"""vLLM's synthetic rejection sampling: keys of its --speculative-config."""

import json

from hedgespec.bridges.exports.contract import Export, rounded
from hedgespec.bridges.policy import Drafting


def write(found: Drafting) -> str:
    """Marginal rates: the k-th is the probability that the first k tokens are accepted."""
    return (
        json.dumps(
            {
                "num_speculative_tokens": found.draft_length,
                "rejection_sample_method": "synthetic",
                "synthetic_acceptance_rates": rounded(list(found.marginal)),
            }
        )
        + "\n"
    )


EXPORT = Export(
    "vllm",
    "keys of vLLM's --speculative-config, beside its method",
    "which drafter drafts when, how acceptance depends on the text and on the round before, and "
    "rounds without a draft: every round is alike",
    write,
)
