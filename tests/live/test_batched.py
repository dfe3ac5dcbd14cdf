"""Rounds of several texts at once compute what rounds of one do, and are timed."""

from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from hedgespec.costs import timing  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import LiveDecoder, overhead  # noqa: E402
from hedgespec.live.batched import BatchedRound, counts_up_to  # noqa: E402
from hedgespec.live.text_rounds import Rounds  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.traces import Spread, TargetCosts  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pool(tiny_models, tmp_path_factory):
    """Three heads of one shape, one of another, and a model."""
    folder = tmp_path_factory.mktemp("pool")
    for name, head in {
        "a": random_head(0),
        "b": random_head(1),
        "c": random_head(2),
        "old": random_head(generation=1),
    }.items():
        save_head(head, folder / name)
    target = load_model(tiny_models["target"], "cpu", "float32")
    return target, make_drafters(
        [
            f"a=eagle:{folder / 'a'}",
            f"lm=lm:{tiny_models['drafter']}",
            f"b=eagle:{folder / 'b'}",
            f"old=eagle:{folder / 'old'}",
            f"c=eagle:{folder / 'c'}",
        ],
        target,
    )


@pytest.fixture
def even_clock(monkeypatch):
    monkeypatch.setattr(timing, "perf_counter", count(0.0, 1e-3).__next__)


def rounds(pool, texts):
    target, drafters = pool
    plan = LiveDecoder(target, drafters, static=True, draft_length=3).plan
    return BatchedRound(target, drafters, plan, texts, context=40)


def test_a_text_among_others_is_read_as_alone(pool):
    """Tokens, states, keys and values of the second of three texts, given to a round of one."""
    with torch.inference_mode():
        many, one = rounds(pool, 3), rounds(pool, 1)
        one._tokens.copy_(many._tokens[1:2])
        for layer, states in one._states.items():
            states.copy_(many._states[layer][1:2])
        for kind, mine, theirs in zip(many._kinds, one._groups, many._groups, strict=True):
            if hasattr(mine, "_caches"):
                for pair, pairs in zip(mine._caches, theirs._caches, strict=True):
                    for alone, beside in zip(pair, pairs, strict=True):
                        alone.copy_(beside.unflatten(0, (len(kind), 3))[:, 1])
            else:
                for alone, beside in zip(
                    mine._model._cache.layers, theirs._model._cache.layers, strict=True
                ):
                    alone.keys.copy_(beside.keys[1:2])
                    alone.values.copy_(beside.values[1:2])
            for members in range(1, len(kind) + 1):
                found = many._read(theirs, members).unflatten(1, (3, -1))[:, 1]
                torch.testing.assert_close(found, one._read(mine, members))
                rows = slice(0, members)
                torch.testing.assert_close(theirs.logits(rows, found), mine.logits(rows, found))


def test_every_part_is_timed_and_heads_of_one_shape_share_it(pool, even_clock):
    with torch.inference_mode():
        costs = rounds(pool, 2).costs(3, counts_up_to(5), "as told")
    assert (costs.batch, costs.context, costs.engine) == (2, 40, "as told")
    assert list(costs.drafters) == ["a", "lm", "b", "old", "c"]
    assert list(costs.evaluate_together) == ["1", "2", "4", "5"]
    assert list(costs.widths) == ["1", "4"]
    assert costs.evaluate_all == pytest.approx(1e-3)
    assert (
        costs.spread["draft c"]
        == costs.spread["draft a"]
        == Spread(3, *(pytest.approx(value) for value in (1e-3, 1e-3, 0)))
    )


@pytest.mark.parametrize("static", [True, False])
def test_conditions_are_measured_one_after_the_other(pool, even_clock, static):
    target, drafters = pool
    decoder = LiveDecoder(target, drafters, static=static, draft_length=3)
    kept = []
    costs = decoder.costs(20, repeats=3, batches=(1, 2), contexts=(30,), kept=kept.append)
    assert [(one.context, one.batch) for one in costs.measured] == [(20, 1), (20, 2), (30, 1)]
    assert [len(one.conditions) for one in kept] == [0, 1, 2]
    assert kept[-1] == costs
    engines = ["fixed tensors"] * 2 if static else ["eager", "eager, on fixed tensors"]
    assert [one.engine for one in costs.measured] == [*engines, engines[0]]
    assert [list(one.evaluate_together) for one in costs.measured[:2]] == (
        [["1", "2", "4"], ["1", "5"]] if static else [[], []]
    )


def test_what_is_known_is_not_measured_again(pool, even_clock, monkeypatch):
    target, drafters = pool
    decoder = LiveDecoder(target, drafters, static=True, draft_length=3)
    known = decoder.costs(20, repeats=3)
    monkeypatch.setattr(decoder.engine, "measurement", None)
    assert decoder.costs(20, repeats=3, known=known) == known
    more = decoder.costs(20, repeats=3, batches=(2,), known=known)
    assert replace(more, conditions=[]) == known
    assert [one.batch for one in more.conditions] == [2]
    with pytest.raises(HedgespecError, match="costs to go on from are of"):
        decoder.costs(20, known=replace(known, dtype="bfloat16"))


@pytest.mark.parametrize("static", [True, False])
def test_evaluation_is_timed_on_as_many_tokens_as_live_decoding_reads(
    pool, even_clock, monkeypatch, static
):
    """On fixed tensors a pass over 32 tokens stands for all between; others read what there is."""
    target, drafters = pool
    monkeypatch.setattr(overhead, "perf_counter", count(0.0, 1.0).__next__)
    monkeypatch.setattr(overhead._Again, "seconds", lambda again, found: 0.25)
    costs = LiveDecoder(target, drafters, static=static, draft_length=3).costs(140, repeats=3)
    counts = ["5", "32"] if static else ["32", "128"]
    assert list(costs.reads) == (counts if static else [])
    for name, one in costs.drafters.items():
        assert list(one.reads) == counts
        assert costs.spread[f"read 32 {name}"].n == 3
    # A round takes a second, its parts a few thousandths, and the target's pass again a quarter.
    assert (0.9 if static else 0.7) < costs.overhead < (1 if static else 0.75)
    # One that begins with an evaluation takes no longer here.
    assert costs.evaluation_overhead == 0


