"""Bandit libraries on the replay of `simulator.py`: SMPyBandits, river, MABWiser; `[compare]`.

Each library's own policy chooses the drafter of each round and is then told the round's reward,
(emitted tokens - 1) / K. It starts anew with each query, as the kernels do. What a round emits
stands in a list beforehand, so almost all of the time is the library's own. The kernels do more
in theirs: they draw the acceptances, and `hedge` learns the losses of all drafters at all
positions, for which none of the libraries has an interface.
"""

import io
import random
from collections.abc import Callable
from contextlib import redirect_stdout
from time import perf_counter
from typing import Any

import numpy as np

from hedgespec.rules import parse_rule
from hedgespec.selectors.uniforms import ACCEPTANCE, query_key, uniform
from hedgespec.simulator import Replayer
from hedgespec.traces import Trace

QUERIES = 20
TURNS = 3

# A policy: draw the drafter of a round, learn its reward in [0, 1].
Policy = tuple[Callable[[], int], Callable[[int, float], Any]]
Makers = dict[str, Callable[[], Policy]]

# The learners timed, and the libraries' name of the kind each belongs to.
LEARNERS = {
    "hedge": "Hedge",
    "exp3spec": "EXP3",
    "exp3-ix": "EXP3",
    "ucbspec": "UCB",
    "ucb1": "UCB",
    "epsilon-greedy": "epsilon-greedy",
    "thompson": "Thompson",
}


def _coin(learn: Callable[[int, float], Any]) -> Callable[[int, float], Any]:
    """Learn a coin of the reward's mean instead, for posteriors of rewards 0 and 1."""
    return lambda arm, reward: learn(arm, int(random.random() < reward))


def smpybandits(arms: int) -> Makers:
    """Policies of SMPyBandits."""
    import scipy.special

    # Its package imports a function that SciPy has renamed; nothing timed here calls it.
    vars(scipy.special).setdefault("btdtri", scipy.special.betaincinv)
    with redirect_stdout(io.StringIO()):  # it advertises other packages
        from SMPyBandits import Policies

    def maker(name: str) -> Callable[[], Policy]:
        def make() -> Policy:
            policy = getattr(Policies, name)(arms)
            policy.startGame()
            return policy.choice, policy.getReward

        return make

    return {
        "Hedge": maker("Hedge"),
        "EXP3": maker("Exp3"),
        "UCB": maker("UCB"),
        "epsilon-greedy": maker("EpsilonGreedy"),
        "Thompson": maker("Thompson"),
    }


def river(arms: int) -> Makers:
    """Policies of river."""
    from river import bandit, proba

    choices = list(range(arms))

    def of(policy: Any) -> Policy:
        return lambda: policy.pull(choices), policy.update

    def thompson() -> Policy:
        choose, learn = of(bandit.ThompsonSampling(reward_obj=proba.Beta()))
        return choose, _coin(learn)

    return {
        "EXP3": lambda: of(bandit.Exp3(gamma=0.1)),
        "UCB": lambda: of(bandit.UCB(delta=1)),
        "epsilon-greedy": lambda: of(bandit.EpsilonGreedy(epsilon=0.1, burn_in=1)),
        "Thompson": thompson,
    }


def mabwiser(arms: int) -> Makers:
    """Policies of MABWiser, which wants to be trained before it predicts: each arm once."""
    from mabwiser.mab import MAB, LearningPolicy

    def of(kind: Any) -> Policy:
        untried = list(range(arms))
        bandit = MAB(list(range(arms)), kind)

        def choose() -> int:
            return untried.pop() if untried else bandit.predict()

        return choose, lambda arm, reward: bandit.partial_fit([arm], [reward])

    def thompson() -> Policy:
        choose, learn = of(LearningPolicy.ThompsonSampling())
        return choose, _coin(learn)

    return {
        "UCB": lambda: of(LearningPolicy.UCB1(alpha=1)),
        "epsilon-greedy": lambda: of(LearningPolicy.EpsilonGreedy(epsilon=0.1)),
        "Thompson": thompson,
    }


