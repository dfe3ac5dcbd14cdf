"""Training a zoo: losses, batches, heads, resumption, and the commands, with tiny models."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgespec.errors import HedgespecError
from hedgespec.traces import read_trace
from tests.helpers.tiny import save_tiny_model

torch = pytest.importorskip("torch")

from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.heads.eagle import load_head  # noqa: E402
from hedgespec.models.heads.eagle.head import drafting_places  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.tracegen.generate import generate_answers, query_uniforms  # noqa: E402
from hedgespec.zoo import build, experiment, training, training_losses  # noqa: E402
from hedgespec.zoo.build import ZooSettings, make_zoo  # noqa: E402
from hedgespec.zoo.corpus import Corpus, load_corpus, save_corpus  # noqa: E402
from hedgespec.zoo.new_heads import (  # noqa: E402
    attach,
    draft_readouts,
    draft_vocabulary,
    inherit,
    new_head,
    new_parallel_head,
    new_recurrent_head,
)
from hedgespec.zoo.teacher import Teacher  # noqa: E402
from hedgespec.zoo.training_losses import (  # noqa: E402
    DECAY,
    Drafts,
    acceptance,
    accepted_lengths,
    drafting_loss,
)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("target")
    save_tiny_model(folder, seed=0, layers=6)
    return load_model(str(folder), "cpu", "float32")


@pytest.fixture
def settings(target, tmp_path, small_questions):
    return ZooSettings(
        target.id,
        tmp_path / "zoo",
        "cpu",
        "float32",
        domains=("math", "sql"),
        small=("math",),
        questions=8,
        answers=16,
        general_questions=8,
        general_answers=16,
        held_out=3,
        max_new_tokens=24,
        batch_size=16,
        draft_vocabulary=40,
        depths=3,
        positions=512,
        generalist_steps=12,
        expert_steps=8,
        parallel_depths=4,
        parallel_steps=8,
        recurrent_steps=8,
        small_steps=6,
    )


@pytest.fixture(scope="module")
def kept():
    """What tests leave for each other."""
    return {}


@pytest.fixture
def made(settings, kept, tmp_path_factory):
    """Settings of a finished zoo; it is made once, and is not to be changed."""
    if "settings" not in kept:
        kept["settings"] = replace(settings, out=tmp_path_factory.mktemp("made") / "zoo")
        make_zoo(kept["settings"])
    return kept["settings"]


def random_corpus(seed=0, count=30):
    rng = np.random.default_rng(seed)
    prompts = rng.integers(2, 9, count).tolist()
    return Corpus(
        [rng.integers(3, 60, prompt + rng.integers(1, 40)).astype(np.int32) for prompt in prompts],
        prompts,
    )


def test_an_epoch_holds_each_answer_token_once_whatever_its_batch():
    corpus = random_corpus()
    seen = []
    for batch in corpus.once(256):
        assert batch.ids.numel() <= 256
        flat, places = batch.ids.flatten(), batch.places.flatten()
        rows = batch.rows[batch.real]
        assert batch.mask.flatten()[rows + 1].all()
        whole = np.concatenate(corpus.sequences)
        assert (flat[rows].numpy() == whole[places[rows]]).all()
        seen += places[rows + 1].tolist()
    answers = [
        start + place
        for start, prompt, sequence in zip(
            corpus.starts, corpus.prompts, corpus.sequences, strict=True
        )
        for place in range(prompt, len(sequence))
    ]
    assert sorted(seen) == answers
    assert len(answers) == corpus.answer_tokens == corpus.counts(60).sum()


def test_batches_are_the_same_for_a_seed_and_differ_between_epochs():
    corpus = random_corpus()
    per_epoch = sum(1 for _ in corpus.once(256))
    one, two, other = (
        [
            batch.ids
            for batch, _ in zip(corpus.batches(256, seed), range(3 * per_epoch), strict=False)
        ]
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, other, strict=True)
    )


def test_a_corpus_survives_its_file_and_refuses_other_settings(tmp_path):
    corpus, path = random_corpus(), tmp_path / "texts" / "a.safetensors"
    assert load_corpus(path, "x") is None
    save_corpus(corpus, path, "x")
    loaded = load_corpus(path, "x")
    assert loaded.prompts == corpus.prompts
    assert all(map(np.array_equal, loaded.sequences, corpus.sequences))
    with pytest.raises(HedgespecError, match="made with other settings"):
        load_corpus(path, "y")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(HedgespecError, match="damaged"):
        load_corpus(path, "x")


def test_losses_equal_their_formulas():
    rng = np.random.default_rng(0)
    batch, length, vocabulary, depths = 3, 9, 7, 3
    rows = [(b, j) for b in range(batch) for j in range(b, length - 1)]
    p = rng.dirichlet(np.ones(vocabulary), len(rows))
    q = rng.dirichlet(np.ones(vocabulary), (depths, len(rows)))
    gamma = np.minimum(p, q).sum(-1)
    index = {place: number for number, place in enumerate(rows)}
    # sum_k prod_{d<=k} gamma_d along each chain, as long as its text goes on
    expected = []
    for b, start in rows:
        alive, total = 1.0, 0.0
        for depth in range(depths):
            alive *= gamma[depth, index[b, start + depth]] if (b, start + depth) in index else 0.0
            total += alive
        expected.append(total)
    extra = 4  # repetitions of the last place, which must not count
    places = torch.tensor([b * length + j for b, j in [*rows, *[rows[-1]] * extra]])
    real = torch.arange(len(places)) < len(rows)
    wide_p = torch.tensor(np.concatenate([p, rng.dirichlet(np.ones(vocabulary), extra)]))
    log_qs = [
        torch.tensor(
            np.concatenate([log, np.log(rng.dirichlet(np.ones(vocabulary), extra))])
        ).requires_grad_()
        for log in np.log(q)
    ]
    # An identity as LM head over log q puts out q.
    eye = torch.eye(vocabulary, dtype=torch.double, requires_grad=True)

    def drafts():
        return Drafts(
            torch.stack(log_qs), eye, lambda rows: wide_p[rows], places, real, (batch, length)
        )

    lengths = accepted_lengths(acceptance(drafts()), drafts())
    np.testing.assert_allclose(lengths.detach()[: len(rows)], expected, rtol=1e-6)
    reached = np.array([[j >= depth for _, j in rows] for depth in range(depths)])
    kl = sum(DECAY**d * -(p * np.log(q[d])).sum(-1)[reached[d]].mean() for d in range(depths))
    tv = sum(DECAY**d * (1 - gamma[d])[reached[d]].mean() for d in range(depths))
    for kind, value in {"kl": kl, "tv": tv, "length": -np.mean(expected)}.items():
        loss = drafting_loss(kind, drafts())
        assert loss.item() == pytest.approx(value, rel=1e-5), kind
        for log_q in log_qs:
            log_q.grad = None
        loss.backward()
        assert all((log_q.grad[len(rows) :] == 0).all() for log_q in log_qs), kind
        assert any((log_q.grad[: len(rows)] != 0).any() for log_q in log_qs), kind


def plain_loss(kind, p, log_qs, places, real, shape):
    """The losses as sums over whole tensors, differentiated by torch."""
    gammas = torch.stack([torch.minimum(p, log_q.exp()).sum(-1) for log_q in log_qs])
    if kind == "length":
        drafts = Drafts(gammas, None, None, places, real, shape)
        return -accepted_lengths(gammas, drafts).sum() / real.sum()
    total = 0
    for depth, (log_q, gamma) in enumerate(zip(log_qs, gammas, strict=True)):
        each = -(p * log_q).sum(-1) if kind == "kl" else 1 - gamma
        inside = real & (places % shape[1] >= depth)
        total = total + DECAY**depth * (each * inside).sum() / inside.sum()
    return total


@pytest.mark.parametrize("kind", ["kl", "tv", "length"])
def test_losses_in_pieces_have_the_gradients_of_the_whole(monkeypatch, kind):
    monkeypatch.setattr(training_losses, "_PIECE", 5)
    rng = torch.Generator().manual_seed(0)
    shape, depths, size, vocabulary = (3, 6), 3, 4, 9
    places = torch.tensor([1, 2, 3, 4, 7, 8, 9, 13, 14, 14, 14])
    real = torch.arange(len(places)) < 9
    readouts = torch.randn(depths, len(places), size, generator=rng, dtype=torch.double)
    weight = torch.randn(vocabulary, size, generator=rng, dtype=torch.double)
    p = torch.randn(len(places), vocabulary, generator=rng, dtype=torch.double).softmax(-1) * 0.9
    found = []
    for in_pieces in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (readouts, weight)]
        if in_pieces:
            loss = drafting_loss(kind, Drafts(*leaves, lambda rows: p[rows], places, real, shape))
        else:
            log_qs = (leaves[0] @ leaves[1].T).log_softmax(-1)
            loss = plain_loss(kind, p, list(log_qs), places, real, shape)
        found.append([loss.detach(), *torch.autograd.grad(3 * loss, leaves)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6)


def test_accepted_lengths_are_the_simulators_expected_emitted_tokens_less_one():
    from hedgespec.selectors.losses import expected_emitted

    rng = np.random.default_rng(1)
    tokens, depths, drafters = 12, 4, 2
    gamma = rng.random((tokens, depths, drafters))
    for drafter in range(drafters):
        lengths = accepted_lengths(
            torch.tensor(gamma[:, :, drafter].T, dtype=torch.float32),
            Drafts(
                None,
                None,
                None,
                torch.arange(tokens),
                torch.ones(tokens, dtype=torch.bool),
                (1, tokens),
            ),
        )
        for start in range(tokens - depths + 1):
            emitted = expected_emitted(gamma, gamma, start, depths, drafter)
            assert 1 + float(lengths[start]) == pytest.approx(emitted, rel=1e-5)


def test_a_new_head_starts_as_the_targets_layer_and_knows_its_vocabulary(target):
    counts = np.arange(63)[::-1]
    vocabulary = draft_vocabulary(counts, 20)
    assert vocabulary.tolist() == list(range(20))
    head = new_head(target, np.array([3, 5, 8, 40]), None, seed=0)
    size = target.hidden_size
    layer = target.model.model.layers[-1]
    assert torch.equal(head.layer.self_attn.q_proj.weight[:, size:], layer.self_attn.q_proj.weight)
    assert torch.equal(head.layer.mlp.up_proj.weight, layer.mlp.up_proj.weight)
    assert torch.equal(head.lm_head.weight, target.model.lm_head.weight[[3, 5, 8, 40]])
    assert (torch.arange(4) + head.d2t).tolist() == [3, 5, 8, 40]
    assert head.t2d.nonzero()[:, 0].tolist() == [3, 5, 8, 40]


def test_a_new_recurrent_head_reads_the_targets_own_logits(target):
    vocabulary = np.array([3, 5, 8, 40])
    head = new_recurrent_head(target, vocabulary, seed=0)
    with torch.no_grad():
        for block in head.blocks:
            block.weight.zero_()
            block.bias.zero_()
        head.down.weight[:] = torch.eye(*head.down.weight.shape)
        context, state = torch.randn(2, 7, target.hidden_size)
        torch.testing.assert_close(
            head.draft_logits(head.output(context, state)),
            target.logits(context, torch.from_numpy(vocabulary)),
        )


def test_further_mlp_units_start_without_effect(target):
    plain, wide = (new_head(target, np.arange(30), width, seed=0) for width in (None, 96))
    states = torch.randn(2, 5, target.hidden_size)
    wide.layer.mlp.gate_proj.weight.data[:64] = plain.layer.mlp.gate_proj.weight
    torch.testing.assert_close(plain.layer.mlp(states), wide.layer.mlp(states))


def test_an_heir_has_the_generalists_weights_and_its_own_vocabulary(target):
    start = new_head(target, np.array([3, 5, 8, 40]), None, seed=0)
    with torch.no_grad():
        for parameter in start.parameters():
            parameter.add_(torch.randn_like(parameter))
    head = new_head(target, np.array([5, 6, 40, 41, 50]), None, seed=1)
    inherit(head, start)
    assert torch.equal(head.fc.weight, start.fc.weight)
    assert torch.equal(head.lm_head.weight[[0, 2]], start.lm_head.weight[[1, 3]])
    assert torch.equal(head.lm_head.weight[1], target.model.lm_head.weight[6])
    assert (torch.arange(5) + head.d2t).tolist() == [5, 6, 40, 41, 50]


@pytest.mark.parametrize("kind", ["eagle", "parallel"])
def test_training_sees_the_distributions_that_recording_scores(target, tmp_path, kind):
    """p and q of the trainer's batches equal those of the drafter at every depth."""
    from hedgespec.models.drafters import make_drafters
    from hedgespec.models.heads.eagle import save_head
    from hedgespec.tracegen.score import score

    head = new_head(target, np.arange(2, 50), None, seed=3)
    if kind == "parallel":
        head = attach(new_parallel_head(head, 4, seed=0), target)
    save_head(head, tmp_path / "head")
    corpus, temperature = random_corpus(seed=4, count=5), 0.7
    drafter = make_drafters([f"h={kind}:{tmp_path / 'head'}"], target)[0]
    prompts = [
        sequence[:start].tolist()
        for sequence, start in zip(corpus.sequences, corpus.prompts, strict=True)
    ]
    answers = [
        sequence[start:].tolist()
        for sequence, start in zip(corpus.sequences, corpus.prompts, strict=True)
    ]
    scores, _ = score(target, [drafter], prompts, answers, Sampling(temperature), 512)
    teacher = Teacher(target, temperature, head.config.fused_layers(target.layers))
    lessons = teacher.read(corpus, 64)
    batch = corpus.batch(np.arange(5))
    with torch.no_grad():
        readouts = draft_readouts(head, teacher.inputs(lessons, batch), batch, 4, temperature)
        gammas = acceptance(
            Drafts(
                readouts,
                head.lm_head.weight,
                teacher.probabilities(lessons, batch, torch.arange(2, 50)),
                drafting_places(batch.rows),
                batch.real,
                tuple(batch.ids.shape),
            )
        )
    for depth, gamma in enumerate(gammas[:, batch.real]):
        reached = (drafting_places(batch.rows) % batch.ids.shape[1] >= depth)[batch.real]
        recorded = torch.from_numpy(scores.drafters[f"gamma/h@{depth + 1}"])
        torch.testing.assert_close(gamma[reached], recorded[reached], atol=1e-5, rtol=1e-4)


