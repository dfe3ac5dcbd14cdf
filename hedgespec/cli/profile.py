"""`hedgespec profile`: what a round costs for a target whose weights are not at hand."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hedgespec.cli.common import chosen_device, chosen_dtype, require_models
from hedgespec.errors import arg
from hedgespec.options import add_options, refuse_idle, with_given

if TYPE_CHECKING:
    from hedgespec.costs.profile import Profile
    from hedgespec.costs.settings import ProfileSettings
    from hedgespec.models.drafters.eagle import Eagle
    from hedgespec.models.target import LanguageModel
    from hedgespec.traces import Costs

EPILOG = """\
examples:
  hedgespec profile --target-config llama-3.1-8b --out costs.json
  hedgespec sim --costs costs.json --traces domain-mix-t0.7     tokens/s under these costs
  hedgespec profile --target-config config.json --heads 4 --draft-length 8
  hedgespec profile --target-config qwen3-8b --batches 4 16 64 --contexts 2048 --out costs.json

Speed depends on shapes, not on values, so the target and its EAGLE-3 heads have random weights.
Acceptance is not measured. Needs the `models` extra; --target-config llama-3.1-8b needs about 30 GB
of GPU memory.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "profile",
        epilog=EPILOG,
        description="Measure the seconds of target, drafting, evaluation and selection.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--target-config",
        required=True,
        metavar="NAME",
        help="llama-3.1-8b, qwen3-8b, qwen3-32b, smollm2-135m, or a model's config.json",
    )
    add_options(parser, _defaults())
    add("--out", type=Path, metavar="FILE", help="write the costs as JSON, for `hedgespec sim`")
    add(
        "--resume",
        action="store_true",
        help="go on from FILE.unfinished, which must have the same settings",
    )
    parser.set_defaults(run=run)


def _defaults() -> "ProfileSettings":
    from hedgespec.costs.settings import ProfileSettings

    return ProfileSettings(device="auto", dtype="auto")


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    require_models("profiling")
    from hedgespec.costs.file import save_measured, save_unfinished, unfinished
    from hedgespec.costs.profile import profile
    from hedgespec.models.target import check_device

    refuse_idle(
        {"resume": True} if options.resume else {},
        [("resume", options.out is not None, f"it reads beside {arg('out')}; give that too")],
    )
    settings = with_given(_defaults(), options)
    device = chosen_device(settings.device)
    check_device(device)
    settings = replace(settings, device=device, dtype=chosen_dtype(settings.dtype, device))
    out: Path | None = options.out
    keep = (lambda costs: None) if out is None else partial(save_unfinished, out)
    known = unfinished(out) if options.resume and out is not None else None
    found = profile(options.target_config, settings, partial(_measure, settings, keep, known))
    _print(found)
    if out is not None:
        save_measured(out, found.costs)
        print(f"costs: {out}")
    return 0


def _measure(
    settings: "ProfileSettings",
    keep: "Callable[[Costs], object]",
    known: "Costs | None",
    target: "LanguageModel",
    drafters: "list[Eagle]",
) -> "Costs":
    """Costs of the parts of a round on fixed tensors; what there is goes to `keep`."""
    from hedgespec.live import DecoderSettings, LiveDecoder
    from hedgespec.models.distributions import Sampling

    decoding = DecoderSettings(
        sampling=Sampling(0.7),
        draft_length=settings.draft_length,
        static=True,
        compiled=settings.compiled,
    )
    return LiveDecoder(target, list(drafters), settings.selector, decoding).costs(
        settings.context,
        settings.widths,
        settings.repeats,
        settings.batches,
        settings.contexts,
        keep,
        known,
    )


def _print(found: "Profile") -> None:
    costs, heads = found.costs, found.heads
    step = next(iter(costs.drafters.values()))
    rows = [
        *(
            (f"target, {width} token{'s' * (width != '1')}", seconds)
            for width, seconds in costs.widths.items()
        ),
        ("one draft step", step.step),
        (f"draft of {costs.draft_length} tokens", found.draft),
        ("evaluation of one head", step.evaluate),
        (f"evaluation of {heads} heads", found.evaluate_all),
        *(
            (f"evaluation of {heads} heads on {count} tokens", seconds)
            for count, seconds in costs.reads.items()
        ),
        ("overhead of a round", costs.overhead),
        ("overhead of an evaluation", costs.evaluation_overhead),
        ("whole round", found.round_seconds),
        (f"{found.selector}, {heads} drafters, alone", found.selector_seconds),
    ]
    print(
        f"{found.target} with random weights, {costs.dtype}, {costs.device}, batch 1, after "
        f"{costs.context} tokens"
    )
    for name, seconds in rows:
        print(f"{name:26s} {seconds * 1e3:10.4f} ms {seconds / found.round_seconds:8.2%}")
    for one in costs.conditions:
        draft = next(iter(one.drafters.values())).draft
        print(
            f"batch {one.batch}, after {one.context} tokens: target "
            f"{one.target.one * 1e3:.3f} and {one.target.round * 1e3:.3f} ms, draft "
            f"{draft * 1e3:.3f}, evaluation {(one.evaluate_all or 0) * 1e3:.3f}"
        )
