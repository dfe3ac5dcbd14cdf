"""A chosen-arm log: what a log of rounds says of drafters that did not run, if anything.

It is bandit feedback. Where the log has the probability of each choice, the mean tokens of a
drafter's rounds is estimated by self-normalised inverse propensities (Swaminathan and Joachims,
2015): over the rounds that the logging policy reached, not those that the drafter alone would.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.bridges.imports.contract import Imported
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import check_new, make_folder, sha256_file, write_table, write_text
from hedgespec.results.statistics import mat_estimate

LOG, ROUNDS_FILE = "import.json", "rounds.parquet"


@dataclass(frozen=True)
class Estimated:
    """Mean tokens of a drafter's rounds with a 95 % interval over requests, NaN of fewer than three
    or if the drafter runs in few of them; `effective` is the number of rounds that the weights are
    worth."""

    drafter: str
    tokens: float
    low: float
    high: float
    effective: float


def off_policy(rounds: pl.DataFrame) -> list[Estimated]:
    """Of each drafter, from a log with propensities; empty without, or of one drafter."""
    drafters = rounds["drafter"].unique(maintain_order=True).to_list()
    if len(drafters) < 2 or rounds["propensity"].null_count():
        return []
    requests = (
        rounds["request"].to_physical()
        if rounds["request"].dtype == pl.Categorical
        else (rounds["request"].rank("dense"))
    )
    number = requests.to_numpy().astype(int) - 1
    emitted = rounds["accepted"].to_numpy() + 1.0
    found = []
    for drafter in drafters:
        weight = (rounds["drafter"] == drafter).to_numpy() / rounds["propensity"].to_numpy()
        with np.errstate(invalid="ignore", divide="ignore"):  # draws in which it never runs
            tokens = mat_estimate(
                np.bincount(number, weight * emitted), np.bincount(number, weight)[:, None]
            )
        found.append(
            Estimated(
                drafter,
                float(tokens.value[0]),
                float(tokens.low[0]),
                float(tokens.high[0]),
                float(weight.sum() ** 2 / (weight**2).sum()),
            )
        )
    return found


def may_be_done(found: Imported) -> str:
    """What can honestly be done with a log."""
    if found.rounds is None:
        return "counts alone: a descriptive table, nothing to replay"
    if found.rounds["drafter"].n_unique() < 2:
        return "rounds of one drafter: a descriptive table; of others it says nothing"
    if found.rounds["propensity"].null_count():
        return (
            "rounds of several drafters without the probabilities of their choice: a "
            "descriptive table, in which drafters are not to be compared"
        )
    return "rounds of several drafters with propensities: off-policy estimates"


def save(found: Imported, source: Path, format: str, out: Path) -> None:
    """Write the rounds and what made them. Raises HedgespecError for a folder that is not empty, or
    a log without rounds."""
    if found.rounds is None:
        raise HedgespecError(f"{arg('out', out)}: {source} holds counts alone, no rounds to keep")
    check_new(out)
    make_folder(out)
    sha256 = write_table(out / ROUNDS_FILE, found.rounds)
    write_text(
        out / LOG,
        json.dumps(
            {
                "format": format,
                "source": source.name,
                "source_sha256": sha256_file(source),
                "tables": {ROUNDS_FILE: sha256},
                "may_be_done": may_be_done(found),
            },
            indent=1,
        )
        + "\n",
    )