LIBRARIES: dict[str, Callable[[int], Makers]] = {
    "SMPyBandits": smpybandits,
    "river": river,
    "MABWiser": mabwiser,
}


def emitted_table(trace: Trace, queries: int, draft_length: int) -> list[np.ndarray]:
    """Tokens of a round of each drafter from each position, (L, N) per query, under seed 0."""
    accept, table = parse_rule("sampling").realised(trace, 1)[:, 0], []
    for query, (begin, end) in enumerate(
        zip(trace.offsets[:queries], trace.offsets[1:], strict=False)
    ):
        key = query_key(0, query)
        emitted = np.empty((end - begin, accept.shape[1]), dtype=np.int64)
        accepted = np.zeros(accept.shape[1], dtype=np.int64)  # in a row, from the position on
        for position in reversed(range(end - begin)):
            one = uniform(key, position, ACCEPTANCE) < accept[begin + position]
            accepted = (accepted + 1) * one
            emitted[position] = np.minimum(
                np.minimum(accepted, draft_length) + 1, end - begin - position
            )
        table.append(emitted)
    return table


def library_replay(
    make: Callable[[], Policy], table: list[Any], draft_length: int
) -> tuple[int, float]:
    """Rounds and seconds of a replay of all queries in `table`."""
    rounds, started = 0, perf_counter()
    for query in table:
        choose, learn = make()
        start, tokens = 0, len(query)
        while start < tokens:
            arm = choose()
            emitted = query[start][arm]
            learn(arm, (emitted - 1) / draft_length)
            start += emitted
            rounds += 1
    return rounds, perf_counter() - started


def installed(arms: int) -> tuple[dict[str, Makers], dict[str, str]]:
    """The policies of the libraries that can be imported, and why the others cannot."""
    found, missing = {}, {}
    for name, policies in LIBRARIES.items():
        try:
            found[name] = policies(arms)
        except Exception as error:  # old libraries break on new Python or NumPy in many ways
            missing[name] = f"{type(error).__name__}: {error}"
    return found, missing


def compare(replayer: Replayer, speed: Callable[[str], float], draft_length: int) -> dict[str, Any]:
    """Time the libraries and the kernels in turn, print a table, return what was measured.

    `speed` measures the rounds per second of the kernel of a name.
    """
    table = [emitted.tolist() for emitted in emitted_table(replayer.trace, QUERIES, draft_length)]
    found, missing = installed(len(table[0][0]))
    for library, reason in missing.items():
        print(f"{library} is left out: {reason}")
    if not found:
        return {"left_out": missing}
    print(
        f"\n{'rounds/s':16s}{'hedgespec':>12s}"
        + "".join(f"{name:>13s}" for name in found)
        + f"{'over the best':>15s}"
    )
    learners: dict[str, dict[str, float]] = {}
    for name, kind in LEARNERS.items():
        makers = {
            library: policies[kind] for library, policies in found.items() if kind in policies
        }
        if not makers:
            continue
        best = dict.fromkeys(["hedgespec", *makers], 0.0)
        for _ in range(TURNS):
            best["hedgespec"] = max(best["hedgespec"], speed(name))
            for library, make in makers.items():
                rounds, seconds = library_replay(make, table, draft_length)
                best[library] = max(best[library], rounds / seconds)
        ratio = best["hedgespec"] / max(best[library] for library in makers)
        print(
            f"{name:16s}{best['hedgespec']:12.0f}"
            + "".join(
                f"{best[library]:13.0f}" if library in makers else f"{'-':>13s}"
                for library in found
            )
            + f"{ratio:15.0f}"
        )
        learners[name] = {**best, "over_the_best": ratio}
    return {"left_out": missing, "rounds_per_second": learners}
