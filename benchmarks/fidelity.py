"""Decodes live with three selectors, greedily and sampling, and replays the logs: `make fidelity`.

python -m benchmarks.fidelity [--target MODEL] [--drafter SPEC ...] [--device cuda]
                              [--rule RULE] [--trees SHAPE]
"""

import argparse
import shutil
import sys
from pathlib import Path

from hedgespec.cli import main as hedgespec

SELECTORS = ("normalhedge", "exp3spec", "ucbspec")
TEMPERATURES = ("0", "0.7")


def main() -> int:
    """Run `hedgespec live` and `hedgespec fidelity` for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="smollm2-135m-instruct")
    parser.add_argument("--drafter", action="append", default=[])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rule", default="auto")
    parser.add_argument("--trees", nargs="+", default=[])
    parser.add_argument("--max-new-tokens", default="48")
    parser.add_argument("--out", type=Path, default=Path("build/fidelity"))
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    drafters = [word for text in options.drafter for word in ("--drafter", text)]
    trees = ["--trees", *options.trees] if options.trees else []
    logs = []
    for selector in SELECTORS:
        for temperature in TEMPERATURES:
            log = options.out / f"{selector}-t{temperature}"
            status = hedgespec(
                [
                    "live",
                    "--target",
                    options.target,
                    "--device",
                    options.device,
                    "--selector",
                    selector,
                    "--temperature",
                    temperature,
                    "--max-new-tokens",
                    options.max_new_tokens,
                    "--rule",
                    options.rule,
                    "--no-costs",
                    "--out",
                    str(log),
                    *trees,
                    *drafters,
                ]
            )
            if status:
                return status
            logs.append(str(log))
    return hedgespec(["fidelity", *logs])


if __name__ == "__main__":
    sys.exit(main())
