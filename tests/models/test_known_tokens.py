"""What is computed over the tokens that a drafter knows is what is computed over all."""

import pytest

torch = pytest.importorskip("torch")

from hedgespec.models.acceptance import reduce_pair  # noqa: E402
from hedgespec.models.known_tokens import draw_draft, reduce_known, spread  # noqa: E402
from hedgespec.rules import RULES, parse_rule  # noqa: E402

SIZE, KNOWN, COUNT = 500, 60, 40
DRAFTING = [name for name in RULES if name != "tree"]


def vocabularies(number: int) -> torch.Tensor:
    """Some tokens (number, v), in order."""
    return torch.stack([torch.randperm(SIZE)[:KNOWN] for _ in range(number)]).sort().values


def laws(*shape: int) -> torch.Tensor:
    """Peaked distributions, the first of them 0 throughout: no proposal."""
    found = (4 * torch.randn(*shape)).softmax(-1)
    found.view(-1, shape[-1])[0] = 0
    return found


@pytest.mark.parametrize("shared", [False, True])
def test_statistics_of_known_tokens_are_those_of_all(shared):
    torch.manual_seed(0)
    known, q, p = vocabularies(1 if shared else 3), laws(3, COUNT, KNOWN), laws(COUNT, SIZE)
    emitted = torch.randint(SIZE, (COUNT,))
    emitted[::2] = known[-1][torch.randint(KNOWN, (COUNT // 2,))]
    emitted[1], emitted[3] = SIZE - 1, 0
    found = reduce_known(p, q, emitted, known)
    whole = spread(q, known.expand(3, -1), SIZE)
    assert torch.equal(whole.gather(-1, known.expand(3, -1)[:, None].expand(q.shape)), q)
    for member in range(3):
        expected = reduce_pair(p, whole[member], emitted)
        assert list(found) == list(expected)
        for name in ("log_q", "match", "p_top"):
            assert torch.equal(found[name][member], expected[name]), name
        # Sums of as many numbers but for zeros, in another order.
        torch.testing.assert_close(found["gamma"][member], expected["gamma"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", DRAFTING)
def test_a_draft_of_known_tokens_is_the_draft_of_all(name):
    torch.manual_seed(1)
    rule = parse_rule(f"{name}:2" if name in ("multi", "multi-without", "kseq") else name)
    known, q = vocabularies(1), laws(1, 300, KNOWN)[:, 1:]
    noise = torch.rand(q.shape[1], rule.width(SIZE), dtype=torch.float64)
    found = draw_draft(rule, q[0], noise, known, SIZE)
    assert torch.equal(found, draw_draft(rule, spread(q, known, SIZE)[0], noise, None, SIZE))
    assert len(found.unique()) > 10


@pytest.mark.parametrize("name", DRAFTING)
def test_a_row_without_a_proposal_gives_a_token_that_is_rejected(name):
    rule = parse_rule(f"{name}:2" if name in ("multi", "multi-without", "kseq") else name)
    known, q = vocabularies(1), torch.zeros(1, 1, KNOWN)
    noise = torch.full((1, rule.width(SIZE)), 0.25, dtype=torch.float64)
    token = draw_draft(rule, q[0], noise, known, SIZE)
    assert 0 <= int(token) < SIZE
    p = laws(2, SIZE)[1:]
    p[0, int(token)] = 0
    if name not in ("onehot", "kseq", "multi", "multi-without"):
        assert int(rule.accept(p, spread(q, known, SIZE)[0], token[:, None], noise)) == -1