def test_a_zoo_learns_and_is_recorded(settings, target, tmp_path):
    told = []
    summary = make_zoo(
        replace(settings, generalist_steps=60), lambda part, total, done, note: told.append(part)
    )
    assert set(summary["tokens_per_round"]) == {
        "generalist",
        "expert-math",
        "expert-sql",
        "parallel",
        "redrafter",
        "small-math",
    }
    curve = [
        json.loads(line)
        for line in (settings.out / "generalist" / "curve.jsonl").read_text().splitlines()
    ]
    assert curve[-1]["tokens_per_round"] > curve[0]["tokens_per_round"] + 0.02
    assert json.loads((settings.out / "zoo.json").read_text()) == json.loads(json.dumps(summary))
    assert {"general answers", "test answers", "training generalist", "training expert-sql"} <= set(
        told
    )
    recorded = experiment.record_experiment(
        settings,
        experiment.ExperimentSettings(
            tmp_path / "traces", per_domain=2, max_new_tokens=12, temperatures=(0.0, 0.7)
        ),
    )
    assert [manifest.name for manifest in recorded] == [
        "domain-mix-t0",
        "domain-mix-t0.7",
        "rephrased-t0.7",
    ]
    trace = read_trace(tmp_path / "traces" / "domain-mix-t0.7")
    assert trace.manifest.drafter_names == [
        "generalist",
        "expert-math",
        "expert-sql",
        "parallel",
        "small-math",
        "prompt-lookup",
    ]
    greedy = read_trace(tmp_path / "traces" / "domain-mix-t0").manifest
    assert {
        drafter.name: (drafter.kind, drafter.depths)
        for drafter in greedy.drafters
        if drafter.name in ("parallel", "redrafter")
    } == {"parallel": ("parallel", 4), "redrafter": ("redrafter", 8)}
    assert len(greedy.drafters) == 7
    assert sorted(set(trace.queries["domain"])) == ["general", "math", "sql"]
    again = experiment.record_experiment(
        settings,
        experiment.ExperimentSettings(
            tmp_path / "traces", per_domain=2, max_new_tokens=12, temperatures=(0.0, 0.7)
        ),
    )
    assert again == recorded


