"""What a policy on a trace can be written as: one file each, and one line here."""

from hedgespec.bridges.exports import (
    llama_cpp,
    sglang,
    spec_bench,
    speculation_profile,
    tensorrt_llm,
    vllm,
)
from hedgespec.bridges.exports.contract import Export

EXPORTS: dict[str, Export] = {
    module.EXPORT.name: module.EXPORT
    for module in (vllm, llama_cpp, sglang, tensorrt_llm, speculation_profile, spec_bench)
}
