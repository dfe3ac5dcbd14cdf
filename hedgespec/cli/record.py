"""`hedgespec record`: run real models once and write a trace."""

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from hedgespec.bridges.settings import ServerSettings, is_server
from hedgespec.cli.common import (
    Lines,
    chosen_device,
    chosen_dtype,
    part_of_torchrun,
    require_models,
)
from hedgespec.errors import HedgespecError, arg
from hedgespec.options import add_options, given_options, refuse_idle, with_given

if TYPE_CHECKING:
    from hedgespec.tracegen.settings import RecordingProgress, RecordSettings
    from hedgespec.traces import Manifest

EPILOG = """\
examples:
  hedgespec record                          SmolLM2-135M and drafters made from it, own questions
  hedgespec record --target meta-llama/Llama-3.1-8B-Instruct \\
      --drafter small=lm:meta-llama/Llama-3.2-1B-Instruct --drafter prompt-lookup \\
      --prompts question.jsonl --temperature 0 --out traces/llama-greedy
  hedgespec record --resume ...             continue after an interruption
  hedgespec record --device split ...       a target too large for one GPU, on all of them
  hedgespec record --target http://127.0.0.1:8000 --drafter small=http://127.0.0.1:8001 \\
      --top-k 20 --temperature 0.7 --prompts question.jsonl --out traces/served
                                            from running servers of vLLM, SGLang or llama.cpp

drafters, each [NAME=]FAMILY[:ARGUMENT]:
  lm:MODEL             a Hugging Face id, folder or .gguf with the target's tokenizer
  eagle:FOLDER         an EAGLE-1/2/3 head for the target (config.json, safetensors)
  parallel:FOLDER      a head that drafts all tokens in one pass, from mask tokens
  redrafter:FOLDER[,B] a recurrent head, B (default 4) beams; temperature 0 only
  early-exit:LAYER     the target's first LAYER layers
  prompt-lookup[:N]    copy what followed the last N (default 3) tokens before
  ngram[:N]            sample from the continuations of the last N (default 3) tokens

Recording from servers (docs/engines.md) needs the `servers` extra only, and each drafter is
NAME=http://HOST:PORT. Everything else needs the `models` extra (in a clone: pip install -e
'.[models]'). On a CPU the defaults are one question per domain and 96 tokens; use a GPU for more.
The format: docs/trace-format.md.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "record",
        epilog=EPILOG,
        description="The target answers each prompt; every drafter is scored on the answer.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, _defaults())
    add_options(parser, ServerSettings())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Record with a progress bar; say where the trace is."""
    import sys

    if is_server(vars(options).get("RecordSettings.target", "")):
        return _run_servers(options)
    _refuse(given_options(options, ServerSettings), "applies to servers, and the target is none")
    require_models("recording")
    from hedgespec.live.pool_costs import RecordedCosts
    from hedgespec.tracegen.record import record

    settings = _settings(options)
    if settings.device == "cpu":
        print(
            f"no GPU in use: recording up to {settings.max_new_tokens} tokens per answer"
            + (f", {settings.per_domain} question(s) per domain" if settings.per_domain else "")
            + "; a GPU is wanted for more",
            file=sys.stderr,
        )
    try:
        with Bar() as bar:
            manifest = record(settings, bar.update, measure=RecordedCosts(settings.compiled))
    except KeyboardInterrupt:
        print(
            "interrupted; finished batches are kept: run the same command with --resume",
            file=sys.stderr,
        )
        return 130
    seconds = manifest.recording["seconds"]
    print(
        f"{settings.out}: {manifest.queries} queries, {manifest.tokens} tokens, "
        f"{len(manifest.drafters)} drafters; loading took {seconds['load']:.1f} s, measuring "
        f"costs {seconds['costs']:.1f} s, generating {seconds['generate']:.1f} s, scoring "
        f"{seconds['score']:.1f} s\n{_next(settings.out)}"
    )
    _tell_left_out(manifest)
    return 0


