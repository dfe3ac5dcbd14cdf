"""The zoo on a GPU: kernels made by torch.compile, graphs, steps that the device leaves out."""

import math

import pytest

from tests.helpers.tiny import save_plain_layers

torch = pytest.importorskip("torch")

from hedgespec.models.grouped_attention import own_kernels  # noqa: E402
from hedgespec.models.heads.eagle import load_head  # noqa: E402
from hedgespec.zoo.build import make_zoo  # noqa: E402
from hedgespec.zoo.settings import ZooSettings  # noqa: E402
from hedgespec.zoo.training_losses import Drafts, drafting_loss  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("kind", ["kl", "tv", "length"])
def test_compiled_losses_equal_the_plain_ones(kind):
    torch.manual_seed(0)
    readouts, weight = torch.randn(3, 1024, 16), torch.randn(300, 16)
    p = torch.randn(1024, 300).softmax(-1)
    found = []
    for device in ("cpu", "cuda"):
        leaves = [tensor.to(device).requires_grad_() for tensor in (readouts, weight)]
        own = p.to(device)
        places = torch.arange(1024, device=device)
        loss = drafting_loss(kind, Drafts(*leaves, own.__getitem__, places, places >= 0, (8, 128)))
        found.append([one.cpu() for one in (loss.detach(), *torch.autograd.grad(loss, leaves))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("length", [704, 1088, 2112])
def test_gradients_of_masked_attention_are_finite_while_a_zoo_is_made(length):
    """By cuDNN those of queries are NaN at these lengths, where nearly all keys are far off."""
    torch.manual_seed(0)
    queries, keys, values = (
        torch.randn(1, 2, length, 64, device="cuda", dtype=torch.bfloat16) for _ in range(3)
    )
    queries, keys = queries.abs() * 4, -keys.abs() * 4  # scores far below zero
    leaves = [one.requires_grad_() for one in (queries, keys, values)]
    mask = torch.ones(length, length, dtype=torch.bool, device="cuda").tril()
    with own_kernels():
        found = torch.nn.functional.scaled_dot_product_attention(*leaves, attn_mask=mask)
    for gradient in torch.autograd.grad(found.float().sum(), leaves):
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("rate", [None, 1e30])
def test_a_zoo_of_a_qwen2_in_half_precision(tmp_path, small_questions, rate):
    """It learns; at an absurd rate its weights stay finite all the same."""
    summary = make_zoo(
        ZooSettings(
            save_plain_layers("qwen2", tmp_path / "target", context=512),
            tmp_path / "zoo",
            domains=("math",),
            small=("math",),
            questions=40,
            answers=80,
            general_questions=40,
            general_answers=80,
            held_out=8,
            max_new_tokens=96,
            draft_vocabulary=100,
            depths=3,
            positions=2048,
            generalist_steps=100,
            expert_steps=40,
            parallel_steps=20,
            recurrent_steps=20,
            small_steps=20,
            generalist_rate=rate,
            mixed=True,
        )
    )
    for name in ("generalist", "generalist-mixed", "expert-math"):
        assert all(
            bool(weight.isfinite().all())
            for weight in load_head(tmp_path / "zoo" / name).parameters()
        )
    curve = summary["curves"]["generalist"]
    assert all(math.isfinite(point["tokens_per_round"]) for point in curve)
    if rate is None:
        assert curve[-1]["tokens_per_round"] > curve[0]["tokens_per_round"]
