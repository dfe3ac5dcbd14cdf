"""Draft trees: built in batches they equal a plain builder, one start at a time, node for node."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models.distributions import Sampling, probabilities  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.models.trees import (  # noqa: E402
    DraftTrees,
    DynamicTree,
    StaticTree,
    make_tree,
    score_trees,
)
from hedgespec.models.trees.accepted import walk  # noqa: E402
from hedgespec.models.trees.growth import best_log_probabilities  # noqa: E402
from hedgespec.tracegen.generate import generate_answers, query_uniforms  # noqa: E402
from hedgespec.tracegen.score import score, teacher_force  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.tiny import save_other_architecture  # noqa: E402

FAMILIES = (
    "lm",
    "early-exit",
    "eagle-3",
    "eagle-1",
    "parallel",
    "redrafter",
    "prompt-lookup",
    "ngram",
)
DYNAMIC = DynamicTree(total_tokens=10, depth=2, top_k=3)
# Ranks that skip, in no order, with branches of different lengths.
STATIC = StaticTree([[1], [0, 0], [0], [0, 2], [1, 0], [3], [0, 2, 1], [0, 2, 0]])
PROMPTS = [[5, 9, 5, 4], [7], [12, 30]]
ANSWERS = [[9, 8, 5, 9], [6, 7], [31, 9, 30, 31, 30, 9]]


@pytest.fixture(scope="module")
def drafters(
    target: LanguageModel, tiny_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Drafter]:
    heads = {
        "eagle-3": random_head(),
        "eagle-1": random_head(generation=1),
        "parallel": random_head(masks=1),
    }
    folder = tmp_path_factory.mktemp("heads")
    for name, head in heads.items():
        save_head(head, folder / name)
    save_redrafter(random_recurrent(list(range(3, 43))), folder / "redrafter")
    made = make_drafters(
        [
            f"lm=lm:{tiny_models['drafter']}",
            "early-exit=early-exit:2",
            *(f"{name.partition('-')[0]}:{folder / name}" for name in heads),
            f"redrafter:{folder / 'redrafter'}",
            "prompt-lookup",
            "ngram",
        ],
        target,
    )
    return {drafter.name: drafter for drafter in made}


@pytest.fixture(scope="module")
def batch(target: LanguageModel):
    with torch.inference_mode():
        return teacher_force(target, PROMPTS, ANSWERS, tuple(range(target.layers + 1)))


class Drawing:
    """Log-probabilities of a drafter after any draft, by its step-by-step session."""

    def __init__(self, drafter: Drafter, batch, text: int, last: int):
        """The round's last verified token is at place `last`."""
        self.recurrent = drafter.head if drafter.kind == "redrafter" else None
        self.session, self.known = drafter.session(), None
        self.tokens = batch.ids[text, : last + 1]
        self.states = {layer: batch.states[layer][text, :last] for layer in drafter.target_layers}

    def __call__(self, path: tuple[int, ...]) -> "torch.Tensor":
        if self.recurrent is not None:  # its session proposes, without probabilities
            return self.of_recurrent((int(self.tokens[-1]), *path))
        self.session.rewind(0)
        logits = self.session.extend(self.tokens, self.states)[-1]
        for token in path:
            logits = self.session.step(token)
        return logits - logits.logsumexp(-1) if logits.isfinite().any() else logits

    def of_recurrent(self, tokens: tuple[int, ...]) -> "torch.Tensor":
        head, context = self.recurrent, next(iter(self.states.values()))[-1]
        state = torch.zeros_like(context)
        for token in tokens:
            state = head.advance(state, head.embed(torch.tensor(token)))
        log_q = torch.full((63,), -torch.inf)
        log_q[3:43] = head.lm_head(head.output(context, state)).float().log_softmax(-1)
        return log_q


def ranked(log_q: "torch.Tensor") -> list[tuple[float, int]]:
    order = log_q.argsort(descending=True, stable=True).tolist()
    return [(float(log_q[token]), token) for token in order if log_q[token] > -torch.inf]


def plain_dynamic(draw, shape: DynamicTree) -> list[tuple[int, ...]]:
    """Nodes as token paths, in the order in which they are made."""
    made, frontier = [], [(0.0, ())]
    for _ in range(shape.depth + 1):
        children = [
            (score + log_q, (*path, token))
            for score, path in frontier
            for log_q, token in ranked(draw(path))[: shape.top_k]
        ]
        made += children
        frontier = sorted(children, key=lambda node: -node[0])[: shape.top_k]
    kept = sorted(made, key=lambda node: -node[0])[: shape.total_tokens - 1]
    return [path for _, path in made if path in {path for _, path in kept}]


