"""MAT by drafter and domain of a domain-mix trace, and what it says about the zoo.

    python benchmarks/experiment.py [TRACE]         (default: the bundled domain-mix-t0.7)

Prints Markdown: tokens per round (exact expectations, K of the trace) of each drafter, of the best
fixed drafter of each answer and of two learners, and ratios to the generalist with 95 % bootstrap
intervals over answers, drawn within each domain.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.bundled import DATA
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.simulator.references import BEST_FIXED

GENERALIST = "fixed:generalist"
DRAWS = 2000
LONG = 200  # tokens of a long answer


class Answers:
    """Tokens (Q) and expected rounds (Q) per selector of the answers of one trace."""

    def __init__(self, trace: Path):
        results = run_sweep([trace], SweepSettings(mode="auto", seeds=5, threads=2))
        [name] = results.summary["trace"].unique().to_list()
        [length] = results.summary["draft_length"].unique().to_list()
        self.title = f"{name}, K = {length}"
        table = (results.per_query.group_by("selector", "query", "domain", maintain_order=True)
                 .agg(pl.col("tokens").first(), pl.col("rounds").mean()).sort("query"))
        self.rounds = {selector: rows["rounds"].to_numpy()
                       for (selector,), rows in table.group_by("selector", maintain_order=True)}
        one = table.filter(pl.col("selector") == BEST_FIXED)
        self.tokens, self.domain = one["tokens"].to_numpy(), one["domain"].to_numpy()
        self.domains = list(dict.fromkeys(self.domain))
        self.selectors = results.summary["selector"].unique(maintain_order=True).to_list()
        self._draws = self._resample()

    def _resample(self) -> np.ndarray:
        """Indices (DRAWS, Q) of answers, drawn with replacement within each domain."""
        generator = np.random.default_rng(0)
        parts = [generator.choice(np.flatnonzero(self.domain == domain),
                                  (DRAWS, int((self.domain == domain).sum())))
                 for domain in self.domains]
        return np.concatenate(parts, axis=1)

    def mat(self, selector: str, where: np.ndarray | bool = True) -> float:
        """Tokens per round over the answers chosen."""
        chosen = np.broadcast_to(where, self.tokens.shape)
        return float(self.tokens[chosen].sum() / self.rounds[selector][chosen].sum())

    def ratio(self, selector: str, other: str, where: np.ndarray | bool = True) -> str:
        """How much higher its MAT is, with the interval, in percent."""
        chosen = np.broadcast_to(where, self.tokens.shape)[self._draws]
        sums = [np.where(chosen, self.rounds[name][self._draws], 0).sum(axis=1)
                for name in (selector, other)]
        low, high = np.quantile(sums[1] / sums[0], (0.025, 0.975))
        middle = self.mat(selector, where) / self.mat(other, where)
        return f"{middle - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"


def table(answers: Answers) -> str:
    """Markdown: MAT of each selector in each domain and over all."""
    lines = [f"| {answers.title} | " + " | ".join(answers.domains) + " | all |",
             "|---|" + "---:|" * (len(answers.domains) + 1)]
    for selector in answers.selectors:
        home = [answers.mat(selector, answers.domain == domain) for domain in answers.domains]
        cells = [f"**{mat:.2f}**" if selector == f"fixed:expert-{domain}" else f"{mat:.2f}"
                 for mat, domain in zip(home, answers.domains, strict=True)]
        name = selector.removeprefix("fixed:")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {answers.mat(selector):.2f} |")
    return "\n".join(lines) + "\n"


def comparisons(answers: Answers) -> str:
    """Markdown: MAT over the generalist's, and learners over the best fixed drafter."""
    experts = [name for name in answers.selectors if name.startswith("fixed:expert-")]
    lines = ["| MAT of | over that of | on | difference |", "|---|---|---|---:|"]
    for expert in experts:
        home = expert.removeprefix("fixed:expert-")
        lines.append(f"| expert-{home} | generalist | {home} | "
                     f"{answers.ratio(expert, GENERALIST, answers.domain == home)} |")
    for expert in experts:
        lines.append(f"| {expert.removeprefix('fixed:')} | generalist | all domains | "
                     f"{answers.ratio(expert, GENERALIST)} |")
    lines.append(f"| best fixed of each answer | generalist | all domains | "
                 f"{answers.ratio(BEST_FIXED, GENERALIST)} |")
    for learner in ("normalhedge", "hedge", "ucbspec", "exp3spec"):
        lines.append(f"| {learner} | best fixed of each answer | answers over {LONG} tokens | "
                     f"{answers.ratio(learner, BEST_FIXED, answers.tokens > LONG)} |")
    return "\n".join(lines) + "\n"


def report(trace: Path) -> str:
    """Both tables."""
    answers = Answers(trace)
    return f"{table(answers)}\n{comparisons(answers)}"


def main() -> None:
    """Print the report."""
    default = DATA / "traces" / "domain-mix-t0.7"
    print(report(Path(sys.argv[1]) if len(sys.argv) > 1 else default), end="")


if __name__ == "__main__":
    main()