@pytest.mark.parametrize("name", ["parallel", "redrafter"])
def test_heads_of_other_methods_learn(settings, name):
    """Seconds on a CPU: more expected tokens per round than the head that training began with."""
    make_zoo(
        replace(
            settings,
            domains=(),
            small=(),
            methods=(name,),
            generalist_steps=30,
            parallel_steps=60,
            recurrent_steps=60,
        )
    )
    curve = [
        json.loads(line) for line in (settings.out / name / "curve.jsonl").read_text().splitlines()
    ]
    assert curve[-1]["tokens_per_round"] > curve[0]["tokens_per_round"] + 0.02


def test_a_new_parallel_head_is_the_generalist_at_the_first_depth(target):
    start = new_head(target, np.arange(2, 50), None, seed=3)
    head = attach(new_parallel_head(start, 4, seed=0), target)
    assert head.config.masks == 3
    batch = random_corpus(seed=4, count=5).batch(np.arange(5))
    inputs = torch.randn(*batch.ids.shape, 3 * target.hidden_size)
    with torch.no_grad():
        one, other = (draft_readouts(each, inputs, batch, 4, 0.7) for each in (start, head))
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1])


def weights(folder):
    return load_head(folder).state_dict()


@pytest.mark.parametrize("when", ["answers", "evaluation", "training expert-sql"])
def test_an_interrupted_zoo_goes_on_to_the_same_heads(made, tmp_path, monkeypatch, when):
    monkeypatch.setattr(training, "_REPORT_EVERY", 3)

    def interrupt(part, total, done, note):
        if when in part and (done > 4 or "train" not in part):
            raise KeyboardInterrupt

    other = replace(made, out=tmp_path / "other")
    real = build.tokens_per_round
    if when == "evaluation":

        def stop(*rest):
            if (other.out / "generalist").is_dir() and not (
                other.out / "generalist" / "config.json"
            ).exists():
                raise KeyboardInterrupt
            return real(*rest)

        monkeypatch.setattr(build, "tokens_per_round", stop)
    with pytest.raises(KeyboardInterrupt):
        make_zoo(other, interrupt)
    monkeypatch.setattr(build, "tokens_per_round", real)
    make_zoo(other)
    assert not list(other.out.rglob("checkpoint.pt"))
    for name in ("generalist", "expert-sql"):
        one, two = weights(made.out / name), weights(other.out / name)
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_a_zoo_that_is_read_again_tells_what_it_took(made, tmp_path):
    """Not what reading took. A summary that is none is refused, and nothing is lost."""
    again = replace(made, out=tmp_path / "zoo")
    shutil.copytree(made.out, again.out)
    path = again.out / build.SUMMARY
    summary = json.loads(path.read_text())
    took = {name: 1000.0 + number for number, name in enumerate(summary["seconds"])}
    path.write_text(json.dumps({**summary, "seconds": took}))
    shutil.rmtree(again.out / "expert-sql")
    found = make_zoo(again)["seconds"]
    assert found.pop("expert-sql") < 1000
    assert found == {name: taken for name, taken in took.items() if name != "expert-sql"}
    path.write_text("{}")
    with pytest.raises(HedgespecError, match="delete it, and it is written anew"):
        make_zoo(again)
    assert path.read_text() == "{}"


