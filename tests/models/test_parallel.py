"""Parallel heads: depth statistics equal drafting from each start; speculative sampling is exact.

Drafting step by step is compared with scoring in test_draft_sessions.py.
"""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.costs.measure import costs_measurement  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import ParallelHead, load_head, save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.heads import inputs, random_head  # noqa: E402
from tests.helpers.laws import chi_square_p, two_sample_p  # noqa: E402
from tests.helpers.live_text import law_of_two_tokens, prompt_with_doubt  # noqa: E402
from tests.helpers.real_decoding import TinyPair, recorded_texts  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

MASKS = 3
RUNS = 300


def one_pass(
    head: ParallelHead, embedded, features, start: int, count: int = MASKS
) -> "torch.Tensor":
    """Outputs of a round from one start alone: its text, then the masks, attending causally."""
    known = slice(0, start + 1)
    both = [
        torch.cat([part[:, known], masks[:count].expand(len(part), -1, -1)], dim=1)
        for part, masks in ((embedded, head.mask_embeddings), (features, head.mask_features))
    ]
    length = both[0].shape[1]
    residual, (q, k, v) = head.project(*both, torch.arange(length)[None])
    scores = q @ k.mT / q.shape[-1] ** 0.5
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    return head.finish(residual, scores.masked_fill(later, -torch.inf).softmax(-1) @ v)[:, start:]


@pytest.mark.parametrize("generation", [3, 1])
def test_unrolling_all_starts_equals_one_pass_from_each(generation):
    head = random_head(generation=generation, masks=MASKS)
    with torch.no_grad():
        embedded, features = (tensor.double() for tensor in inputs(head))
        head = head.double()
        outputs = head.unroll(embedded, features, MASKS + 1)
        for start in range(embedded.shape[1] - MASKS):
            expected = one_pass(head, embedded, features, start)
            for number, output in enumerate(outputs):
                torch.testing.assert_close(
                    output[:, start + number], expected[:, number], rtol=1e-5, atol=1e-5
                )


def test_a_shorter_draft_is_the_beginning_of_a_longer_one():
    """So that traces may be replayed with fewer tokens than the head drafts."""
    head = random_head(masks=MASKS)
    with torch.no_grad():
        embedded, features = inputs(head)
        whole = one_pass(head, embedded, features, 4)
        for count in range(MASKS):
            torch.testing.assert_close(
                one_pass(head, embedded, features, 4, count), whole[:, : count + 1]
            )


def test_a_parallel_head_keeps_its_masks_on_disk_and_is_refused_elsewhere(tmp_path, tiny_models):
    head = random_head(masks=MASKS)
    save_head(head, tmp_path / "parallel")
    save_head(random_head(), tmp_path / "plain")
    again = load_head(tmp_path / "parallel")
    assert isinstance(again, ParallelHead)
    assert torch.equal(again.mask_features, head.mask_features)
    with pytest.raises(HedgespecError, match="written for EAGLE-3 heads only"):
        save_head(head, tmp_path / "other", "speculators")
    target = load_model(tiny_models["target"], "cpu", "float32")
    for specification, message in (
        (f"eagle:{tmp_path / 'parallel'}", "name it with parallel:FOLDER"),
        (f"parallel:{tmp_path / 'plain'}", "name it with eagle:FOLDER"),
    ):
        with pytest.raises(HedgespecError, match=message):
            make_drafters([specification], target)


def test_recorded_depths_are_those_that_the_head_drafts(tmp_path, tiny_models):
    save_head(random_head(masks=MASKS), tmp_path / "head")
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 4),
        out=tmp_path / "trace",
        name="tiny",
        max_new_tokens=20,
        costs=False,
        drafters=(f"parallel:{tmp_path / 'head'}",),
    )
    manifest = record(settings)
    assert (manifest.drafters[0].kind, manifest.drafters[0].depths) == ("parallel", MASKS + 1)
    trace = read_trace(settings.out)
    assert trace.gamma.shape[1] == MASKS + 1
    with pytest.raises(HedgespecError, match="recorded to depth 4; draft length 5 is longer"):
        Replayer(trace, draft_length=MASKS + 2)


def test_the_draft_costs_one_pass(tmp_path, tiny_models, monkeypatch):
    """Costs count seconds by the network's passes: all are in `evaluate`, none in `step`."""
    from hedgespec.costs import timing

    save_head(random_head(masks=MASKS), tmp_path / "head")
    target = load_model(tiny_models["target"], "cpu", "float32")
    drafters = make_drafters([f"parallel:{tmp_path / 'head'}"], target)
    passes = []
    real = ParallelHead.project
    monkeypatch.setattr(
        ParallelHead, "project", lambda self, *rest: (passes.append(1), real(self, *rest))[1]
    )

    def counted(work, device):
        passes.clear()
        work()
        return 1e-9 + len(passes)

    monkeypatch.setattr(timing, "_seconds", counted)
    measured = costs_measurement(target, drafters, 3, context=40).take().drafters["head"]
    assert [round(value) for value in (measured.evaluate, measured.step, measured.draft)] == [
        1,
        0,
        0,
    ]


