"""Reads a head's config.json as a closed world: a key is used, known to do nothing, or refused.

A key whose value is null counts as absent.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from reprlib import repr as short
from typing import Any

from hedgespec.errors import HedgespecError, did_you_mean

CONFIG = "config.json"
# No head has a width, a vocabulary or a count beyond it; the product of three fits into 63 bits.
MOST = 1 << 20
# What transformers and the trainers write that does not shape the network.
HARMLESS = frozenset(
    {
        "_attn_implementation_autoset",
        "_name_or_path",
        "add_cross_attention",
        "architectures",
        "attention_dropout",
        "attn_implementation",
        "auto_map",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "embed_requires_grad",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "has_no_defaults_at_init",
        "id2label",
        "initializer_range",
        "is_decoder",
        "is_encoder_decoder",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "pruned_heads",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "speculators_config",
        "speculators_version",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
    }
)


def check_folder(folder: Path) -> None:
    """Raise HedgespecError if a head's folder is not there, or its config cannot be read."""
    if not folder.is_dir():
        raise HedgespecError(
            f"{folder}: no such folder; a head is a folder with {CONFIG} and tensors"
        )
    read_document(folder)


def read_document(folder: Path) -> Any:
    """What a folder's config.json says. Raises HedgespecError if it cannot be read."""
    place = folder / CONFIG
    try:
        return json.loads(place.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise HedgespecError(f"{place}: cannot be read ({error})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"key {next(name for name in names if names.count(name) > 1)!r} is there twice"
        )
    return found


class Keys:
    """The keys of an object in a config. Each method reads one, checks it, and marks it as used.

    All raise HedgespecError naming file and key for a value of another type or out of range.
    `within` is the object's path in the file, with a dot at its end.
    """

    def __init__(self, document: Any, where: str, within: str = ""):
        if not isinstance(document, dict):
            raise HedgespecError(
                f"{where}: {within.rstrip('.') or 'it'} is {short(document)}, not an object of keys"
            )
        self.where, self._within = where, within
        self._values = {key: value for key, value in document.items() if value is not None}
        self._used: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def says_as(self, other: "Keys") -> bool:
        """Whether both have the same keys and values."""
        return self._values == other._values

    def get(self, key: str) -> Any:
        """Its value, None where it is absent."""
        self._used.add(key)
        return self._values.get(key)

    def wrong(self, key: str, wanted: str) -> HedgespecError:
        """The error of a key whose value is not what is wanted."""
        return HedgespecError(
            f"{self.where}: {self._within}{key} is {short(self._values.get(key))}, not {wanted}"
        )

    def whole(self, key: str, low: int = 1, high: int = MOST) -> int | None:
        """A whole number."""
        value = self.get(key)
        if value is not None and not (_is_whole(value) and low <= value <= high):
            raise self.wrong(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """A number."""
        value = self.get(key)
        if value is None:
            return None
        if not (_is_whole(value) or isinstance(value, float)) or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, choices: Iterable[str]) -> str | None:
        """One of some texts."""
        value = self.get(key)
        if value is not None and not (isinstance(value, str) and value in choices):
            raise self.wrong(key, f"one of {', '.join(sorted(choices))}")
        return value

    def numbers(self, key: str, low: float, high: float) -> list[float] | None:
        """A list of numbers."""
        value = self.get(key)
        if value is not None and not (
            isinstance(value, list)
            and all(
                (_is_whole(one) or isinstance(one, float)) and low <= one <= high for one in value
            )
        ):
            raise self.wrong(key, f"a list of numbers from {low:g} to {high:g}")
        return value

    def wholes(self, key: str, low: int, high: int) -> tuple[int, ...] | None:
        """A list of whole numbers; an empty one counts as absent."""
        value = self.get(key)
        if value is not None and not (
            isinstance(value, list)
            and len(value) <= high
            and all(_is_whole(one) and low <= one <= high for one in value)
        ):
            raise self.wrong(key, f"a list of whole numbers from {low} to {high}")
        return tuple(value) if value else None

    def inner(self, key: str) -> "Keys | None":
        """An object within this one."""
        value = self.get(key)
        return None if value is None else Keys(value, self.where, f"{self._within}{key}.")

    def must_be(self, key: str, *values: Any) -> None:
        """It may be absent, or one of `values`: the network is built for nothing else."""
        value = self.get(key)
        if value is not None and not any(
            type(value) is type(one) and value == one for one in values
        ):
            raise HedgespecError(
                f"{self.where}: the head needs {self._within}{key} = "
                f"{short(value)}, which is not supported"
            )

    def finish(self, harmless: frozenset[str] = frozenset()) -> None:
        """Refuse every key that was neither used nor is harmless."""
        for key in self._values:
            if key not in self._used and key not in harmless:
                raise HedgespecError(
                    f"{self.where}: unknown key {self._within}{short(key)[1:-1]} = "
                    f"{short(self._values[key])}; what it changes in the head is not known"
                    + did_you_mean(key, self._used)
                )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
