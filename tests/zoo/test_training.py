"""Training that meets numbers which are not finite, learning rates, and what is said of memory."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from hedgespec.zoo.settings import ZooSettings, rate_at_width

torch = pytest.importorskip("torch")

from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.zoo import teacher  # noqa: E402
from hedgespec.zoo.build import make_zoo  # noqa: E402
from hedgespec.zoo.corpus import Corpus  # noqa: E402
from hedgespec.zoo.evaluation import judge  # noqa: E402
from hedgespec.zoo.memory import estimate  # noqa: E402
from hedgespec.zoo.teacher import Teacher  # noqa: E402
from hedgespec.zoo.training import Plan, read_curve, train  # noqa: E402
from hedgespec.zoo.training_losses import Drafts, acceptance  # noqa: E402


def corpus():
    rng = np.random.default_rng(0)
    return Corpus(
        [rng.integers(3, 60, length).astype(np.int32) for length in range(4, 40)], [3] * 36
    )


def run(folder, loss_of, steps=40, rate=0.1, evaluate=lambda: 1.0, every=10):
    """Train one weight, which starts at 1; what was said."""
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    said = []
    train(
        model,
        lambda batch: loss_of(model.weight),
        corpus().batches(64, 0),
        Plan(steps, rate, "", evaluate_every=every),
        folder,
        evaluate,
        lambda *_: None,
        said.append,
    )
    return model.weight.item(), said


def test_a_step_that_is_not_finite_changes_nothing(tmp_path):
    """Of 40 steps two are not: the weight is that of the other 38 at their rates."""
    calls = []

    def loss_of(weight, wrong=()):
        calls.append(weight.item())
        return (weight * (math.nan if len(calls) in wrong else 1)).sum()

    found, said = run(tmp_path / "a", lambda weight: loss_of(weight, wrong=(7, 25)))
    assert calls[7] == calls[6]
    assert calls[25] == calls[24]
    assert calls[6] != calls[5]
    assert math.isfinite(found)
    assert not said


def test_a_gradient_that_is_not_finite_changes_nothing(tmp_path):
    def loss_of(weight):  # 0 with an infinite slope
        return (weight - weight.detach()).abs().sqrt().sum()

    found, said = run(tmp_path / "a", loss_of, steps=2)
    assert found == 1
    assert not said


def test_after_several_it_goes_on_from_the_last_good_weights_at_half_the_rate(tmp_path):
    calls = []

    def loss_of(weight):
        calls.append(weight.item())
        return (weight * (math.nan if 13 <= len(calls) <= 17 else 1)).sum()

    found, said = run(tmp_path / "a", loss_of)
    assert said == [
        "a: 5 of 10 steps gave no finite loss or gradient; at step 20 it goes on from "
        "the weights of step 10, the rate halved to 0.05"
    ]
    assert calls[20] == calls[10]
    assert math.isfinite(found)
    assert [point["peak_rate"] for point in read_curve(tmp_path / "a")] == [
        0.1,
        0.1,
        0.05,
        0.05,
        0.05,
    ]


def test_an_interrupted_training_keeps_its_lower_rate(tmp_path):
    calls = []

    def loss_of(weight):
        calls.append(weight.item())
        if len(calls) == 25:
            raise KeyboardInterrupt
        return (weight * (math.nan if 3 <= len(calls) <= 8 else 1)).sum()

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", loss_of)
    run(tmp_path / "a", loss_of)
    curve = read_curve(tmp_path / "a")
    assert [point["peak_rate"] for point in curve] == [0.1, *[0.05] * 4]
    per_step = [
        one["answer_tokens"] - other["answer_tokens"]
        for one, other in zip(curve[1:], curve, strict=False)
    ]
    assert min(per_step) > 0


def test_weights_that_overflow_are_given_up(tmp_path):
    found, said = run(tmp_path / "a", lambda weight: (weight * 2).square().sum(), rate=1e38)
    assert math.isfinite(found)
    assert said


def test_no_finite_loss_at_all_is_an_error(tmp_path):
    with pytest.raises(HedgespecError, match=r"^a: the training loss became nan"):
        run(tmp_path / "a", lambda weight: (weight * math.nan).sum())


@pytest.mark.parametrize("scale", [0.1, 2])
def test_a_zoo_at_an_absurd_rate_ends_with_finite_weights(
    tiny_models, tmp_path, small_questions, scale
):
    from hedgespec.models.heads.eagle import load_head

    said = []
    settings = ZooSettings(
        tiny_models["target"],
        tmp_path / "zoo",
        "cpu",
        "float32",
        domains=("math",),
        small=(),
        methods=(),
        questions=10,
        answers=12,
        general_questions=10,
        general_answers=12,
        held_out=2,
        max_new_tokens=12,
        draft_vocabulary=40,
        depths=2,
        positions=256,
        generalist_steps=16,
        expert_steps=12,
        generalist_rate=1e30,
        expert_rate=1e3,
    ).scaled(scale)
    summary = make_zoo(settings, say=said.append)
    for name in ("generalist", "expert-math"):
        head = load_head(settings.out / name)
        assert all(bool(weight.isfinite().all()) for weight in head.parameters())
        assert all(math.isfinite(value) for value in summary["tokens_per_round"][name].values())
    assert "the rate halved to" in "".join(said)


def test_rates_follow_the_width():
    assert rate_at_width(8e-3, 576) == rate_at_width(8e-3, 32) == 8e-3
    assert rate_at_width(8e-3, 1536) == pytest.approx(6.9e-4, rel=0.01)
    assert rate_at_width(4e-3, 1536) == pytest.approx(3.4e-4, rel=0.02)
    assert rate_at_width(8e-3, 896) == pytest.approx(2.65e-3, rel=0.01)
    given = ZooSettings("m", "zoo", generalist_rate=1e-4).with_rates(1536)
    assert given.generalist_rate == 1e-4
    assert given.expert_rate == rate_at_width(4e-3, 1536)


def test_a_scale_does_not_shorten_answers():
    settings = ZooSettings("m", "zoo", max_new_tokens=2048)
    for scale in (0.01, 0.3, 2):
        assert settings.scaled(scale).max_new_tokens == 2048
        assert settings.scaled(scale).positions == settings.positions


def test_memory_is_said_and_bounds_the_answers_written_at_once(tiny_models, tmp_path):
    target = load_model(tiny_models["target"], "cpu", "float32")
    settings = ZooSettings(target.id, tmp_path, "cpu", "float32")
    free = estimate(target, settings)
    assert free.answers == settings.batch_size
    assert free.target == sum(4 * weight.numel() for weight in target.model.parameters())
    # 4 layers and one that moves; keys and values of 2 heads 8 wide, 384 + 128 tokens, float32;
    # a row of logits in its type and three times as float32.
    each = 5 * 2 * 2 * 8 * 512 * 4 + 63 * 16
    assert free.answering == settings.batch_size * each
    bound = estimate(target, settings, free=10 * each)
    assert bound.answers == 8
    assert "GiB to write 8 answers at once" in str(bound)
    assert asdict(estimate(target, ZooSettings(target.id, tmp_path, mlp_width=64)))["training"] == (
        free.training
    )


def test_acceptance_is_told_apart_by_position_in_the_answer():
    """A head that agrees with the target up to some token of each answer, and never after."""
    text = Corpus([np.arange(3, 3 + length, dtype=np.int32) % 50 for length in (1400, 300)], [7, 4])
    agree = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def draft(batch):
        positions = torch.zeros(len(batch.rows), dtype=torch.long)
        found = text.answer_positions(batch)
        positions[: len(found)] = found
        own = torch.where((positions < 600)[:, None], agree[0], agree[1])
        return Drafts(
            (own + 1e-30).log()[None],
            torch.eye(2),
            lambda rows: agree[0].expand(rows.stop - rows.start, 2),
            batch.rows,
            batch.real,
            tuple(batch.ids.shape),
        )

    judged = judge(draft, text, 512, 1)
    assert list(judged.by_position) == ["0-256", "256-512", "512-1024", "1024-"]
    assert list(judged.by_position.values()) == pytest.approx([1, 1, 88 / 512, 0], abs=1e-4)
    assert judged.tokens_per_round == pytest.approx(1 + (600 + 296) / (1393 + 296))
    batch = text.batch(np.arange(2))
    positions = text.answer_positions(batch)
    assert positions.tolist() == [*range(1393), *range(296)]
    assert len(acceptance(draft(batch))[0]) == len(batch.rows)


def test_lessons_that_fit_nowhere_are_computed_for_each_batch(tiny_models, monkeypatch):
    target = load_model(tiny_models["target"], "cpu", "float32")
    text = corpus()
    one = Teacher(target, 0.7, (2, 3))
    kept = one.read(text, 128)
    assert kept is not None
    monkeypatch.setattr(teacher, "host_memory", lambda: 0)
    assert one.read(text, 128) is None
    batch = text.batch(np.arange(3, 9))
    own, lessons = one.at(batch, None)
    assert torch.equal(own.ids, batch.ids)
    real = batch.mask.bool()
    for read in (one.inputs, one.last):
        torch.testing.assert_close(read(lessons, own)[real], read(kept, batch)[real])
    whole = slice(None)
    torch.testing.assert_close(
        one.probabilities(lessons, own)(whole), one.probabilities(kept, batch)(whole)
    )