def plain_static(draw, shape: StaticTree) -> list[tuple[int, ...]]:
    tokens: dict[tuple[int, ...], tuple[int, ...]] = {(): ()}
    for path in shape.paths:
        if path[:-1] in tokens:
            children = ranked(draw(tokens[path[:-1]]))
            if path[-1] < len(children):
                tokens[path] = (*tokens[path[:-1]], children[path[-1]][1])
    return [tokens[path] for path in shape.paths if path in tokens]


def paths_of(trees: DraftTrees, number: int) -> list[tuple[int, ...]]:
    """Nodes of one tree as token paths."""
    paths: list[tuple[int, ...]] = []
    for token, parent, level in zip(
        *(part[number].tolist() for part in (trees.tokens, trees.parents, trees.levels)),
        strict=True,
    ):
        assert parent < len(paths)
        above = paths[parent] if parent >= 0 else ()
        if token >= 0:
            assert len(above) == level - 1
        paths.append((*above, token))
    return [path for path in paths if path[-1] >= 0]


PLAIN = {DynamicTree: plain_dynamic, StaticTree: plain_static}


@torch.inference_mode()
@pytest.mark.matrix
@pytest.mark.parametrize("shape", [DYNAMIC, STATIC], ids=["dynamic", "static"])
@pytest.mark.parametrize("name", FAMILIES)
def test_trees_equal_a_plain_builder_node_for_node(drafters, batch, name, shape):
    """At places of different texts, in two blocks of one growth."""
    growth = drafters[name].growth(batch)
    for places in (torch.tensor([[3, 6], [1, 2], [2, 5]]), torch.tensor([[5], [1], [4]])):
        trees = shape.build(growth, places)
        number = 0
        for text, row in enumerate(places.tolist()):
            for last in row:
                expected = PLAIN[type(shape)](Drawing(drafters[name], batch, text, last), shape)
                assert paths_of(trees, number) == expected
                number += 1


@torch.inference_mode()
@pytest.mark.matrix
@pytest.mark.parametrize("shape", [DYNAMIC, STATIC], ids=["dynamic", "static"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_session_grows_the_trees_of_recorded_text(drafters, batch, name, shape):
    """Read piece by piece, after a draft and a rewind; at all places at once and at the last."""
    drafter = drafters[name]
    for text, ends in enumerate([(2, 3, 5, 4, 8), (2, 3), (1, 8)]):
        tokens, session = batch.ids[text, : ends[-1]], drafter.session()
        for end in ends:
            if session.verified > end:
                session.rewind(end - 2)
            known = session.verified
            states = {
                layer: batch.states[layer][text, max(known - 1, 0) : end - 1]
                for layer in drafter.target_layers
            }
            session.extend(tokens[known:end], states)
            growth = session.growth()
            if end == growth.first_place:
                continue
            for places in ([*range(growth.first_place, end)], [end - 1]):
                found = shape.build(growth, torch.tensor([places]))
                for number, last in enumerate(places):
                    whole = torch.full((len(batch.ids), 1), growth.first_place)
                    whole[text] = last
                    expected = shape.build(drafter.growth(batch), whole)
                    assert paths_of(found, number) == paths_of(expected, text)
            for branch in (session.fork(), session.fork(), session):  # drafting changes nothing
                branch.step(9)
                branch.step(8)


def plain_walk(paths, target, text: list[int], first: int, levels: int, sampling: Sampling):
    """Accepted tokens, mass per level and nodes of the tree that starts before text[first]."""
    accepted, mass = 0, [0.0] * levels
    for level in range(levels):
        node = tuple(text[first : first + level])
        if (node and node not in paths) or first + level >= len(text):
            break
        accepted = level
        ids = torch.tensor([text[: first + level]])
        p = probabilities(target.model(ids).logits[0, -1:].float(), sampling)[0]
        mass[level] = float(sum(p[path[-1]] for path in paths if path[:-1] == node))
    if tuple(text[first : first + accepted + 1]) in paths:
        accepted += 1
    return accepted, mass, len(paths)


@torch.inference_mode()
@pytest.mark.parametrize("shape", [DYNAMIC, STATIC], ids=["dynamic", "static"])
def test_statistics_of_all_positions_equal_a_plain_walk(drafters, target, batch, shape):
    """Of every start, whatever the blocks; a start after one token only has no tree of a head."""
    sampling = Sampling(0.7)
    chosen = [drafters[name] for name in ("lm", "eagle-3")]
    one, other = (score_trees(target, chosen, batch, shape, sampling, block) for block in (3, 64))
    for name in one:
        for part in ("accepted", "mass", "drafted"):
            torch.testing.assert_close(getattr(one[name], part), getattr(other[name], part))
        row = 0
        for number, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
            text = prompt + answer
            for first in range(len(prompt), len(text)):
                draw = Drawing(drafters[name], batch, number, first - 1)
                accepted, mass, nodes = plain_walk(
                    PLAIN[type(shape)](draw, shape), target, text, first, shape.deepest, sampling
                )
                found = one[name]
                assert (int(found.accepted[row]), int(found.drafted[row])) == (accepted, nodes)
                np.testing.assert_allclose(found.mass[row], mass, atol=1e-5)
                row += 1
        assert row == len(one[name].accepted)
    start_of_text = len(ANSWERS[0])
    assert one["eagle-3"].drafted[start_of_text] == 0
    assert one["lm"].drafted[start_of_text] > 0


@pytest.fixture(scope="module")
def sampled(tiny_models: dict[str, str]):
    """A target in float32, and answers that it sampled."""
    target = load_model(tiny_models["target"], "cpu", "float32")
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 60, 4).tolist() for _ in range(24)]
    answers = generate_answers(
        target,
        prompts,
        [30] * 24,
        [query_uniforms(1, number, 30) for number in range(24)],
        Sampling(),
    )
    return target, prompts, [answer.tokens for answer in answers]