def test_a_round_is_compared_with_a_pass_right_behind_it(pool, even_clock, monkeypatch):
    """Not with one of minutes before, when the machine may have been another."""
    target, drafters = pool
    seconds, seen = overhead._Again.seconds, []

    def noted(again, found):
        seen.append((again._model.length, found.position, found.drafted, len(found.tokens)))
        taken = seconds(again, found)
        assert again._last.tolist() == found.tokens[-1:]
        return taken

    monkeypatch.setattr(overhead._Again, "seconds", noted)
    monkeypatch.setattr(overhead, "perf_counter", count(0.0, 1.0).__next__)
    decoder = LiveDecoder(target, drafters, static=False, draft_length=3)
    slow = replace(decoder.engine.measurement(60).take(1), target=TargetCosts(0.0, 0.0), widths={})
    monkeypatch.setattr(
        decoder.engine, "measurement", lambda *_: SimpleNamespace(take=lambda _: slow)
    )
    assert decoder.costs(60).overhead == 0, "a round takes a second, and so does the pass"
    starts = {length - position for length, position, _, _ in seen}
    assert starts == {60 - 30 - 1}, "the text read so far, but for its last token"
    assert max(drafted for _, _, drafted, _ in seen) == 3
    monkeypatch.setattr(overhead, "EAGER", "none are")
    assert decoder.costs(60).overhead > 0.9, "by the costs the pass takes no time"


@pytest.mark.parametrize("static", [True, False])
def test_what_a_round_takes_for_its_evaluation_is_told_apart(pool, even_clock, monkeypatch, static):
    """On a clock on which a choice that follows an evaluation takes two seconds more, and one that
    follows one of some drafters three."""
    target, drafters = pool
    clock = count(0.0, 1.0)
    evaluated, in_part, waited = Rounds._evaluate, Rounds._evaluate_some, []

    def slowly(rounds, until=None):
        found = evaluated(rounds, until)
        if found:
            waited.append((next(clock), next(clock)))
        return found

    def more_slowly(rounds, drafters):
        if drafters:
            waited.append([next(clock) for _ in range(3)])
        return in_part(rounds, drafters)

    monkeypatch.setattr(Rounds, "_evaluate", slowly)
    monkeypatch.setattr(Rounds, "_evaluate_some", more_slowly)
    monkeypatch.setattr(overhead, "perf_counter", clock.__next__)
    monkeypatch.setattr(overhead._Again, "seconds", lambda again, found: 0.25)
    costs = LiveDecoder(target, drafters, static=static, draft_length=3).costs(140, repeats=3)
    assert waited
    assert 0.5 < costs.overhead < 1
    assert costs.evaluation_overhead == pytest.approx(2, abs=0.1)
    assert costs.part_overhead == pytest.approx(3, abs=0.1)


def test_what_does_not_fit_is_left_out_and_told(pool, even_clock, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("full")

    target, drafters = pool
    decoder = LiveDecoder(target, drafters, static=True, draft_length=3)
    monkeypatch.setattr(decoder.engine, "costs_of_texts", full)
    with pytest.warns(UserWarning, match="no memory for 8 texts of 20 tokens"):
        assert decoder.costs(20, repeats=3, batches=(8,)).conditions == []


def test_texts_at_once_are_refused_where_drafters_have_no_fixed_tensors(pool):
    target, _ = pool
    decoder = LiveDecoder(target, make_drafters(["ngram"], target), draft_length=3)
    with pytest.raises(HedgespecError, match="of plain attention, and EAGLE heads"):
        decoder.costs(20, repeats=3, batches=(2,))


def test_drafters_that_copy_are_timed_beside_the_batch(pool, even_clock):
    """On the host, for one text after another; a draft of theirs begins with a look-up."""
    target, drafters = pool
    both = [*make_drafters(["ngram"], target), *drafters, *make_drafters(["prompt-lookup"], target)]
    decoder = LiveDecoder(target, both, static=True, draft_length=3)
    costs = decoder.costs(40, repeats=3, batches=(2,))
    assert [list(one.evaluate_together) for one in costs.measured] == [
        ["1", "2", "4", "5"],
        ["1", "5"],
    ]
    for one in costs.measured:
        assert list(one.drafters) == [drafter.name for drafter in both]
        for name in ("ngram", "prompt-lookup"):
            assert one.drafters[name].begin > 0
            assert one.drafters[name].evaluate > 0
    assert list(costs.drafters["ngram"].reads) == ["5", "32"]
    texts = decoder.engine._copying.examples(0, 40, 3)[0]
    beside = 2 * (2 / len(texts)) * 1e-3
    assert costs.measured[1].evaluate_all == pytest.approx(1e-3 + beside), "each beside the batch"
    alone = LiveDecoder(target, both[:1], static=True, draft_length=3).costs(
        40, repeats=3, batches=(2,)
    )
    assert [one.evaluate_all for one in alone.measured] == pytest.approx([1e-3, beside / 2])
    assert [list(one.evaluate_together) for one in alone.measured] == [[], []]


def test_counts_double_and_end_with_all():
    assert [counts_up_to(drafters) for drafters in (1, 2, 3, 8, 11)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 8],
        [1, 2, 4, 8, 11],
    ]
