"""Models that are in memory decode as loaded ones do, and are left as they were."""

import pytest

torch = pytest.importorskip("torch")

from transformers import (  # noqa: E402
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder, make_decoder  # noqa: E402
from hedgespec.live.hugging_face import speculative_generate  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.settings import Sampling  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

GREEDY = DecoderSettings(sampling=Sampling(0.0))
TEXT = "w2 w6 w4 w2 w6 w5 w2 w6"
TEMPLATE = "{% for m in messages %}w1 {{ m.content }} {% endfor %}w3"


@pytest.fixture
def model(tiny_models):
    return AutoModelForCausalLM.from_pretrained(tiny_models["target"])


@pytest.fixture
def small(tiny_models):
    return AutoModelForCausalLM.from_pretrained(tiny_models["drafter"])


@pytest.fixture
def tokenizer(tiny_models):
    return AutoTokenizer.from_pretrained(tiny_models["target"])


def own_text(model, tokenizer, inputs, new_tokens: int) -> str:
    """What the model's own generate writes behind the inputs."""
    found = model.generate(**inputs, do_sample=False, max_new_tokens=new_tokens)
    return tokenizer.decode(found[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("selector", ["normalhedge", "ucbspec"])
def test_greedy_text_is_what_the_model_itself_generates(model, small, tokenizer, selector):
    decoder = make_decoder(
        model, tokenizer, ["early-exit:3", "prompt-lookup", small], selector, GREEDY
    )
    for text in (TEXT, "w17"):
        expected = own_text(model, tokenizer, tokenizer(text, return_tensors="pt"), 40)
        assert decoder.generate_text(text, 40) == expected
        assert expected
    assert not decoder.dropped


def test_conversations_go_through_the_chat_template(model, tokenizer):
    messages = [
        {"role": "user", "content": "w5 w6"},
        {"role": "assistant", "content": "w7"},
        {"role": "user", "content": "w8"},
    ]
    decoder = make_decoder(model, tokenizer, ["ngram"], settings=GREEDY)
    plain = decoder.generate_text(messages, 20)
    assert plain == own_text(
        model, tokenizer, tokenizer("w5 w6\n\nw7\n\nw8\n\n", return_tensors="pt"), 20
    )
    tokenizer.chat_template = TEMPLATE
    inputs = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    found = decoder.generate_text(messages, 20)
    assert found == own_text(model, tokenizer, inputs, 20)
    assert found != plain


def test_it_is_the_decoder_of_the_same_model_loaded_by_name(tiny_models, model, small, tokenizer):
    target = load_model(tiny_models["target"], "cpu", "float32")
    specifications = [f"small=lm:{tiny_models['drafter']}", "early-exit:2"]
    settings = DecoderSettings(sampling=Sampling(0.9), seed=3)
    loaded = LiveDecoder(target, make_drafters(specifications, target), "hedge", settings)
    memory = make_decoder(
        model, tokenizer, {"small": small, "early-exit-2": "early-exit:2"}, "hedge", settings
    )
    for query in range(3):
        found, expected = (one.generate([5, 9, 7], 30, query) for one in (memory, loaded))
        assert [(done.drafter, done.tokens) for done in found.rounds] == [
            (done.drafter, done.tokens) for done in expected.rounds
        ]
    assert memory.target.info() == loaded.target.info()
    assert [drafter.info() for drafter in memory.drafters] == [
        drafter.info() for drafter in loaded.drafters
    ]


def test_the_default_drafters_are_those_of_any_target(model, tokenizer):
    assert [drafter.name for drafter in make_decoder(model, tokenizer).drafters] == [
        "early-exit-2",
        "early-exit-3",
        "prompt-lookup",
        "ngram",
    ]


def test_model_and_tokenizer_stay_as_they_were(model, small, tokenizer):
    tokenizer.pad_token = None
    model.generation_config = GenerationConfig(repetition_penalty=3.0, eos_token_id=[1, 9])
    before = model.generation_config.to_dict()
    decoder = make_decoder(model, tokenizer, [small], settings=GREEDY)
    decoder.generate_text(TEXT, 5)
    assert tokenizer.pad_token is None
    assert model.generation_config.to_dict() == before
    assert decoder.target.eos_tokens == [1, 9]
    assert decoder.target.pad_token == tokenizer.eos_token_id


def test_the_tokenizers_end_token_serves_where_the_model_names_none(model, tokenizer):
    model.generation_config = GenerationConfig()
    assert LanguageModel.of(model, tokenizer).eos_tokens == [tokenizer.eos_token_id]


def test_a_drafter_that_is_the_target_has_every_token_accepted(tiny_models, model, tokenizer):
    same = AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    decoder = make_decoder(model, tokenizer, {"same": same}, "fixed:same", GREEDY, draft_length=4)
    answer = decoder.generate([5, 9, 7], 25)
    assert [len(done.tokens) for done in answer.rounds][:-1] == [5] * (len(answer.rounds) - 1)
    assert decoder.settings == DecoderSettings(sampling=Sampling(0.0), draft_length=4)
    with pytest.raises(HedgespecError, match=r"unknown setting 'draft_lenght'.*did you mean"):
        make_decoder(model, tokenizer, {"same": same}, draft_lenght=4)


def test_drafters_of_memory_keep_their_names_or_get_one(model, small, tokenizer):
    target = LanguageModel.of(model, tokenizer)
    other = LanguageModel.of(small, tokenizer, "Some/Small-Model")
    [drafter] = make_drafters([other], target)
    assert (drafter.name, drafter.identity) == ("small-model", "lm:Some/Small-Model")
    [renamed] = make_drafters({"mine": drafter}, target)
    assert (renamed.name, drafter.name) == ("mine", "small-model")
    with pytest.raises(HedgespecError, match="two drafters are called 'small-model'"):
        make_drafters([drafter, other], target)
    with pytest.raises(HedgespecError, match="'Not a name' may hold only"):
        make_drafters({"Not a name": other}, target)


def test_generate_of_the_same_model_takes_the_decoder(model, tokenizer):
    decoder = make_decoder(model, tokenizer, ["early-exit:3"])
    inputs = tokenizer(TEXT, return_tensors="pt")
    found = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=20,
        custom_generate=speculative_generate,
        decoder=decoder,
    )
    assert found.tolist() == model.generate(**inputs, do_sample=False, max_new_tokens=20).tolist()


def test_what_cannot_be_decoded_with_is_told(tiny_models, model, tokenizer):
    with pytest.raises(HedgespecError, match="model must be a transformers model, not str"):
        make_decoder(tiny_models["target"], tokenizer)
    with pytest.raises(HedgespecError, match="tokenizer must be a transformers tokenizer, not No"):
        make_decoder(model, None)
    with pytest.raises(HedgespecError, match=r"LlamaModel\) is not a causal language model"):
        make_decoder(AutoModel.from_pretrained(tiny_models["target"]), tokenizer)
    t5 = T5ForConditionalGeneration(
        T5Config(vocab_size=63, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    )
    with pytest.raises(HedgespecError, match="not a causal language model"):
        make_decoder(t5.eval(), tokenizer)
    with pytest.raises(HedgespecError, match=r"in training mode: call model.eval\(\) first"):
        make_decoder(model.train(), tokenizer)
    with pytest.raises(HedgespecError, match="weights on meta: put all of them on one device"):
        make_decoder(model.eval().to("meta"), tokenizer)


def test_models_that_do_not_fit_are_refused_as_drafters(tiny_models, model, small, tokenizer):
    target = LanguageModel.of(model, tokenizer)
    other = load_model(tiny_models["other"], "cpu", "float32")
    with pytest.raises(HedgespecError, match="its tokenizer differs from the target's"):
        make_drafters([other], target)
    narrow = AutoModelForCausalLM.from_pretrained(tiny_models["drafter"])
    narrow.resize_token_embeddings(40)
    far = LanguageModel("far", small.to("meta"), tokenizer)
    with pytest.raises(HedgespecError, match="lm:far: on meta, but the target is on cpu"):
        make_drafters([far], target)
    with pytest.raises(HedgespecError, match=r"knows 40 tokens, the target .* its tokenizer 63"):
        make_drafters({"narrow": narrow}, target)


def test_a_token_that_the_target_does_not_know_is_told(model, tokenizer):
    decoder = make_decoder(model, tokenizer, ["ngram"])
    with pytest.raises(HedgespecError, match="holds token 63; the target knows 63"):
        decoder.generate([5, 63], 4)