def test_live_decoding_has_the_targets_distribution(tiny_models, tmp_path):
    """Few possible tokens, so that both acceptance and rejection are frequent."""
    save_head(random_head(masks=MASKS), tmp_path / "head")
    target = load_model(tiny_models["target"], "cpu", "float32")
    drafters = make_drafters([f"parallel:{tmp_path / 'head'}"], target)
    sampling = Sampling(2.0, top_k=4)
    prompt = prompt_with_doubt(target, drafters, sampling)
    law = law_of_two_tokens(target, prompt, sampling)
    decoder = LiveDecoder(
        target, drafters, "fixed:head", DecoderSettings(sampling=sampling, draft_length=2)
    )
    counts, rounds = np.zeros_like(law), []
    for query in range(RUNS):
        answer = decoder.generate(prompt, 3, query)
        counts[tuple([*answer.tokens, 0][:2])] += 1
        rounds.append(len(answer.rounds))
    assert chi_square_p(counts, law) > 1e-3
    assert 1 < np.mean(rounds) < 3


LENGTH, VOCABULARY, DRAFT, EPISODES = 4, 3, 3, 200_000


def decode_in_parallel(p: np.ndarray, q: np.ndarray, rng) -> tuple[np.ndarray, np.ndarray]:
    """Real decoding of EPISODES texts: q[depth, position, prefix code at the round's start].

    All tokens of a draft are drawn when the round starts, knowing none of each other.
    """
    tokens, begins = np.zeros((2, EPISODES, LENGTH), dtype=np.int64)
    draft = np.zeros((EPISODES, LENGTH), dtype=np.int64)
    code, first, since = (np.zeros(EPISODES, dtype=np.int64) for _ in range(3))
    fresh = np.ones(EPISODES, dtype=bool)  # whether a round starts here

    def draws(distribution: np.ndarray) -> np.ndarray:
        total = distribution.cumsum(-1)
        u = rng.random((len(distribution), 1)) * total[:, -1:]
        return (u > total).sum(-1).clip(max=VOCABULARY - 1)

    for position in range(LENGTH):
        begins[:, position] = fresh
        since = np.where(fresh, position, since)
        first = np.where(fresh, code, first)
        for depth in range(min(DRAFT, LENGTH - position)):
            drafted = draws(q[depth, position + depth, code])
            draft[fresh, position + depth] = drafted[fresh]
        depth = position - since
        rows = np.arange(EPISODES)
        target = p[position, code]
        mine = q[depth.clip(max=DRAFT - 1), position, first]
        token = draft[:, position]
        bonus = depth == DRAFT
        kept = ~bonus & (rng.random(EPISODES) * mine[rows, token] < target[rows, token])
        residual = np.where(bonus[:, None], target, np.maximum(target - mine, 0))
        residual[residual.sum(-1) == 0] = 1
        token = np.where(kept, token, draws(residual))
        tokens[:, position] = token
        code = code * VOCABULARY + token
        fresh = ~kept
    return tokens, begins


def test_decoding_is_lossless_and_its_replay_exact():
    """q at depth d depends on the prefix where the round started, not on the drafted tokens."""
    rng = np.random.default_rng(7)
    prefixes = VOCABULARY ** (LENGTH - 1)
    pair = TinyPair.random(5, VOCABULARY, LENGTH, 1)
    q = rng.dirichlet(np.full(VOCABULARY, 0.7), size=(DRAFT, LENGTH, prefixes))
    tokens, begins = decode_in_parallel(pair.p, q, rng)
    trace = recorded_texts(pair, EPISODES, seed=2)
    texts = trace.tokens.reshape(-1, LENGTH)
    assert two_sample_p(as_codes(tokens), as_codes(texts)) > 1e-3, "lossless"
    prefix = np.zeros((EPISODES, LENGTH), dtype=np.int64)
    for position in range(1, LENGTH):
        prefix[:, position] = prefix[:, position - 1] * VOCABULARY + texts[:, position - 1]
    log_q = np.zeros((EPISODES, LENGTH, DRAFT, 1))
    for depth in range(DRAFT):
        for position in range(depth, LENGTH):
            begun = prefix[:, position - depth]
            log_q[:, position, depth, 0] = np.log(q[depth, position, begun, texts[:, position]])
    trace = replace(
        trace,
        log_q=log_q.reshape(-1, DRAFT, 1).astype(np.float32),
        gamma=np.zeros((EPISODES * LENGTH, DRAFT, 1)),
        manifest=replace(
            trace.manifest,
            draft_length=DRAFT,
            drafters=[replace(trace.manifest.drafters[0], depths=DRAFT)],
        ),
    )
    replayed = Replayer(trace).run("fixed:d0", 3).choice.reshape(-1, LENGTH) >= 0
    assert two_sample_p(as_codes(tokens, begins), as_codes(texts, replayed)) > 1e-3
    wrong = Replayer(replace(trace, log_q=trace.log_q[:, :1])).run("fixed:d0", 3)
    assert (
        two_sample_p(
            as_codes(tokens, begins), as_codes(texts, wrong.choice.reshape(-1, LENGTH) >= 0)
        )
        < 1e-12
    ), "the test can fail"


def as_codes(tokens: np.ndarray, begins: np.ndarray | None = None) -> np.ndarray:
    """One number per text, and where its rounds start."""
    code = np.zeros(len(tokens), dtype=np.int64)
    for position in range(LENGTH):
        code = code * VOCABULARY + tokens[:, position]
        if begins is not None:
            code = code * 2 + begins[:, position]
    return code
