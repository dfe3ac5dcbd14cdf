"""A closed world: what of a call of `generate` is done, is without effect, or is refused by name.

`FIELDS` are those of transformers' GenerationConfig. One that a later version adds is refused where
it is set, until it stands here.
"""

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin

from hedgespec.errors import HedgespecError, arg


class Use(Enum):
    """What becomes of a field that is set."""

    DONE = "done here, or by the processors and criteria that generate makes of it"
    IDLE = "without effect on a text that nothing refused here is asked for"
    REFUSED = "refused"


FIELDS: dict[str, Use] = {
    **dict.fromkeys(
        (
            "max_length",
            "max_new_tokens",
            "min_length",
            "min_new_tokens",
            "max_time",
            "stop_strings",
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "top_h",
            "typical_p",
            "epsilon_cutoff",
            "eta_cutoff",
            "repetition_penalty",
            "encoder_repetition_penalty",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "bad_words_ids",
            "renormalize_logits",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            "sequence_bias",
            "guidance_scale",
            "watermarking_config",
            "num_return_sequences",
            "output_scores",
            "output_logits",
            "return_dict_in_generate",
            "pad_token_id",
            "bos_token_id",
            "eos_token_id",
        ),
        Use.DONE,
    ),
    # Of beam search, encoders, assistants, compiled or paged decoding, or of the file itself.
    **dict.fromkeys(
        (
            "early_stopping",
            "length_penalty",
            "diversity_penalty",
            "use_cache",
            "cache_config",
            "max_cache_len",
            "decoder_start_token_id",
            "num_assistant_tokens",
            "num_assistant_tokens_schedule",
            "assistant_confidence_threshold",
            "max_matching_ngram_size",
            "assistant_lookbehind",
            "target_lookbehind",
            "assistant_ensemble_weight",
            "compile_config",
            "disable_compile",
            "low_memory",
            "prefill_chunk_size",
            "transformers_version",
        ),
        Use.IDLE,
    ),
    **dict.fromkeys(
        (
            "num_beams",
            "num_beam_groups",
            "constraints",
            "force_words_ids",
            "penalty_alpha",
            "dola_layers",
            "prompt_lookup_num_tokens",
            "assistant_early_exit",
            "use_mtp",
            "speculation_type",
            "is_assistant",
            "cache_implementation",
            "continuous_batching_config",
            "token_healing",
            "output_attentions",
            "output_hidden_states",
        ),
        Use.REFUSED,
    ),
}
# Arguments of the model that make no other text of `input_ids`; these are looked at.
_MODEL_ARGUMENTS = (
    "attention_mask",
    "position_ids",
    "past_key_values",
    "use_cache",
    "logits_to_keep",
)
# What generate keeps from callables.
_KEPT_BACK = ("tokenizer", "assistant_tokenizer")


def refuse_fields(given: Mapping[str, Any]) -> None:
    """Raise HedgespecError naming the first of some fields that is set and not done."""
    defaults = (
        GenerationConfig._get_default_generation_params()
        if hasattr(GenerationConfig, "_get_default_generation_params")
        else vars(GenerationConfig())
    )
    for name in vars(GenerationConfig()):
        value = given.get(name)
        unset = value is None or value is False or value == defaults.get(name)
        if name.startswith("_") or unset or FIELDS.get(name, Use.REFUSED) is not Use.REFUSED:
            continue
        if name == "num_beams":
            raise HedgespecError("speculative decoding does no beam search: num_beams must be 1")
        raise HedgespecError(
            f"speculative decoding does not support {arg(name, value)} of generate; leave it out"
        )


def unpadded_prompt(input_ids: torch.Tensor, arguments: dict[str, Any]) -> torch.Tensor:
    """The tokens (n) of `input_ids` (1, L) that are attended to: all but padding on the left.

    `arguments` are those that generate gives its model. Raises HedgespecError naming one that makes
    another text of them, or a mask with other holes.
    """
    for name, value in arguments.items():
        if value is not None and name not in _MODEL_ARGUMENTS:
            raise HedgespecError(
                f"speculative decoding does not take {arg(name)} of generate: it "
                "reads input_ids alone"
            )
    past = arguments.get("past_key_values")
    if getattr(past, "_is_user_defined", False) or _length(past):
        raise HedgespecError(
            f"speculative decoding keeps keys and values of its own: leave out "
            f"{arg('past_key_values')}"
        )
    mask = arguments.get("attention_mask")
    seen = torch.ones_like(input_ids[0]) if mask is None else mask[0].long()
    pads = len(seen) - int(seen.sum())
    if len(seen) != input_ids.shape[1] or bool(seen[:pads].any()) or pads == len(seen):
        raise HedgespecError(f"{arg('attention_mask')}: only padding on the left can be masked")
    _check_positions(arguments.get("position_ids"), seen)
    return input_ids[0, pads:]


def _length(past: Any) -> int:
    return int(past.get_seq_length()) if hasattr(past, "get_seq_length") else 0


def _check_positions(given: torch.Tensor | None, seen: torch.Tensor) -> None:
    if given is None:
        return
    own, tokens = seen.cumsum(-1) - 1, seen.bool()
    if given.shape[-1] != len(seen) or not torch.equal(
        given.reshape(-1, len(seen))[0][tokens], own[tokens].to(given)
    ):
        raise HedgespecError(
            f"{arg('position_ids')}: tokens stand at 0, 1, 2, ... behind the padding; leave it out"
        )


def have_whole_calls(function: Callable[..., Any]) -> None:
    """Have generate hand everything on to `function`, a custom_generate; call this once.

    By itself it drops streamer, tokenizer and assistant for callables, and then refuses
    stop_strings for want of a tokenizer. Calls of other functions stay as they are.
    """
    original = getattr(GenerationMixin, "_extract_generation_mode_kwargs", None)
    if original is None:  # then `whole_call` is missing, which is refused
        return

    def extract(
        model: Any,
        custom_generate: Any,
        kwargs: dict[str, Any],
        synced_gpus: bool | None,
        assistant_model: Any,
        streamer: Any,
    ) -> dict[str, Any]:
        before = {name: kwargs.get(name) for name in _KEPT_BACK}
        found: dict[str, Any] = original(
            model, custom_generate, kwargs, synced_gpus, assistant_model, streamer
        )
        if _innermost(custom_generate) is not function:
            return found
        try:  # before generate tries them
            refuse_fields(kwargs)
            _refuse_helpers(
                assistant_model=assistant_model,
                synced_gpus=synced_gpus,
                assistant_tokenizer=before["assistant_tokenizer"],
            )
        except HedgespecError:
            if streamer is not None:
                streamer.end()
            raise
        handed = {"tokenizer": before["tokenizer"], "streamer": streamer, "whole_call": True}
        return found | {name: value for name, value in handed.items() if value is not None}

    GenerationMixin._extract_generation_mode_kwargs = extract


def _refuse_helpers(**given: Any) -> None:
    for name, value in given.items():
        if value:
            raise HedgespecError(
                f"speculative decoding does not take {arg(name)} of generate: "
                "the decoder has its drafters"
            )


def _innermost(function: Any) -> Any:
    """What partial functions and wrappers are of."""
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function
