"""TensorRT-LLM's forced number of accepted tokens: an environment variable."""

from hedgespec.bridges.exports.contract import Export
from hedgespec.bridges.policy import Drafting


def write(found: Drafting) -> str:
    """The acceptance length less the target's own token."""
    return f"TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS={found.length - 1:.4f}\n"


EXPORT = Export(
    "tensorrt-llm",
    "an environment variable of TensorRT-LLM",
    "all but the mean number of accepted tokens; a version that reads whole numbers only "
    "needs it rounded, and so loses the fraction too",
    write,
)
