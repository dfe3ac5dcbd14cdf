"""Grouped queries without copied keys, keys in chunks, draws in blocks, attention in blocks of
queries: all equal the plain way."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.tiny import save_plain_layers

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from hedgespec.models import block_draws, compiling, fixed_tensors  # noqa: E402
from hedgespec.models import grouped_attention as attention  # noqa: E402
from hedgespec.models.cached import CachedModel  # noqa: E402
from hedgespec.models.distributions import sample  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.grouped_attention import GROUPED, grouped_attention  # noqa: E402
from hedgespec.models.heads.eagle import head as eagle_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.tracegen import decoding  # noqa: E402


@pytest.mark.parametrize("count", [1, 3])
def test_folded_queries_attend_as_repeated_keys_do(count):
    torch.manual_seed(0)
    queries = torch.randn(2, 6, count, 8, dtype=torch.float64, requires_grad=True)
    keys, values = (
        torch.randn(2, 2, 9, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)
    )
    mask = torch.rand(2, 1, count, 9) < 0.5
    mask[..., 0] = True
    found = grouped_attention(queries, keys, values, mask, scale=0.3)
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries,
        keys.repeat_interleave(3, 1),
        values.repeat_interleave(3, 1),
        attn_mask=mask,
        scale=0.3,
    )
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    gradients = [
        torch.autograd.grad((one * weights).sum(), (queries, keys, values))
        for one in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def chain(rooms: int, rows: int) -> torch.Tensor:
    """The mask of the last `rows` of as many places less seven, behind which nothing stands."""
    return torch.arange(rooms) <= torch.arange(rooms - 7 - rows, rooms - 7)[:, None]


def tree(room: int, rows: int) -> torch.Tensor:
    """That of nodes which stand behind a text and see their ancestors alone."""
    parents = [-1, *(number // 2 for number in range(rows - 1))]
    sees = torch.eye(rows, dtype=torch.bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] |= sees[parent]
    mask = torch.zeros(rows, room, dtype=torch.bool)
    mask[:, :100], mask[:, 100 : 100 + rows] = True, sees
    return mask


@pytest.mark.parametrize("mask_of", [chain, tree])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6), ("bfloat16", 8e-3)]
)
@pytest.mark.parametrize(("room", "chunk"), [(512, 64), (192, 192), (4608, 128)])
def test_attention_in_chunks_is_attention(mask_of, dtype, tolerance, room, chunk):
    """To the rounding of a type: of the values, a step of bfloat16 at 1 is 2^-7."""
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    queries = torch.randn(2, 6, 7, 16).to(kind)
    keys, values = (torch.randn(2, 2, room, 16).to(kind) for _ in range(2))
    mask = mask_of(room, 7)[None, None]
    additive = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries.double(),
        keys.double().repeat_interleave(3, 1),
        values.double().repeat_interleave(3, 1),
        attn_mask=mask,
    )
    for form in (mask, additive.to(kind)):
        found = in_chunks(queries, keys, values, form, chunk)
        assert found.dtype == kind
        torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_chunks_are_one_batch_of_products_and_traced_once_for_every_room(monkeypatch):
    """As on a GPU in half precision, but for the type of the sums, which a CPU cannot be asked for."""
    torch.manual_seed(0)
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(attention, "_product", attention._batched)
    monkeypatch.setattr(
        attention, "chunk_of", lambda keys, of=attention.chunk_for: of(keys.shape[2])
    )
    traced = torch.compile(grouped_attention, backend="eager", dynamic=False, fullgraph=True)
    with torch.inference_mode():
        for room in (512, 1024, 2560):
            queries = torch.randn(1, 6, 5, 16)
            keys, values = torch.randn(1, 2, room, 16), torch.randn(1, 2, room, 16)
            mask = chain(room, 5)[None, None]
            for tensor, size in ((keys, 2), (values, 2), (mask, 3)):
                compiling.free_size(tensor, size)
            torch.testing.assert_close(
                traced(queries, keys, values, mask),
                torch.nn.functional.scaled_dot_product_attention(
                    queries,
                    keys.repeat_interleave(3, 1),
                    values.repeat_interleave(3, 1),
                    attn_mask=mask,
                ),
                atol=2e-6,
                rtol=2e-6,
            )
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 8e-3)])
def test_kernels_of_chunks_attend_as_pytorch_does_in_every_room(monkeypatch, dtype, tolerance):
    """Compiled once for all rooms; PyTorch's own attention is not called."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(attention, "scaled_dot_product_attention", None)
    compiled = compiling.compile_shapes(grouped_attention)
    with torch.inference_mode():
        for room in (512, 1024, 2560):
            torch.manual_seed(0)
            queries = torch.randn(1, 12, 6, 128, device="cuda").to(getattr(torch, dtype))
            keys, values = (
                torch.randn(1, 2, room, 128, device="cuda").to(queries.dtype) for _ in range(2)
            )
            mask = chain(room, 6)[None, None].cuda()
            for tensor, size in ((keys, 2), (values, 2), (mask, 3)):
                compiling.free_size(tensor, size)
            found = compiled(queries, keys, values, mask)
            expected = torch.nn.functional.scaled_dot_product_attention(
                queries.double(),
                keys.double().repeat_interleave(6, 1),
                values.double().repeat_interleave(6, 1),
                attn_mask=mask,
            )
            torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    assert counters["stats"]["unique_graphs"] == 1


