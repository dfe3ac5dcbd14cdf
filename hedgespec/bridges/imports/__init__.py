"""What can be read of an engine's own log: one file each, and one line here."""

from hedgespec.bridges.imports import aiperf, prometheus, spec_bench, vllm
from hedgespec.bridges.imports.contract import Import

IMPORTS: dict[str, Import] = {
    module.IMPORT.name: module.IMPORT for module in (vllm, prometheus, aiperf, spec_bench)
}
