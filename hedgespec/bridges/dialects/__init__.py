"""Engines whose servers can be recorded from: one file each, and one line here."""

from hedgespec.bridges.client import Client, ServerError
from hedgespec.bridges.dialects.base import Dialect
from hedgespec.bridges.dialects.llama_server import LlamaServer
from hedgespec.bridges.dialects.sglang import SGLang
from hedgespec.bridges.dialects.vllm import VLLM

DIALECTS: dict[str, type[Dialect]] = {one.name: one for one in (VLLM, SGLang, LlamaServer)}


def dialect_of(client: Client, engine: str) -> Dialect:
    """How to ask a server that runs `engine`; "auto" finds out which.

    Raises ServerError if it runs none that is known, or does not answer.
    """
    if engine != "auto":
        return DIALECTS[engine](client)
    for dialect in (LlamaServer, SGLang, VLLM):
        if dialect.speaks(client):
            return dialect(client)
    raise ServerError(
        f"server {client.name} ({client.address}): is none of "
        f"{', '.join(DIALECTS)}; its /v1/models, /get_model_info and /props say so"
    )