def test_a_zoo_of_other_settings_is_refused(made):
    for change in (
        {"seed": 1},
        {"expert_steps": 9},
        {"loss": "tv"},
        {"depths": 2},
        {"expert_loss": "length"},
        {"draft_vocabulary": 30},
        {"mlp_width": 80},
    ):
        with pytest.raises(HedgespecError, match="made with other settings"):
            make_zoo(replace(made, **change))


def test_bad_settings_are_refused_before_any_work(settings):
    for change, message in (
        ({"loss": "mse"}, "^loss must be one of kl, tv, length, not 'mse'"),
        ({"domains": ("cooking",)}, "no domain 'cooking'"),
        ({"small": ("law",)}, "small='law': not among domains"),
        ({"methods": ("medusa",)}, "no method 'medusa'; choose from parallel, redrafter"),
        ({"answers": 0}, "^answers must be positive"),
        ({"temperature": math.nan}, "^temperature must be positive"),
        ({"expert_rate": math.inf}, "^expert_rate must be positive"),
        ({"long_answers": 1.5}, r"^long_answers must lie in 0..1, not 1.5"),
        ({"mlp_width": -3}, "^mlp_width must be at least 1, not -3"),
    ):
        with pytest.raises(HedgespecError, match=message):
            make_zoo(replace(settings, **change))
    assert not settings.out.exists()


