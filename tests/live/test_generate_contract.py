"""Every keyword of generate: the same text as without drafters, or refused by its name."""

import inspect
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    CompileConfig,
    DynamicCache,
    GenerationConfig,
    GenerationMixin,
    LlamaConfig,
    LlamaForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
    WatermarkingConfig,
)

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.generate_call import FIELDS, Use  # noqa: E402
from hedgespec.live.hugging_face import speculative_generate  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.settings import Sampling  # noqa: E402
from hedgespec.models.target import LanguageModel  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.tensor([[5, 6, 7, 8, 5, 6, 7, 9, 5, 6]])
ONE = {"do_sample": True, "top_k": 1}  # sampled, and yet a single text
# For each field values that do something, with what else they need.
VALUES: dict[str, list[dict[str, object]]] = {
    "max_length": [{"max_new_tokens": None, "max_length": 19}],
    "max_new_tokens": [{"max_new_tokens": 1}, {"max_new_tokens": 17}],
    "min_length": [{"min_length": 25, "eos_token_id": [50, 51, 22]}],
    "min_new_tokens": [{"min_new_tokens": 12, "eos_token_id": [50, 51, 22]}],
    "max_time": [{"max_time": 100.0}],
    "stop_strings": [{"stop_strings": ["e"]}],
    "do_sample": [ONE, {"do_sample": False}],
    "temperature": [{**ONE, "temperature": 0.3}],
    "top_k": [ONE],
    "top_p": [{**ONE, "top_p": 0.5}],
    "min_p": [{**ONE, "min_p": 0.9}],
    "top_h": [{**ONE, "top_h": 0.4}],
    "typical_p": [{**ONE, "typical_p": 0.5}],
    "epsilon_cutoff": [{**ONE, "epsilon_cutoff": 0.01}],
    "eta_cutoff": [{**ONE, "eta_cutoff": 0.01}],
    "repetition_penalty": [{"repetition_penalty": 1.9}, {"repetition_penalty": 0.6}],
    "encoder_repetition_penalty": [{"encoder_repetition_penalty": 1.7}],
    "no_repeat_ngram_size": [{"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}],
    "encoder_no_repeat_ngram_size": [{"encoder_no_repeat_ngram_size": 1}],
    "bad_words_ids": [{"bad_words_ids": [[5], [6], [7, 8]]}],
    "renormalize_logits": [{"renormalize_logits": True}],
    "forced_bos_token_id": [{"forced_bos_token_id": 9}],
    "forced_eos_token_id": [{"forced_eos_token_id": 9}],
    "remove_invalid_values": [{"remove_invalid_values": True}],
    "exponential_decay_length_penalty": [
        {"exponential_decay_length_penalty": (3, 1.5), "eos_token_id": 8}
    ],
    "suppress_tokens": [{"suppress_tokens": [5, 6, 7, 8]}],
    "begin_suppress_tokens": [{"begin_suppress_tokens": list(range(40))}],
    "sequence_bias": [{"sequence_bias": [[[5], 3.0], [[6, 7], -4.0]]}],
    "guidance_scale": [{"guidance_scale": 1.5}, {"guidance_scale": 3.0, **ONE}],
    "watermarking_config": [{"watermarking_config": WatermarkingConfig(bias=6.0)}],
    "num_return_sequences": [{**ONE, "num_return_sequences": 3}],
    "output_scores": [{"output_scores": True}],
    "output_logits": [{"output_logits": True}],
    "return_dict_in_generate": [
        {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    ],
    "pad_token_id": [{"pad_token_id": 200}],
    "bos_token_id": [{"bos_token_id": 3}, {"bos_token_id": 3, "inputs": None}],
    "eos_token_id": [{"eos_token_id": -1}, {"eos_token_id": 22}, {"eos_token_id": [50, 51]}],
    "early_stopping": [{"early_stopping": True}],
    "length_penalty": [{"length_penalty": 2.0}],
    "diversity_penalty": [{"diversity_penalty": 1.0}],
    "use_cache": [{"use_cache": False}],
    "cache_config": [{"cache_config": {"nbits": 4}}],
    "max_cache_len": [{"max_cache_len": 64}],
    "decoder_start_token_id": [{"decoder_start_token_id": 4}],
    "num_assistant_tokens": [{"num_assistant_tokens": 3}],
    "num_assistant_tokens_schedule": [{"num_assistant_tokens_schedule": "heuristic"}],
    "assistant_confidence_threshold": [{"assistant_confidence_threshold": 0.9}],
    "max_matching_ngram_size": [{"max_matching_ngram_size": 2}],
    "assistant_lookbehind": [{"assistant_lookbehind": 3}],
    "target_lookbehind": [{"target_lookbehind": 3}],
    "assistant_ensemble_weight": [{"assistant_ensemble_weight": 0.5}],
    "compile_config": [{"compile_config": CompileConfig()}],
    "disable_compile": [{"disable_compile": True}],
    "low_memory": [{"low_memory": True}],
    "prefill_chunk_size": [{"prefill_chunk_size": 4}],
    "transformers_version": [{}],
    "num_beams": [{"num_beams": 2}],
    "num_beam_groups": [{"num_beam_groups": 2}],
    "constraints": [{"constraints": [7]}],
    "force_words_ids": [{"force_words_ids": [[7]]}],
    "penalty_alpha": [{"penalty_alpha": 0.6, "top_k": 4}],
    "dola_layers": [{"dola_layers": "high"}],
    "prompt_lookup_num_tokens": [{"prompt_lookup_num_tokens": 3}],
    "assistant_early_exit": [{"assistant_early_exit": 2}],
    "use_mtp": [{"use_mtp": True}],
    "speculation_type": [{"speculation_type": "dflash"}],
    "is_assistant": [{"is_assistant": True}],
    "cache_implementation": [{"cache_implementation": "static"}],
    "continuous_batching_config": [{"continuous_batching_config": {}}],
    "token_healing": [{"token_healing": True}],
    "output_attentions": [{"output_attentions": True}],
    "output_hidden_states": [{"output_hidden_states": True}],
}
KEYWORDS = {
    "inputs",
    "generation_config",
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "assistant_model",
    "streamer",
    "negative_prompt_ids",
    "negative_prompt_attention_mask",
    "custom_generate",
    "kwargs",
}


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=258,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            eos_token_id=1,
            pad_token_id=0,
            bos_token_id=None,
            initializer_range=0.4,
        )
    ).eval()


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(
        models.BPE(
            vocab={"<pad>": 0, "<eos>": 1}
            | {sign: number for number, sign in enumerate(alphabet, 2)},
            merges=[],
        )
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture(scope="module")
def target(model, tokenizer) -> LanguageModel:
    return LanguageModel.of(model, tokenizer)


def decoder_of(target: LanguageModel, *names: str, **settings: object) -> LiveDecoder:
    return LiveDecoder(
        target,
        make_drafters(names or ["early-exit:3", "prompt-lookup", "ngram"], target),
        f"fixed:{names[0]}" if names else "hedge",
        **settings,
    )


def call(target: LanguageModel, decoder: LiveDecoder | None = None, **keywords: object):
    """What generate gives, with the decoder or by itself."""
    ours = {} if decoder is None else {"custom_generate": speculative_generate, "decoder": decoder}
    keywords = {"inputs": IDS, "max_new_tokens": 16, "tokenizer": target.tokenizer, **keywords}
    return target.model.generate(
        **{key: value for key, value in keywords.items() if value is not None}, **ours
    )


def test_every_field_and_keyword_of_generate_is_known():
    known = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    assert not known - FIELDS.keys(), "say in generate_call.py what becomes of these"
    assert VALUES.keys() == FIELDS.keys()
    assert set(inspect.signature(GenerationMixin.generate).parameters) - {"self"} == KEYWORDS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_agrees_with_generate_or_is_refused_by_name(target, name):
    for value in VALUES[name]:
        if FIELDS[name] is Use.REFUSED:
            with pytest.raises((HedgespecError, ValueError), match=name):
                call(target, decoder_of(target), **value)
            continue
        own, ours = call(target, **value), call(target, decoder_of(target), **value)
        if not isinstance(own, torch.Tensor):
            for found, expected in ((ours.scores, own.scores), (ours.logits, own.logits)):
                torch.testing.assert_close(
                    torch.cat(found), torch.cat(expected), rtol=1e-3, atol=1e-3
                )
            own, ours = own.sequences, ours.sequences
        assert ours.tolist() == own.tolist(), value


def test_a_field_that_nobody_knows_is_refused_where_it_is_set(target, monkeypatch):
    monkeypatch.delitem(FIELDS, "max_time")
    with pytest.raises(HedgespecError, match=r"does not support max_time=9\.0 of generate"):
        call(target, decoder_of(target), max_time=9.0)
    assert call(target, decoder_of(target)).tolist() == call(target).tolist()


@pytest.mark.parametrize("names", [(), ("prompt-lookup",), ("ngram",)])
@pytest.mark.parametrize(
    "banned",
    [
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[7], [8]]},
        {"suppress_tokens": [7, 8, 9]},
        {"remove_invalid_values": True, "renormalize_logits": True},
    ],
)
def test_drafters_that_propose_what_is_banned_do_not_matter(target, names, banned):
    decoder = decoder_of(target, *names)
    for seed in range(3):
        torch.manual_seed(seed)
        assert call(target, decoder, do_sample=True, **banned).shape[1] > IDS.shape[1]
    assert not decoder.dropped
    assert call(target, decoder, **banned).tolist() == call(target, **banned).tolist()


