"""MAT by drafter and domain of a domain-mix trace, and what it says about the zoo.

    python -m benchmarks.experiment [TRACE]         (default: the bundled domain-mix-t0.7)

Prints Markdown: tokens per round (exact expectations, K of the trace) of each drafter, of the best
fixed drafter of each answer and of the learners, and how much higher some are than others, with the
intervals of `hedgespec.results.statistics`: the question is the unit, whatever its domain.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.pages import Quantity, Said
from hedgespec.analysis.results import ResultSet
from hedgespec.bundled import DATA
from hedgespec.results.keys import RunKey
from hedgespec.results.labels import BEST_FIXED, FIXED, NONE, fixed
from hedgespec.results.markdown import markdown
from hedgespec.results.statistics import few, mat_gain
from hedgespec.simulator import Results, SweepSettings, run_sweep

TRACE = DATA / "traces" / "domain-mix-t0.7"
GENERALIST = fixed("generalist")
EXPERT = "expert-"  # before the domain that it is an expert of
LONG = 200  # tokens of a long answer


class Answers:
    """The answers of one trace under every selector; `said` is what its tables say."""

    def __init__(self, results: Results, trace: str):
        self._answers = ResultSet(results).answers(trace)
        keys = RunKey.of_rows(self._answers.settings)
        self._column = {key.selector: column for column, key in enumerate(keys)}
        self._keys = {key.selector: key for key in keys}
        self.selectors = list(self._keys)
        self.title = f"{trace}, K = {keys[0].draft_length}"
        self.tokens, self.domain = self._answers.tokens, self._answers.domain
        self.domains = self._answers.domains
        self.said = Said()

    def mat(self, selector: str, domain: str | None = None) -> float:
        """Tokens per round over the answers of a domain, or all."""
        chosen = np.ones(len(self.tokens), bool) if domain is None else self.domain == domain
        rounds = self._answers.rounds[chosen, self._column[selector]]
        return float(self.tokens[chosen].sum() / rounds.sum())

    def gain(self, selector: str, other: str, chosen: np.ndarray, where: str = "") -> str:
        """How much higher its MAT is on the queries `chosen` (Q), with the interval.

        Marked where these are few.
        """
        rounds, of = self._answers.rounds[chosen], self._column
        gain = mat_gain(
            rounds[:, [of[selector]]], rounds[:, of[other]], self._answers.question[chosen]
        )
        quantity = Quantity("gain in MAT, %", self._keys[selector], self._keys[other], where)
        return f"{self.said.cell(quantity, gain, '{:+.1f}%')} {few(gain.questions)}".strip()


def table(answers: Answers) -> str:
    """Markdown: MAT of each selector in each domain and over all."""
    rows = []
    for selector in answers.selectors:
        if selector == NONE:  # one token a round, by definition
            continue
        name = selector.removeprefix(FIXED)
        cells = [f"{answers.mat(selector, domain):.2f}" for domain in answers.domains]
        home = [
            f"**{mat}**" if name == f"{EXPERT}{domain}" else mat
            for mat, domain in zip(cells, answers.domains, strict=True)
        ]
        rows.append([name, *home, f"{answers.mat(selector):.2f}"])
    return markdown([answers.title, *answers.domains, "all"], rows)


def comparisons(answers: Answers) -> str:
    """Markdown: MAT over the generalist's, and learners over the best fixed drafter."""
    experts = [name for name in answers.selectors if name.startswith(fixed(EXPERT))]
    everywhere, best = np.ones(len(answers.tokens), bool), "best fixed of each answer"
    rows = []
    for expert in experts:
        home = expert.removeprefix(fixed(EXPERT))
        rows.append(
            [
                f"{EXPERT}{home}",
                "generalist",
                home,
                answers.gain(expert, GENERALIST, answers.domain == home, home),
            ]
        )
    for selector in (*experts, BEST_FIXED):
        name = best if selector == BEST_FIXED else selector.removeprefix(FIXED)
        rows.append(
            [name, "generalist", "all domains", answers.gain(selector, GENERALIST, everywhere)]
        )
    where = f"answers over {LONG} tokens"
    for learner in ("normalhedge", "hedge", "ucbspec", "exp3spec"):
        rows.append(
            [learner, best, where, answers.gain(learner, BEST_FIXED, answers.tokens > LONG, where)]
        )
    return markdown(["MAT of", "over that of", "on", "difference"], rows, range(3))


def report(answers: Answers) -> str:
    """Both tables."""
    return f"{table(answers)}\n{comparisons(answers)}"


def answers_of(trace: Path) -> Answers:
    """The answers of a trace, replayed with the default selectors."""
    results = run_sweep([trace], SweepSettings(seeds=5, threads=2))
    return Answers(results, results.summary["trace"][0])


def main() -> None:
    """Print the report."""
    print(report(answers_of(Path(sys.argv[1]) if len(sys.argv) > 1 else TRACE)), end="")


if __name__ == "__main__":
    main()
