"""What two GPUs of one host give a recording: twice the speed, or a target that one does not hold.

    python -m benchmarks.two_gpus
    python -m benchmarks.two_gpus --device cpu --dtype float32 --shape toy --questions 16 \\
        --max-new-tokens 8 --batch-size 4 --heads 1 --answers 4 --tokens 8

First the same questions are recorded by one process, and by --parts of them under torchrun, each on
its GPU: of the default target, with prompt lookup and EAGLE-3 heads as the bundled experiment has
them, but of random weights, for speed depends on shapes alone. Counted is the time from when the
models are loaded until the trace is whole, and with the loading. Both traces must be the same.

Then a target with random weights of a named shape writes answers on one GPU and split over all, and
both score what the first wrote. How far their statistics are apart is set against how far those of
one GPU are when it scores the same answers one by one, which is rounding and nothing else.

Prints tables and writes build/two-gpus.json. On a CPU the layers are spread over it twice.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep, time
from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.live_parts import SHAPES, shaped_target
from hedgespec.bundled import PROMPTS
from hedgespec.costs.measure import device_name
from hedgespec.costs.profile import TARGETS, random_heads
from hedgespec.files import parse_json
from hedgespec.models import smollm2
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import Drafter, make_drafters
from hedgespec.models.heads.eagle import save_head
from hedgespec.models.options import SPLIT
from hedgespec.models.split import spread
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.results.markdown import markdown
from hedgespec.tracegen.generate import generate_answers, query_uniforms
from hedgespec.tracegen.record import CHUNK_ROWS
from hedgespec.tracegen.score import Scores, score
from hedgespec.traces import load_manifest, read_trace
from hedgespec.traces.schema import MANIFEST, RECORDING

STATISTICS = ("log_p", "log_q", "gamma", "p_top")
# How far statistics of one text may be apart by the rounding of a pass.
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1}
_CHECKED = 0.02  # seconds between looks at a recording
_PROMPT = 32  # tokens of the made-up prompts
_SAMPLING = Sampling(0.5)


@dataclass(frozen=True)
class Recorded:
    """A recording by some processes: seconds with and without loading, and tokens."""

    parts: int
    tokens: int
    seconds: float
    loading: float

    @property
    def rate(self) -> float:
        """Tokens per second once the models are loaded."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Compared:
    """A target on one device and split over several: differences of statistics on one text.

    `split` and `alone` have the mean and the largest by the statistic's name: those of the split
    target, and of the one device when it scores answers one by one. `same_tokens` is the part of
    the answers' tokens that both wrote alike.
    """

    shape: str
    devices: int
    tokens: int
    same_tokens: float
    split: dict[str, tuple[float, float]]
    alone: dict[str, tuple[float, float]]

    @property
    def largest_split(self) -> float:
        """The largest difference of log p between one device and several."""
        return self.split["log_p"][1]

    @property
    def largest_alone(self) -> float:
        """The largest difference of log p between answers read together and one by one."""
        return self.alone["log_p"][1]