def _run_servers(options: argparse.Namespace) -> int:
    """Record from servers; say where the trace is, and what it does not know."""
    import sys

    from hedgespec.bridges.record import record_from_servers
    from hedgespec.tracegen.settings import RecordSettings

    given = given_options(options, RecordSettings)
    _refuse(
        {name for name in ("device", "dtype", "compiled") if name in given},
        "applies to models that run here; servers have their own",
    )
    settings = replace(_defaults(), **{**_named(given), **given})
    try:
        with Bar() as bar:
            manifest = record_from_servers(
                settings, with_given(ServerSettings(), options), bar.update
            )
    except KeyboardInterrupt:
        print(
            "interrupted; finished answers are kept: run the same command with --resume",
            file=sys.stderr,
        )
        return 130
    print(
        f"{settings.out}: {manifest.queries} queries, {manifest.tokens} tokens, "
        f"{len(manifest.drafters)} drafters; gamma: {manifest.recording['gamma']}\n"
        f"{_next(settings.out)}"
    )
    _tell_left_out(manifest)
    return 0


def _next(trace: Path) -> str:
    """The command that replays what was recorded, into a folder of its own."""
    return f"replay it: hedgespec sim --traces {trace} --out results/{trace.name}"


def _refuse(given: Iterable[str], why: str) -> None:
    for name in given:
        raise HedgespecError(f"{arg(name)} {why}")


def _tell_left_out(manifest: "Manifest") -> None:
    import sys

    left_out = manifest.recording["left_out_for_lack_of_context"]
    if left_out:
        print(f"left out, their prompts fill the context: {', '.join(left_out)}", file=sys.stderr)


def _defaults() -> "RecordSettings":
    """What the command line begins with; `_settings` fills in what depends on the machine."""
    from hedgespec.bundled import PROMPTS
    from hedgespec.models import smollm2
    from hedgespec.tracegen.settings import RecordSettings

    return RecordSettings(
        target=smollm2.NAME,
        prompts=PROMPTS,
        out=Path("recordings"),
        name="",
        device="auto",
        dtype="auto",
    )


def _settings(options: argparse.Namespace) -> "RecordSettings":
    from hedgespec.models.settings import idle_at
    from hedgespec.tracegen.settings import (
        CPU_PER_DOMAIN,
        CPU_TOKENS,
        RecordSettings,
        idle_compiled,
    )

    given = given_options(options, RecordSettings)
    given = {**part_of_torchrun(given.get("device")), **given}
    settings = replace(_defaults(), **given)
    device = chosen_device(settings.device)
    refuse_idle(given, [*idle_at(settings.temperature), idle_compiled(device, settings.costs)])
    derived = _named(given)
    if device == "cpu":
        derived["max_new_tokens"] = CPU_TOKENS
        derived["per_domain"] = None if "prompts" in given else CPU_PER_DOMAIN
    return replace(
        settings,
        **{**derived, **given, "device": device, "dtype": chosen_dtype(settings.dtype, device)},
    )


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    """Name and folder, where they are not given."""
    from hedgespec.traces.schema import name_of_folder

    settings = replace(_defaults(), **given)
    stem = re.sub(r"[^A-Za-z0-9.]+", "-", settings.prompts.stem).strip("-.") or "prompts"
    named = name_of_folder(given["out"]) if "out" in given else f"{stem}-t{settings.temperature:g}"
    name = given.get("name", named)
    return {"name": name, "out": Path("recordings") / name}


class Bar:
    """Progress bar over answers, with tokens per second and the time left, on standard error."""

    def __enter__(self) -> "Bar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichBar

        self._started = perf_counter()
        console = Console(stderr=True)
        self._lines = Lines(console)
        self._bar = RichBar(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("answers  {task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
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
            self._task,
            completed=progress.queries_done,
            total=progress.queries_total,
            rate=f"{rate:,.0f} tokens/s",
            description=trace + progress.phase,
        )
        self._lines.say(
            f"{trace}{progress.queries_done} of {progress.queries_total} answers after "
            f"{seconds:.0f} s: {progress.phase}"
        )

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
