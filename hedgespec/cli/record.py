"""`hedgespec record`: run real models once and write a trace."""

import argparse
import re
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from hedgespec.cli.common import (
    add_device_options,
    add_rule_options,
    chosen_device,
    chosen_dtype,
    require_models,
)

if TYPE_CHECKING:
    from hedgespec.tracegen.record import RecordingProgress, RecordSettings

EPILOG = """\
examples:
  hedgespec record                          SmolLM2-135M and drafters made from it, own questions
  hedgespec record --target meta-llama/Llama-3.1-8B-Instruct \\
      --drafter small=lm:meta-llama/Llama-3.2-1B-Instruct --drafter prompt-lookup \\
      --prompts question.jsonl --temperature 0 --out traces/llama-greedy
  hedgespec record --resume ...             go on after any interruption

drafters, each [NAME=]FAMILY[:ARGUMENT]:
  lm:MODEL             a Hugging Face id, folder or .gguf with the target's tokenizer
  eagle:FOLDER         an EAGLE-1/2/3 head for the target (config.json, safetensors)
  parallel:FOLDER      a head that drafts all tokens in one pass, from mask tokens
  redrafter:FOLDER[,B] a recurrent head, B (default 4) beams; temperature 0 only
  early-exit:LAYER     the target's first LAYER layers
  prompt-lookup[:N]    copy what followed the last N (default 3) tokens before
  ngram[:N]            sample from the continuations of the last N (default 3) tokens

Needs the `models` extra: pip install -e '.[models]' in a clone. On a CPU the defaults are one
question per domain and 96 tokens; a GPU is wanted for more. Format: docs/trace-format.md.
"""

_CPU_PER_DOMAIN = 1
_CPU_TOKENS = 96
_TOKENS = 512


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "record", help="run a target and its drafters once; write a trace", epilog=EPILOG,
        description="The target writes an answer to each prompt; every drafter is scored on it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--target", default="smollm2-135m-instruct", metavar="MODEL",
        help="Hugging Face id, folder, .gguf file, or the default %(default)s (93 MB, fetched)")
    add("--drafter", action="append", default=[], dest="drafters", metavar="SPEC",
        help="repeat for each; default: four early exits, prompt-lookup and ngram")
    add("--prompts", type=Path, metavar="FILE",
        help="question.jsonl: question_id, category (the domain), turns (default: bundled)")
    add("--out", type=Path, metavar="DIR",
        help="the trace directory to make (default: recordings/NAME)")
    add("--name", help="name of the trace (default: prompts file and temperature)")
    add("--temperature", type=float, default=1.0, help="0 is greedy (default: %(default)s)")
    add("--top-p", type=float, default=1.0, help="default: %(default)s (off)")
    add("--top-k", type=int, default=0, help="default: %(default)s (off)")
    add("--seed", type=int, default=0, help="of the sampled text (default: %(default)s)")
    add("--max-new-tokens", type=int, metavar="N",
        help=f"longest answer (default: {_TOKENS}, on a CPU {_CPU_TOKENS})")
    add("--per-domain", type=int, metavar="N",
        help="questions of each domain (default: all of your --prompts, of the bundled ones "
             f"{_CPU_PER_DOMAIN} on a CPU)")
    add("--draft-length", type=int, default=5, metavar="K",
        help="the simulator's default for this trace; any other can be replayed too "
             "(default: %(default)s)")
    add("--batch-size", type=int, metavar="N",
        help="answers written at once (default: 256 on a GPU, 8 on a CPU; halved by itself when "
             "memory runs out)")
    add_device_options(parser)
    add_rule_options(parser)
    add("--precision", choices=("compact", "full"), default="compact",
        help="compact rounds statistics (docs/trace-format.md says how far); full keeps float32")
    add("--no-costs", action="store_false", dest="costs",
        help="do not measure what target and drafters cost in time (default: measured first)")
    add("--resume", action="store_true", help="go on with an interrupted recording in --out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Record with a progress bar; say where the trace is."""
    import sys

    require_models("recording")
    from hedgespec.tracegen.record import record

    options.device = chosen_device(options.device)
    settings = _settings(options)
    if options.device == "cpu":
        print(f"no GPU in use: recording up to {settings.max_new_tokens} tokens per answer"
              + (f", {settings.per_domain} question(s) per domain" if settings.per_domain else "")
              + "; a GPU is wanted for more", file=sys.stderr)
    try:
        with Bar() as bar:
            manifest = record(settings, bar.update)
    except KeyboardInterrupt:
        print("interrupted; finished batches are kept: run the same command with --resume",
              file=sys.stderr)
        return 130
    seconds = manifest.recording["seconds"]
    print(f"{settings.out}: {manifest.queries} queries, {manifest.tokens} tokens, "
          f"{len(manifest.drafters)} drafters; generating took {seconds['generate']:.1f} s, "
          f"scoring {seconds['score']:.1f} s\nreplay it: hedgespec sim --traces {settings.out}")
    left_out = manifest.recording["left_out_for_lack_of_context"]
    if left_out:
        print(f"left out, their prompts fill the context: {', '.join(left_out)}", file=sys.stderr)
    return 0


def _settings(options: argparse.Namespace) -> "RecordSettings":
    from hedgespec.bundled import PROMPTS
    from hedgespec.tracegen.record import RecordSettings

    on_cpu = options.device == "cpu"
    prompts = options.prompts or PROMPTS
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", prompts.stem).strip("-.") or "prompts"
    name = f"{stem}-t{options.temperature:g}" if options.name is None else options.name
    per_domain = options.per_domain
    if per_domain is None and options.prompts is None and on_cpu:
        per_domain = _CPU_PER_DOMAIN
    max_new_tokens = options.max_new_tokens
    if max_new_tokens is None:
        max_new_tokens = _CPU_TOKENS if on_cpu else _TOKENS
    return RecordSettings(
        target=options.target, prompts=prompts, out=options.out or Path("recordings") / name,
        name=name, drafters=tuple(options.drafters), temperature=options.temperature,
        top_p=options.top_p, top_k=options.top_k, seed=options.seed,
        max_new_tokens=max_new_tokens,
        draft_length=options.draft_length, per_domain=per_domain, batch_size=options.batch_size,
        device=options.device,
        dtype=chosen_dtype(options.dtype, options.device),
        precision=options.precision, costs=options.costs, resume=options.resume,
        rules=tuple(options.rules), trees=tuple(options.trees),
    )


class Bar:
    """Progress bar over answers, with tokens per second and the time left, on standard error."""

    def __enter__(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBar

        self._started = perf_counter()
        self._bar = RichBar(
            BarColumn(), MofNCompleteColumn(), TextColumn("answers  {task.fields[rate]}"),
            TimeRemainingColumn(), TextColumn("{task.description}"), console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("", rate="", total=None)
        self._bar.start()
        return self

    def update(self, progress: "RecordingProgress", trace: str = "") -> None:
        """Show the recorder's progress, perhaps with the trace's name before it."""
        seconds = perf_counter() - self._started
        rate = (progress.tokens - progress.tokens_resumed) / seconds
        self._bar.update(
            self._task, completed=progress.queries_done, total=progress.queries_total,
            rate=f"{rate:,.0f} tokens/s", description=trace + progress.phase,
        )

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