def test_a_loss_that_is_not_finite_is_told(settings, monkeypatch):
    monkeypatch.setattr(
        build, "drafting_loss", lambda kind, drafts: drafts.readouts.sum() * math.nan
    )
    with pytest.raises(HedgespecError, match="generalist: the training loss became nan"):
        make_zoo(settings)


def test_nothing_attends_by_cudnn_while_a_zoo_is_made(settings, monkeypatch):
    """Its gradients are not to be relied on where there is a mask."""
    enabled, seen = torch.backends.cuda.cudnn_sdp_enabled, []

    def noted(kind, drafts):
        seen.append(enabled())
        raise InterruptedError

    before = enabled()
    monkeypatch.setattr(build, "drafting_loss", noted)
    with pytest.raises(InterruptedError):
        make_zoo(settings)
    assert seen == [False]
    assert enabled() == before


def test_scaling_changes_counts_and_nothing_else():
    settings = ZooSettings("m", "zoo")
    assert settings.scaled(1) == settings
    longer = settings.scaled(1, steps=1.5)
    assert (longer.generalist_steps, longer.expert_steps) == (2250, 375)
    assert (
        replace(
            longer,
            **{name: getattr(settings, name) for name in vars(settings) if name.endswith("_steps")},
        )
        == settings
    )
    small = settings.scaled(0.01)
    assert small.generalist_steps == 15
    assert small.depths == settings.depths
    assert settings.scaled(2).max_new_tokens == settings.max_new_tokens