def main() -> None:
    """Measure both, print the tables, and write what was found."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        command = _command(options, Path(folder))
        runs = [
            recorded(command, parts, Path(folder) / f"parts-{parts}")
            for parts in (1, options.parts)
        ]
        apart = {
            name: largest
            for name, (_, largest) in _apart(
                *(_statistics(Path(folder) / f"parts-{run.parts}") for run in runs)
            ).items()
        }
    print(_recording_table(runs, apart), flush=True)
    found = compared(options.shape, options.device, options.dtype, options.answers, options.tokens)
    print(_split_table(found))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps(
            {
                "device": device_name(*[torch.device(options.device)] * _devices(options.device)),
                "torch": torch.__version__,
                "recording": {
                    "runs": [{**asdict(run), "rate": run.rate} for run in runs],
                    "times": runs[1].rate / runs[0].rate,
                    "largest_difference": apart,
                },
                "split": asdict(found),
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="cuda", choices=("cuda", "cpu"))
    add("--parts", type=int, default=2)
    add("--target", default=smollm2.NAME, help="that is recorded")
    add("--heads", type=int, default=8)
    add("--draft-vocabulary", type=int, default=12288)
    add("--questions", type=int, default=1024)
    add("--max-new-tokens", type=int, default=256)
    add("--batch-size", type=int, default=64)
    add("--shape", default="llama-3.1-8b", choices=(*SHAPES, *TARGETS), help="that is split")
    add("--dtype", default="bfloat16", help="of the target that is split")
    add("--answers", type=int, default=16)
    add("--tokens", type=int, default=128)
    add("--out", type=Path, default=Path("build/two-gpus.json"))
    return parser.parse_args()


def _command(options: argparse.Namespace, folder: Path) -> list[str]:
    """Arguments of `hedgespec record`, but for where the trace goes; float32, as the bundled
    experiment."""
    questions = folder / "questions.jsonl"
    lines = [parse_json(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    questions.write_text(
        "".join(
            json.dumps(
                {
                    **lines[number % len(lines)],
                    "question_id": number,
                    "turns": lines[number % len(lines)]["turns"][:1],
                }
            )
            + "\n"
            for number in range(options.questions)
        ),
        encoding="utf-8",
    )
    torch.manual_seed(0)
    target = load_model(options.target, "cpu", "float32")
    drafters = ["prompt-lookup"]
    for head in random_heads(target, options.heads, options.draft_vocabulary):
        save_head(head.head, folder / head.name)
        drafters.append(f"eagle:{folder / head.name}")
    return [
        "hedgespec",
        "record",
        "--target",
        options.target,
        "--prompts",
        str(questions),
        "--temperature",
        "0.7",
        "--max-new-tokens",
        str(options.max_new_tokens),
        "--batch-size",
        str(options.batch_size),
        "--device",
        options.device,
        "--dtype",
        "float32",
        "--no-costs",
        "--name",
        "two-gpus",
        *(word for drafter in drafters for word in ("--drafter", drafter)),
    ]


def recorded(command: list[str], parts: int, out: Path) -> Recorded:
    """Record with some processes, and time it."""
    started, loaded = time(), 0.0
    launcher = (
        [sys.executable, "-m"]
        if parts == 1
        else [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(parts),
            "-m",
        ]
    )
    process = subprocess.Popen(
        [*launcher, *command, "--out", str(out)], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    while process.poll() is None:
        if not loaded and (out / RECORDING).exists():
            loaded = time()
        sleep(_CHECKED)
    if process.returncode:
        raise SystemExit(f"{parts} part(s): hedgespec record ended with {process.returncode}")
    whole = (out / MANIFEST).stat().st_mtime
    return Recorded(parts, load_manifest(out).tokens, whole - loaded, loaded - started)


def _statistics(trace: Path) -> dict[str, np.ndarray]:
    found = read_trace(trace)
    return {"token": found.tokens, **{name: getattr(found, name) for name in STATISTICS}}


@dataclass(frozen=True)
class _Pool:
    """A target of random weights and drafters for it, on a device, "cuda" or "cpu"."""

    target: LanguageModel
    drafters: list[Drafter]
    device: str

    @classmethod
    def made(cls, shape: str, device: str, dtype: str, split: bool) -> "_Pool":
        """Always with the same weights; `split` over all GPUs, or over a CPU twice."""
        torch.manual_seed(0)
        target = shaped_target(shape, SPLIT if split and device == "cuda" else device, dtype)
        if split and device == "cpu":
            cpu = torch.device("cpu")
            spread(target.model, [(cpu, 1 << 40), (cpu, 1 << 40)])
        heads = random_heads(target, 2, 1024)
        target.tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=None)  # no answer ends
        layers = sorted({max(1, target.layers * part // 4) for part in (1, 2, 3)})
        exits = [f"early-exit:{layer}" for layer in layers]
        return cls(target, make_drafters([*exits, "prompt-lookup", *heads], target), device)

    def written(self, prompts: list[list[int]], tokens: int) -> list[list[int]]:
        """Answers of so many tokens."""
        answers = generate_answers(
            self.target,
            prompts,
            [tokens] * len(prompts),
            [query_uniforms(0, number, tokens) for number in range(len(prompts))],
            _SAMPLING,
        )
        return [answer.tokens for answer in answers]

    def scored(self, prompts: list[list[int]], texts: list[list[int]]) -> Scores:
        """Statistics of answers that are read together."""
        scores, _ = score(
            self.target, self.drafters, prompts, texts, _SAMPLING, CHUNK_ROWS[self.device]
        )
        return scores


def compared(shape: str, device: str, dtype: str, answers: int, tokens: int) -> Compared:
    """A target of random weights on one device, "cuda" or "cpu", and split.

    It writes `answers` of as many `tokens` each.
    """
    one = _Pool.made(shape, device, dtype, split=False)
    prompts = torch.randint(
        one.target.vocabulary_size, (answers, _PROMPT), generator=torch.Generator().manual_seed(0)
    ).tolist()
    texts = one.written(prompts, tokens)
    together = _by_name([one.scored(prompts, texts)])
    alone = _by_name(
        [one.scored([prompt], [text]) for prompt, text in zip(prompts, texts, strict=True)]
    )
    weights = one.target.weights_sha256
    del one  # makes room for the other
    two = _Pool.made(shape, device, dtype, split=True)
    if two.target.weights_sha256 != weights:
        raise SystemExit("the two targets have other weights")
    alike = np.mean(np.array(two.written(prompts, tokens)) == np.array(texts))
    return Compared(
        shape,
        _devices(device),
        answers * tokens,
        float(alike),
        _apart(together, _by_name([two.scored(prompts, texts)])),
        _apart(together, alone),
    )


def _devices(device: str) -> int:
    return torch.cuda.device_count() if device == "cuda" else 2


def _by_name(scores: list[Scores]) -> dict[str, np.ndarray]:
    """Statistics of all scored answers by their names, those of all drafters one after another."""
    columns = sorted(scores[0].drafters)
    return {
        "log_p": np.concatenate([one.log_p for one in scores]),
        **{
            name: np.concatenate(
                [
                    one.drafters[column].astype(np.float32)
                    for column in columns
                    if column.startswith(f"{name}/")
                    for one in scores
                ]
            )
            for name in STATISTICS[1:]
        },
    }


def _apart(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> dict[str, tuple[float, float]]:
    """Mean and largest difference of each statistic."""
    found = {}
    for name, values in one.items():
        others = other[name]
        if values.shape != others.shape:
            raise SystemExit(f"{name}: {values.shape} against {others.shape}")
        apart = np.zeros(values.shape)
        other_number = values != others  # where both are -inf there is no difference
        apart[other_number] = np.abs(values[other_number] - others[other_number].astype(float))
        found[name] = float(apart.mean()), float(apart.max())
    return found


def _recording_table(runs: list[Recorded], apart: dict[str, float]) -> str:
    table = markdown(
        ["recording", "tokens", "s", "tokens/s", "times one", "s with loading"],
        [
            [
                f"{run.parts} process{'es' * (run.parts > 1)}",
                f"{run.tokens:,}",
                f"{run.seconds:.1f}",
                f"{run.rate:,.0f}",
                f"{run.rate / runs[0].rate:.2f}",
                f"{run.seconds + run.loading:.1f}",
            ]
            for run in runs
        ],
    )
    largest = ", ".join(f"{name} {value:.2g}" for name, value in apart.items())
    return f"{table}\nLargest differences between the two traces: {largest}\n"


def _split_table(found: Compared) -> str:
    table = markdown(
        ["statistic", "split, mean", "split, largest", "one by one, mean", "one by one, largest"],
        [
            [name, *(f"{value:.2g}" for value in (*found.split[name], *found.alone[name]))]
            for name in STATISTICS
        ],
    )
    return (
        f"{found.shape} over {found.devices} devices, {found.tokens:,} tokens; "
        f"{found.same_tokens:.1%} of them written alike. Differences to one device:\n\n{table}"
    )


if __name__ == "__main__":
    main()