def test_where_everything_is_banned_it_is_told(target):
    with pytest.raises(HedgespecError, match="leave no token possible at position 10"):
        call(target, decoder_of(target), do_sample=True, suppress_tokens=list(range(258)))


class Counting(LogitsProcessor):
    """Keeps what it was called with, and makes logits of the number of its calls."""

    def __init__(self):
        self.seen = []

    def __call__(self, input_ids, scores):
        self.seen.append(input_ids[0].tolist())
        scores[:, (7 * len(self.seen)) % 50] += 4.0
        return scores


class Judging(StoppingCriteria):
    """Ends the text at its twelfth call."""

    def __init__(self):
        self.seen = []

    def __call__(self, input_ids, scores, **kwargs):
        self.seen.append((input_ids[0].tolist(), scores is not None and len(scores)))
        return torch.tensor([len(self.seen) == 12])


@pytest.mark.parametrize("settings", [{}, {"rule": "multi:2"}, {"rule": "gumbel"}])
@pytest.mark.parametrize("limits", [{}, {"max_new_tokens": 7}, {"eos_token_id": [22, 50, 8, 30]}])
def test_processors_and_criteria_with_a_state_are_called_as_generate_calls_them(
    target, settings, limits
):
    def run(decoder):
        made = Counting(), Judging()
        text = call(
            target,
            decoder,
            logits_processor=LogitsProcessorList([made[0]]),
            stopping_criteria=StoppingCriteriaList([made[1]]),
            output_scores=True,
            return_dict_in_generate=True,
            **limits,
        )
        return text.sequences.tolist(), made[0].seen, made[1].seen

    assert run(decoder_of(target, **settings)) == run(None)