def in_chunks(queries, keys, values, mask, chunk):
    """`grouped_attention` as it is where keys are cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "chunk_of", lambda keys: chunk)
        return grouped_attention(queries, keys, values, mask)


def test_rows_that_attend_to_nothing_give_no_nan_in_chunks():
    """Nor do their gradients, nor those of others; chunks out of everybody's reach do nothing."""
    torch.manual_seed(0)
    queries, keys, values = (
        torch.randn(1, 2, rows, 8, dtype=torch.float64, requires_grad=True) for rows in (3, 64, 64)
    )
    mask = torch.zeros(1, 1, 3, 64, dtype=torch.bool)
    mask[..., 0, :5], mask[..., 2, 20] = True, True
    found = in_chunks(queries, keys, values, mask, 16)
    assert bool((found[:, :, 1] == 0).all())
    weights = torch.randn_like(found)
    gradients = torch.autograd.grad((found * weights).sum(), (queries, keys, values))
    expected = torch.nn.functional.scaled_dot_product_attention(
        queries[:, :, ::2], keys, values, attn_mask=mask[:, :, ::2]
    )
    torch.testing.assert_close(found[:, :, ::2], expected)
    plain = torch.autograd.grad((expected * weights[:, :, ::2]).sum(), (queries, keys, values))
    for one, other in zip(gradients, plain, strict=True):
        torch.testing.assert_close(one, other)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_keys_are_cut_by_room_and_only_where_kernels_are_fused_on_a_gpu():
    assert [attention.chunk_for(room) for room in (512, 4096, 8192, 200)] == [64, 64, 128, 0]
    assert all(attention.chunk_for(room) for room in range(512, 140000, 512))
    assert all(room // attention.chunk_for(room) <= 64 for room in range(512, 32769, 512))
    assert attention.chunk_of(torch.zeros(1, 2, 512, 8)) == 0


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_model_on_fixed_tensors_gives_its_logits_with_keys_in_chunks(tmp_path, monkeypatch, kind):
    """Token by token and several at once, as drafted and as verified."""
    target = load_model(save_plain_layers(kind, tmp_path), "cpu", "float32")
    text = torch.arange(3, 43)
    monkeypatch.setattr(attention, "chunk_of", lambda keys: 64)
    with torch.inference_mode():
        static = fixed_tensors.StaticModel(target, 128)
        found = [
            static.read(text[start:end], torch.arange(start, end))[0]
            for start, end in ((0, 20), (20, 26), (26, 27), (27, 40))
        ]
        monkeypatch.undo()
        expected = target.network(text[None], use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_a_model_gives_the_logits_and_gradients_of_the_plain_way(tmp_path, kind):
    """Also with rows of padding on either side, which attend to nothing."""
    target = load_model(save_plain_layers(kind, tmp_path), "cpu", "float32")
    model = target.model
    assert model.config._attn_implementation == GROUPED
    assert fixed_tensors.has_plain_attention(target)
    ids = torch.arange(3, 27).view(2, 12)
    mask = torch.ones_like(ids)
    mask[0, :5], mask[1, 9:] = 0, 0

    def run():
        model.zero_grad()
        logits = model(input_ids=ids, attention_mask=mask).logits[mask.bool()]
        logits.square().mean().backward()
        return logits.detach(), [parameter.grad for parameter in model.parameters()]

    logits, gradients = run()
    model.config._attn_implementation = "sdpa"
    plain, expected = run()
    torch.testing.assert_close(logits, plain, atol=1e-4, rtol=1e-4)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_answers_are_written_without_copies_of_keys(tmp_path, monkeypatch):
    """The same tokens as by the plain way, which is told by its calls."""
    from transformers.integrations import sdpa_attention

    target = load_model(save_plain_layers("qwen2", tmp_path), "cpu", "float32")
    prompts = torch.arange(3, 33).view(3, 10)
    mask = torch.ones_like(prompts)
    mask[1, :4] = 0

    def write():
        return decoding.decode(
            target,
            prompts,
            mask,
            torch.tensor([20, 12, 20]),
            lambda logits, rows, step: logits.argmax(-1),
            lambda step: None,
        )

    target.model.config._attn_implementation = "sdpa"
    plain = write()
    target.model.config._attn_implementation = GROUPED

    def no_copies(*_):
        raise AssertionError("keys are copied")

    monkeypatch.setattr(sdpa_attention, "repeat_kv", no_copies)
    assert torch.equal(write(), plain)


def test_a_draw_in_blocks_is_the_draw_of_one_scan(monkeypatch):
    monkeypatch.setattr(block_draws, "_SMALL", 0)
    rng = np.random.default_rng(0)
    for size in (128, 1000, 5000):
        weights = torch.tensor(rng.dirichlet(np.full(size, 0.02), 400), dtype=torch.float32)
        weights[::3, : size // 2] = 0
        u = torch.tensor(rng.random(400))
        u[:2] = torch.tensor([0.0, np.nextafter(1, 0)])
        found = block_draws.sample_in_blocks(weights, u)
        assert torch.equal(found, sample(weights, u))
        assert (weights.gather(1, found[:, None]) > 0).all()


@pytest.mark.parametrize(
    ("lag", "chains", "window", "ahead"),
    [(1, 1, None, 0), (3, 2, None, 0), (2, 3, 4, 0), (0, 2, 5, 2), (0, 0, 3, 0)],
)
def test_blocks_of_queries_attend_as_all_at_once(monkeypatch, lag, chains, window, ahead):
    torch.manual_seed(0)
    parts = torch.randn(1 + 2 * (1 + chains), 2, 3, 11, 8, dtype=torch.float64)
    queries, *pairs = parts
    text, *near = zip(pairs[::2], pairs[1::2], strict=True)
    own = [(number + 1, *pair) for number, pair in enumerate(near)]
    whole = eagle_head.attend(queries, text, own, lag, window, ahead)
    monkeypatch.setattr(eagle_head, "_QUERIES", 4)
    cut = eagle_head.attend(queries, text, own, lag, window, ahead)
    rows = slice(lag, None)  # before them nothing of the text is in reach
    torch.testing.assert_close(cut[:, :, rows], whole[:, :, rows])


def test_texts_that_grow_are_attended_to_without_a_plan_for_each_length(tiny_models, monkeypatch):
    """cuDNN, which PyTorch may prefer, makes one for each number of keys."""
    asked, usual = [], torch.nn.functional.scaled_dot_product_attention

    def attend(*arguments, **rest):
        asked.append(torch.backends.cuda.cudnn_sdp_enabled())
        return usual(*arguments, **rest)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    target = load_model(tiny_models["target"], "cpu", "float32")
    ids = torch.tensor([[3, 5, 4, 7]])
    drafters = make_drafters([f"lm:{tiny_models['drafter']}"], target)
    model = CachedModel(target)
    asked.clear()  # what was asked when models were loaded and checked
    for tokens in ids[0].split(2):
        model.read(tokens)
    with_target = len(asked)
    growth = drafters[0].growth(SimpleNamespace(ids=ids))
    growth.begin(torch.zeros((1, 1), dtype=torch.long))
    growth.grow(torch.tensor([[5]]), torch.tensor([[-1]]))
    with_trees = len(asked)
    heads = torch.rand(1, 2, 4, 8)
    eagle_head.attend(heads, (heads, heads), [], 0)
    eagle_head.attend(heads, (heads, heads), [(1, heads, heads)], 1)
    assert 0 < with_target < with_trees < len(asked) - 1
    assert before
    assert not any(asked)
    assert torch.backends.cuda.cudnn_sdp_enabled()