@torch.inference_mode()
def test_a_tree_that_is_a_chain_equals_the_recorded_chain(sampled, tmp_path):
    """accepted: consecutive matches; mass: p_top of each depth that is reached."""
    target, prompts, answers = sampled
    save_head(random_head(), tmp_path / "head")
    drafter = make_drafters([f"head=eagle:{tmp_path / 'head'}"], target)[0]
    scores, _ = score(target, [drafter], prompts, answers, Sampling(), 256)
    batch = teacher_force(target, prompts, answers, drafter.target_layers)
    depth = 3
    found = score_trees(
        target, [drafter], batch, StaticTree([[0], [0, 0], [0, 0, 0]]), Sampling(), 100
    )["head"]
    match, p_top = (
        np.stack([scores.drafters[f"{name}/head@{each}"] for each in range(1, depth + 1)], axis=1)
        for name in ("match", "p_top")
    )
    row = 0
    for answer in answers:
        for position in range(len(answer)):
            reached, accepted = True, 0
            for level in range(depth):
                reached = reached and position + level < len(answer)
                expected = float(p_top[row + level, level]) if reached else 0.0
                assert float(found.mass[row, level]) == pytest.approx(expected, abs=1e-5)
                reached = reached and bool(match[row + level, level])
                accepted += reached
            assert int(found.accepted[row]) == accepted
            row += 1
    assert int(found.accepted.max()) > 0


@torch.inference_mode()
def test_mass_is_the_probability_that_the_text_goes_on_in_the_tree(sampled, tmp_path):
    """Of every level that is reached; a wide tree of a random drafter, text that was sampled."""
    target, prompts, answers = sampled
    [drafter] = make_drafters(["exit=early-exit:3"], target)
    batch = teacher_force(target, prompts, answers, drafter.target_layers)
    shape = DynamicTree(total_tokens=40, depth=3, top_k=8)
    found = score_trees(target, [drafter], batch, shape, Sampling(), 256)["exit"]
    for level in range(2):
        reached = found.mass[:, level] > 0
        mass = found.mass[reached, level].double()
        accepted = (found.accepted[reached] > level).double()
        error = float((mass * (1 - mass)).sum().sqrt())
        assert abs(float((accepted - mass).sum())) < 4 * error
        assert float(accepted.sum()) > 20


@torch.inference_mode()
def test_greedy_text_makes_mass_and_acceptance_the_same(sampled, tmp_path):
    target, prompts, _ = sampled
    answers = [
        answer.tokens
        for answer in generate_answers(
            target,
            prompts,
            [12] * 24,
            [query_uniforms(1, number, 12) for number in range(24)],
            Sampling(0),
        )
    ]
    [drafter] = make_drafters(["exit=early-exit:3"], target)
    batch = teacher_force(target, prompts, answers, drafter.target_layers)
    found = score_trees(target, [drafter], batch, DYNAMIC, Sampling(0), 64)["exit"]
    assert torch.equal(found.mass.sum(1).long(), found.accepted)


