"""Counters of vLLM and SGLang in Prometheus' text, as their /metrics give it."""

import re
from pathlib import Path

import polars as pl

from hedgespec.bridges.imports.contract import COUNTS, Import, Imported, text_of
from hedgespec.errors import HedgespecError

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$")
_POSITION = re.compile(r'position="(\d+)"')
_VLLM = {name: f"vllm:spec_decode_num_{name}" for name in (
    "drafts", "draft_tokens", "accepted_tokens", "accepted_tokens_per_pos")}
_SGLANG = "sglang:spec_accept_length"


def read(path: Path, drafter: str) -> Imported:
    """Sums over engines and models. SGLang's gauge alone is refused: it is a mean of unknown
    weight."""
    found: dict[str, float] = {}
    at: dict[int, float] = {}
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise HedgespecError(f"{path}: line {number}: is no line of Prometheus' text")
        name = match[1].removesuffix("_total")
        value = _number(match[3], f"{path}: line {number}")
        position = _POSITION.search(match[2] or "")
        if name == _VLLM["accepted_tokens_per_pos"] and position:
            at[int(position[1])] = at.get(int(position[1]), 0) + value
        else:
            found[name] = found.get(name, 0) + value
    if _VLLM["drafts"] in found:
        return _vllm(found, at, path, drafter)
    if _SGLANG in found:
        raise HedgespecError(f"{path}: {_SGLANG} is {found[_SGLANG]:g}, a mean over an unknown "
                             "number of rounds; nothing else of speculation is in it, so there is "
                             "nothing to import")
    raise HedgespecError(f"{path}: has neither {_VLLM['drafts']} nor {_SGLANG}: no engine that "
                         "speculates wrote it")


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise HedgespecError(f"{where}: {text!r} is no number") from error


def _vllm(found: dict[str, float], at: dict[int, float], path: Path, drafter: str) -> Imported:
    missing = [name for key, name in _VLLM.items() if key != "accepted_tokens_per_pos"
               and name not in found]
    if missing:
        raise HedgespecError(f"{path}: {missing[0]} is missing")
    for name, value in found.items():
        if name in _VLLM.values() and not 0 <= value < 2**53:
            raise HedgespecError(f"{path}: {name} is {value:g}, not a count")
    drafts = found[_VLLM["drafts"]]
    if not drafts:
        raise HedgespecError(f"{path}: {_VLLM['drafts']} is 0: nothing was drafted")
    rates = [at.get(position, 0.0) / drafts for position in range(max(at, default=-1) + 1)]
    return Imported(None, pl.DataFrame([{
        "drafter": drafter, "rounds": int(drafts), "drafted": int(found[_VLLM["draft_tokens"]]),
        "accepted": int(found[_VLLM["accepted_tokens"]]), "accepted_at": rates}], schema=COUNTS))


IMPORT = Import("prometheus", "what /metrics of vLLM gives; SGLang's gauges are refused", read)
