"""Plugs into Hugging Face: model.generate(..., custom_generate=speculative_generate, decoder=...).

    decoder = make_decoder(model, tokenizer, ["early-exit:20", "prompt-lookup"])
    model.generate(**inputs, custom_generate=speculative_generate, decoder=decoder,
                   do_sample=True, temperature=0.7, max_new_tokens=200)

What the call says is done as generate does it, or refused by name: see generate_call.py. Sampled
texts are drawn from torch's generator, as generate's own, unless the decoder has a seed.
"""

from typing import Any

import torch
from transformers.generation import GenerateDecoderOnlyOutput

from hedgespec.errors import HedgespecError, arg
from hedgespec.live.decode import LiveDecoder
from hedgespec.live.decoded import Answer
from hedgespec.live.generate_call import have_whole_calls, refuse_fields, unpadded_prompt
from hedgespec.live.generate_laws import GenerateLaws, with_a_state
from hedgespec.live.text_rounds import TextRequest
from hedgespec.models.drafters import check_sampling
from hedgespec.models.settings import Sampling


def speculative_generate(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    decoder: LiveDecoder,
    streamer: Any = None,
    tokenizer: Any = None,
    token_streamer: Any = None,
    whole_call: bool = False,
    **arguments: Any,
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Continue `input_ids` (n, L) as generate would; return prompts and answers (n, L + T).

    They are n times the same prompt, n being num_return_sequences. The rounds of the last answer
    are then in `decoder.last`. `token_streamer` is a streamer that is told the prompt here;
    `tokenizer` has made criteria of stop_strings already. Raises HedgespecError for more than one
    text, a decoder made for another model, or what is not done.
    """
    streamers = [one for one in (streamer, token_streamer) if one is not None]
    try:
        if not whole_call:
            raise HedgespecError(
                "generate did not pass on all its arguments: pass speculative_generate itself "
                f"as {arg('custom_generate')}, with a version of transformers that is tested"
            )
        _check(model, decoder, generation_config, input_ids)
        _check_order(decoder, logits_processor)
        prompt = unpadded_prompt(input_ids[:1], arguments)
        _check_padding(decoder, input_ids.shape[1] - len(prompt), generation_config)
        _check_several(
            len(input_ids), logits_processor, stopping_criteria, generation_config, streamers
        )
        if token_streamer is not None:
            token_streamer.put(input_ids.cpu())
        texts = [
            _Text(
                decoder,
                input_ids[0],
                prompt,
                logits_processor,
                stopping_criteria,
                generation_config,
            ).run(streamers)
            for _ in range(len(input_ids))
        ]
    finally:  # or who iterates over it waits for ever
        for one in streamers:
            one.end()
    sequences = torch.cat([input_ids, _padded(texts, generation_config, input_ids)], dim=1)
    if not generation_config.return_dict_in_generate:
        return sequences
    [text, *_] = texts
    return GenerateDecoderOnlyOutput(sequences=sequences, scores=text.scores, logits=text.logits)


have_whole_calls(speculative_generate)


class _Text:
    """One text being continued."""

    def __init__(
        self,
        decoder: LiveDecoder,
        input_ids: torch.Tensor,
        prompt: torch.Tensor,
        processors: Any,
        criteria: Any,
        config: Any,
    ):
        """`input_ids` (L) are padding and `prompt` (n)."""
        returned = bool(config.return_dict_in_generate)
        self._laws = GenerateLaws(
            input_ids,
            len(prompt),
            processors,
            criteria,
            bool(config.do_sample),
            returned and bool(config.output_scores),
            returned and bool(config.output_logits),
        )
        ends = config._eos_token_tensor
        self._ends = [] if ends is None else ends.tolist()
        self._decoder, self._prompt = decoder, prompt.tolist()
        self._room = config.max_length - len(input_ids)
        self.answer = Answer()

    def run(self, streamers: list[Any]) -> "_Text":
        """Decode it; its rounds are then in the decoder's `last`."""
        request = TextRequest(
            self._prompt,
            self._room,
            self._decoder.next_number(),
            lambda answer: self._laws.ended([*self._prompt, *answer]),
            ends=[],
        )
        for done in self._decoder.with_laws(self._laws.laws()).run(request, self.answer):
            for streamer in streamers:
                for token in done.tokens:
                    streamer.put(torch.tensor([token]))
        if self.answer.tokens[-1] in self._ends:
            self.answer.finish_reason = "eos"
        self._decoder.last = self.answer
        return self

    @property
    def scores(self) -> tuple[torch.Tensor, ...] | None:
        """As generate returns them."""
        return self._laws.scores(len(self.answer.tokens))

    @property
    def logits(self) -> tuple[torch.Tensor, ...] | None:
        """As generate returns them."""
        return self._laws.logits(len(self.answer.tokens))


def _check(model: Any, decoder: LiveDecoder, config: Any, input_ids: torch.Tensor) -> None:
    refuse_fields(vars(config))
    texts = len(input_ids) // (config.num_return_sequences or 1)
    if texts != 1:
        raise HedgespecError(
            f"speculative decoding takes one text at a time, not a batch of {texts}"
        )
    if decoder.target.model is not model:
        raise HedgespecError("the decoder was made for another model than the one given")
    if config.do_sample:
        check_sampling(decoder.drafters, Sampling(1.0))


def _check_order(decoder: LiveDecoder, processors: Any) -> None:
    """Raise HedgespecError if the rule asks processors with a state out of order."""
    for name in () if decoder.rule.in_order else with_a_state(processors):
        raise HedgespecError(
            f"rule {decoder.rule.label} verifies a whole draft at once, and "
            f"{name} may keep a state; use {arg('rule', 'sampling')}"
        )


def _check_padding(decoder: LiveDecoder, pads: int, config: Any) -> None:
    """Raise HedgespecError where generate counts padding as if it were text."""
    switch = decoder.target.rope_switch
    if pads and switch is not None and config.max_length > switch:
        raise HedgespecError(
            f"{arg('attention_mask')}: the target's RoPE switches at {switch} "
            "tokens, padding included; leave the padding out"
        )


def _check_several(
    texts: int, processors: Any, criteria: Any, config: Any, streamers: list[Any]
) -> None:
    """Raise HedgespecError for what cannot be done as generate does it.

    It writes several texts together, and tells processors with a state of all of them at once.
    """
    if texts == 1:
        return
    several = arg("num_return_sequences", texts)
    if streamers:
        raise HedgespecError(f"{several}: a streamer takes one text")
    if config.return_dict_in_generate and (config.output_scores or config.output_logits):
        raise HedgespecError(
            f"{several}: {arg('output_scores')} and {arg('output_logits')} are "
            "those of one text; call generate for each"
        )
    for name in with_a_state(processors, criteria):
        raise HedgespecError(
            f"{several}: {name} may keep a state of all texts at once; call generate for each"
        )


def _padded(texts: list[_Text], config: Any, like: torch.Tensor) -> torch.Tensor:
    """The answers (n, T), filled up as generate does."""
    pad = config._pad_token_tensor
    longest = max(len(text.answer.tokens) for text in texts)
    return torch.tensor(
        [
            text.answer.tokens
            + (longest - len(text.answer.tokens)) * [0 if pad is None else int(pad)]
            for text in texts
        ],
        device=like.device,
    )