def test_a_rule_that_asks_out_of_order_refuses_processors_with_a_state(target):
    block = decoder_of(target, rule="block")
    assert call(target, block).tolist() == call(target).tolist()
    with pytest.raises(HedgespecError, match=r"rule block verifies .* Counting may keep a state"):
        call(target, block, logits_processor=LogitsProcessorList([Counting()]))


@pytest.mark.parametrize("pads", [0, 1, 5])
def test_padding_on_the_left_is_left_out(target, pads):
    padded = {
        "inputs": torch.cat([torch.zeros(1, pads, dtype=torch.long), IDS], 1),
        "attention_mask": torch.cat([torch.zeros(1, pads), torch.ones(IDS.shape)], 1).long(),
    }
    for more in ({}, {"repetition_penalty": 1.7}, {"max_length": 20, "max_new_tokens": None}):
        found = call(target, decoder_of(target), **padded, **more)
        assert found.tolist() == call(target, **padded, **more).tolist()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"attention_mask": torch.tensor([[1] * 9 + [0]])}, "attention_mask"),
        ({"attention_mask": torch.tensor([[1, 0] + [1] * 8])}, "attention_mask"),
        ({"position_ids": torch.arange(3, 13)[None]}, "position_ids"),
        ({"past_key_values": DynamicCache()}, "past_key_values"),
        ({"inputs": None, "inputs_embeds": torch.zeros(1, 4, 32)}, "inputs_embeds"),
        ({"synced_gpus": True}, "synced_gpus"),
    ],
)
def test_arguments_that_make_another_text_are_refused_by_name(target, keywords, named):
    with pytest.raises(HedgespecError, match=named):
        call(target, decoder_of(target), **keywords)


def test_an_assistant_is_refused(target, tokenizer):
    for keywords in ({"assistant_model": target.model}, {"assistant_tokenizer": tokenizer}):
        with pytest.raises(HedgespecError, match=next(iter(keywords))):
            call(target, decoder_of(target), **keywords)