@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(0.7), Sampling(1, 0.9, 20)])
def test_fixed_caches_write_the_same_text_as_the_general_loop(target, monkeypatch, sampling):
    from hedgespec.tracegen import decoding, generate

    monkeypatch.setattr(decoding, "STRETCH", 16)
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 60, rng.integers(2, 20)).tolist() for _ in range(12)]
    limits = rng.integers(1, 70, 12).tolist()
    uniforms = [query_uniforms(1, number, limit) for number, limit in enumerate(limits)]
    fixed = generate_answers(target, prompts, limits, uniforms, sampling)
    monkeypatch.setattr(generate, "has_plain_attention", lambda _: False)
    general = generate_answers(target, prompts, limits, uniforms, sampling)
    for one, other in zip(fixed, general, strict=True):
        assert one.tokens == other.tokens
        assert one.finish_reason == other.finish_reason
        np.testing.assert_allclose(one.log_softmax, other.log_softmax, atol=1e-4)


TWO_PARTS = """
import json, sys
from pathlib import Path
from hedgespec.zoo import build
from tests.zoo.conftest import questions

build.held_out_questions = build.training_questions = questions
said = json.loads(sys.argv[1])
said["out"] = Path(said["out"])
said = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
summary = build.make_zoo(build.ZooSettings(**said))
print(json.dumps(sorted(summary.get("tokens_per_round", {}))))
"""


@given(st.integers(1, 4), st.lists(st.integers(1, 900), min_size=1, max_size=9))
def test_parts_share_the_training_steps(parts, steps):
    """All drafters once, and no part has more to do by over one drafter."""
    named = {
        build.GENERALIST if number == 0 else f"drafter-{number}": count
        for number, count in enumerate(steps)
    }
    shared = build.shares(named, parts)
    assert sorted(name for share in shared for name in share) == sorted(named)
    assert build.GENERALIST in shared[0]
    loads = [sum(named[name] for name in share if name != build.GENERALIST) for share in shared]
    assert max(loads) - min(loads) <= max(steps)


def test_two_parts_train_a_mixed_generalist_beside_the_experts():
    """As in docs/scale.md: both wait for the generalist, and then have as much to do."""
    domains = ("law", "math", "python", "sql", "translation")
    experts = {f"expert-{domain}": 112 for domain in domains}
    assert build.shares({build.GENERALIST: 675, **experts, build.MIXED: 560}, 2) == [
        [build.GENERALIST, *experts],
        [build.MIXED],
    ]


@pytest.mark.slow
def test_two_processes_make_the_zoo_of_one(made, tmp_path):
    """Each makes its share of the drafters, with its own devices; the first judges all."""
    running = []
    for part in range(2):
        said = {**asdict(made), "out": str(tmp_path / "zoo"), "part": f"{part}/2"}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", TWO_PARTS, json.dumps(said)],
                text=True,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": str(part)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    judged = []
    for process in running:
        out, error = process.communicate(timeout=400)
        assert process.returncode == 0, error
        judged.append(json.loads(out))
    summaries = [
        json.loads((folder / build.SUMMARY).read_text()) for folder in (made.out, tmp_path / "zoo")
    ]
    for name in (
        "tokens_per_round",
        "acceptance_by_position",
        "curves",
        "answer_tokens",
        "settings",
    ):
        assert summaries[0][name] == summaries[1][name], name
    assert judged == [sorted(summaries[0]["tokens_per_round"]), []]
    for name in ("generalist", "expert-math", "expert-sql"):
        heads = [load_head(folder / name) for folder in (made.out, tmp_path / "zoo")]
        assert all(map(torch.equal, *(head.parameters() for head in heads))), name
