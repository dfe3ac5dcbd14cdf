"""Plugs into Hugging Face: model.generate(..., custom_generate=speculative_generate, decoder=...).

    decoder = make_decoder(model, tokenizer, ["early-exit:20", "prompt-lookup"])
    model.generate(**inputs, custom_generate=speculative_generate, decoder=decoder,
                   do_sample=True, temperature=0.7, max_new_tokens=200)

Logits processors (temperature, top-k, top-p and any other), stopping criteria, end tokens and
max_new_tokens are those of generate. It drops `streamer` for a callable: pass `token_streamer`.
"""

from typing import Any

import torch

from hedgespec.errors import HedgespecError
from hedgespec.live.decode import LiveDecoder
from hedgespec.live.decoded import Answer


def speculative_generate(
    model: Any, input_ids: torch.Tensor, logits_processor: Any, stopping_criteria: Any,
    generation_config: Any, decoder: LiveDecoder, token_streamer: Any = None, **unused: Any,
) -> torch.Tensor:
    """Continue `input_ids` (1, L) as generate would; return prompt and answer (1, L + T).

    The answer's rounds are then in `decoder.last`. Raises HedgespecError for more than one text, a
    decoder made for another model, or beam search.
    """
    if input_ids.shape[0] != 1:
        raise HedgespecError(f"speculative decoding takes one text at a time, not a batch of "
                             f"{input_ids.shape[0]}")
    if decoder.target.model is not model:
        raise HedgespecError("the decoder was made for another model than the one that generates")
    if (generation_config.num_beams or 1) > 1:
        raise HedgespecError("speculative decoding does no beam search: num_beams must be 1")
    device = input_ids.device
    prompt = input_ids[0].tolist()

    def distribute(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        before = len(tokens) - len(logits) + 1
        rows = [_processed(logits_processor, tokens[: before + row], logits[row])
                for row in range(len(logits))]
        processed = torch.stack(rows)
        if not generation_config.do_sample:
            top = processed.argmax(dim=-1, keepdim=True)
            chosen = torch.zeros_like(processed).scatter_(-1, top, 1.0)
        else:
            chosen = processed.softmax(dim=-1)
        # A drafter without a proposal has no distribution.
        return chosen.masked_fill(logits.isneginf().all(dim=-1, keepdim=True), 0.0)

    def stop(answer: list[int]) -> bool:
        ids = torch.tensor([prompt + answer], device=device)
        return bool(stopping_criteria(ids, None).all())

    room = generation_config.max_length - len(prompt)
    if room < 1:
        return input_ids
    answer = Answer()
    if token_streamer is not None:
        token_streamer.put(input_ids.cpu())
    for done in decoder.with_distribution(distribute).rounds(
            prompt, room, stop=stop, answer=answer):
        if token_streamer is not None:
            token_streamer.put(torch.tensor(done.tokens))
    if token_streamer is not None:
        token_streamer.end()
    decoder.last = answer
    return torch.cat([input_ids, torch.tensor([answer.tokens], device=device)], dim=1)


def _processed(processors: Any, tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    row: torch.Tensor = processors(tokens[None], logits[None])[0]
    return row