def test_a_call_that_generate_does_not_hand_on_whole_is_refused(target):
    decoder = decoder_of(target)
    with pytest.raises(HedgespecError, match="pass speculative_generate itself"):
        target.model.generate(
            IDS,
            custom_generate=lambda *given, **more: speculative_generate(
                *given, decoder=decoder, **more
            ),
            max_new_tokens=3,
        )


def test_other_keywords_agree_with_generate(target):
    for keywords in (
        {"prefix_allowed_tokens_fn": lambda batch, ids: list(range(len(ids), 40))},
        {"guidance_scale": 2.0, "negative_prompt_ids": torch.tensor([[9, 8, 7]])},
        {"generation_config": GenerationConfig(max_new_tokens=9, repetition_penalty=1.5)},
        {"position_ids": torch.arange(10)[None], "logits_to_keep": 2},
    ):
        found = call(target, decoder_of(target), **keywords)
        assert found.tolist() == call(target, **keywords).tolist(), keywords


def test_a_streamer_gets_what_generate_gives_it(target, tokenizer):
    class Streamer:
        def __init__(self):
            self.got = []

        def put(self, value):
            self.got.append(value.tolist())

        def end(self):
            self.got.append("end")

    own, ours = Streamer(), Streamer()
    call(target, streamer=own)
    call(target, decoder_of(target), streamer=ours)
    assert ours.got == own.got
    refused = TextIteratorStreamer(tokenizer, timeout=1)
    with pytest.raises(HedgespecError, match="token_healing"):
        call(target, decoder_of(target), streamer=refused, token_healing=True)
    list(refused)  # raises queue.Empty if it was never ended


def test_sampled_texts_are_drawn_from_torchs_generator(target):
    def text(seed: int | None, decoder: LiveDecoder) -> tuple[int, ...]:
        if seed is not None:
            torch.manual_seed(seed)
        return tuple(call(target, decoder, do_sample=True)[0].tolist())

    decoder = decoder_of(target)
    assert len({text(seed, decoder) for seed in range(6)}) == 6
    assert text(3, decoder) == text(3, decoder) == text(3, decoder_of(target))
    assert len({text(None, decoder) for _ in range(6)}) == 6
    several = call(target, decoder, do_sample=True, num_return_sequences=4)
    assert len({tuple(row) for row in several.tolist()}) == 4


def test_a_seed_reproduces_texts_that_differ_from_call_to_call(target):
    def texts() -> list[list[int]]:
        decoder = decoder_of(target, seed=5)
        return [call(target, decoder, do_sample=True)[0].tolist() for _ in range(3)]

    first = texts()
    torch.manual_seed(99)
    assert texts() == first
    assert len({tuple(text) for text in first}) == 3


def test_generate_text_differs_from_call_to_call_too(target):
    def texts(**settings: object) -> list[str]:
        decoder = decoder_of(target, **settings)
        return [decoder.generate_text("hello there", 12) for _ in range(3)]

    assert len(set(texts())) == 3
    assert texts() != texts()
    assert texts(seed=4) == texts(seed=4)
    assert len(set(texts(seed=4))) == 3
    decoder = decoder_of(target)
    assert decoder.generate_text("a b", 9, query=2) == decoder.generate_text("a b", 9, query=2)


def test_several_texts_refuse_what_is_told_of_all_of_them_at_once(target):
    several = {**ONE, "num_return_sequences": 2}
    for keywords, named in (
        ({"logits_processor": LogitsProcessorList([Counting()])}, "Counting may keep a state"),
        ({"guidance_scale": 2.0}, "UnbatchedClassifierFreeGuidanceLogitsProcessor may keep"),
        ({"return_dict_in_generate": True, "output_scores": True}, "output_scores"),
    ):
        with pytest.raises(HedgespecError, match=f"num_return_sequences=2: .*{named}"):
            call(target, decoder_of(target), **several, **keywords)


def test_a_greedy_decoder_samples_where_generate_does(target):
    decoder = decoder_of(target, settings=DecoderSettings(sampling=Sampling(0.0)))
    assert call(target, decoder).tolist() == call(target).tolist()
    assert (
        call(target, decoder, do_sample=True).tolist()
        != call(target, decoder, do_sample=True).tolist()
    )


def test_the_decoder_may_be_bound_to_the_function(target):
    decoder = decoder_of(target)
    bound = partial(speculative_generate, decoder=decoder)
    own = call(target, stop_strings=["e"])
    assert (
        target.model.generate(
            IDS,
            max_new_tokens=16,
            stop_strings=["e"],
            custom_generate=bound,
            tokenizer=target.tokenizer,
        ).tolist()
        == own.tolist()
    )