def test_the_most_probable_of_a_long_row_are_those_of_a_sort():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 4096)
    logits[0, 0, 7:] = -torch.inf  # fewer than are asked for
    logits[1] = -torch.inf
    values, index = best_log_probabilities(logits, 10)
    expected, order = logits.log_softmax(-1).sort(dim=-1, descending=True, stable=True)
    torch.testing.assert_close(values[[0, 2]], expected[[0, 2], :, :10])
    assert values[1].isneginf().all()
    real = ~values.isneginf()
    assert torch.equal(index[real], order[..., :10][real])


def test_the_default_tree_is_that_of_the_released_code(drafters, batch):
    """60 tokens with the root, seven levels below its children, ten children each."""
    shape = DynamicTree()
    assert (shape.total_tokens, shape.depth, shape.top_k, shape.deepest) == (60, 7, 10, 8)
    with torch.inference_mode():
        trees = shape.build(drafters["lm"].growth(batch), torch.tensor([[3], [1], [2]]))
    assert trees.tokens.shape == (3, 59)
    assert (trees.tokens >= 0).all()
    for number in range(3):
        paths = paths_of(trees, number)
        assert len(set(paths)) == 59
        assert sum(len(path) == 1 for path in paths) <= 10


def test_no_tree_without_its_root_children(drafters, batch, target):
    """A walk ends where the tree has nothing: 0 accepted, no mass."""
    trees = DraftTrees(
        torch.tensor([[4, 5], [-1, -1]]),
        torch.tensor([[-1, 0], [-1, 0]]),
        torch.tensor([[1, 2], [1, 2]]),
    )
    p = torch.full((3, 63), 1 / 63)
    found = walk(trees, torch.tensor([[4, 6], [4, 5]]), p, torch.tensor([[0, 1], [1, 2]]))
    assert found.accepted.tolist() == [1, 0]
    assert found.drafted.tolist() == [2, 0]
    np.testing.assert_allclose(found.mass, [[1 / 63, 1 / 63], [0, 0]], rtol=1e-6)


def test_drafters_without_trees_are_left_out(target, batch, monkeypatch):
    [drafter] = make_drafters(["ngram"], target)
    monkeypatch.setattr(type(drafter), "growth", Drafter.growth)
    assert score_trees(target, [drafter], batch, DYNAMIC, Sampling(), 8) == {}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "at least one path"),
        ([[0], [1, 0]], r"\[1, 0\] has no parent \[1\]"),
        ([[0], []], r"\[\] is not a path of ranks"),
        ([[0], [-1]], r"\[-1\] is not a path of ranks"),
        ([[0], [0]], "a path is given twice"),
    ],
)
def test_bad_static_trees_are_named(paths, message):
    with pytest.raises(HedgespecError, match=message):
        StaticTree(paths)


def test_specifications(tmp_path):
    assert make_tree("dynamic") == DynamicTree()
    assert make_tree("dynamic:10,2,3") == DYNAMIC
    (tmp_path / "tree.json").write_text("[[0], [0, 2], [1]]")
    assert make_tree(f"static:{tmp_path / 'tree.json'}").paths == [(0,), (1,), (0, 2)]
    released = make_tree("static")
    assert (len(released.paths), released.deepest) == (25, 5)
    (tmp_path / "bad.json").write_text("[0]")
    for text, message in (
        ("medusa", "choose dynamic"),
        ("dynamic:60", "as in dynamic:60,7,10"),
        (f"static:{tmp_path / 'none'}", "cannot be read"),
        (f"static:{tmp_path / 'bad.json'}", "not a list of lists of ranks"),
    ):
        with pytest.raises(HedgespecError, match=message):
            make_tree(text)


def test_bad_dynamic_trees_are_refused():
    for change in ({"total_tokens": 1}, {"depth": -1}, {"top_k": 0}):
        with pytest.raises(HedgespecError, match="a dynamic tree needs at least 2 total tokens"):
            replace(DYNAMIC, **change)


@torch.inference_mode()
def test_models_with_sliding_windows_are_refused(tiny_models, tmp_path: Path, batch):
    folder = save_other_architecture("sliding", tmp_path, tiny_models["target"])
    sliding = load_model(folder, "cpu", "float32")
    [drafter] = make_drafters([f"x=lm:{folder}"], sliding)
    with pytest.raises(HedgespecError, match="trees need a model whose layers all attend"):
        drafter.growth(batch)
