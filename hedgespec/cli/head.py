"""`hedgespec head`: what an EAGLE head is made of, and how much of its drafts a target accepts."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgespec.cli.common import chosen_device, chosen_dtype, require_models, told
from hedgespec.options import add_options, given_options, refuse_idle, with_given

if TYPE_CHECKING:
    from hedgespec.models.settings import Sampling
    from hedgespec.tracegen.head_report import HeadReport
    from hedgespec.tracegen.head_settings import HeadSettings

EPILOG = """\
examples:
  hedgespec head zoo/generalist
  hedgespec head ./EAGLE3-LLaMA3.1-Instruct-8B --target meta-llama/Llama-3.1-8B-Instruct

Layers are numbered as Hugging Face counts hidden states; 0 is the embedding. Trainers write them
into config.json in one of two ways. The right one is the one that is accepted more. Needs the
`models` extra.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "head",
        epilog=EPILOG,
        description="Show dialect, flags, layers and tensors of an EAGLE head, and the acceptance "
        "probability at each draft depth on the target's own text.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder with config.json and tensors"
    )
    for settings in _defaults():
        add_options(parser, settings)
    parser.set_defaults(run=run)


def _defaults() -> "tuple[HeadSettings, Sampling]":
    from hedgespec.models import smollm2
    from hedgespec.models.settings import Sampling
    from hedgespec.tracegen.head_settings import HeadSettings

    return HeadSettings(smollm2.NAME, device="auto", dtype="auto"), Sampling(temperature=0.0)


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {
        name: value
        for settings in _defaults()
        for name, value in given_options(options, type(settings)).items()
    }


def run(options: argparse.Namespace) -> int:
    """Read, try, print."""
    require_models("trying a head")
    from hedgespec.models.drafters import check_before_loading
    from hedgespec.models.heads.config_keys import check_folder
    from hedgespec.models.settings import idle_at
    from hedgespec.models.target import check_device, load_model
    from hedgespec.tracegen.head_report import report_head

    given, (settings, sampling) = _given(options), _defaults()
    settings, sampling = with_given(settings, options), with_given(sampling, options)
    refuse_idle(given, idle_at(sampling.temperature, seed=True))
    device = chosen_device(settings.device)
    check_device(device)
    settings = replace(settings, device=device, dtype=chosen_dtype(settings.dtype, device))
    check_folder(options.folder)
    check_before_loading(settings.target)
    with told(f"loading {settings.target}"):
        target = load_model(settings.target, device, settings.dtype)
    with told("trying the head on the target's own text"):
        found = report_head(options.folder, target, settings, sampling)
    _print(found, settings, sampling)
    return 0


def _print(found: "HeadReport", settings: "HeadSettings", sampling: "Sampling") -> None:
    print(f"EAGLE-{found.generation} head in the dialect {found.dialect}")
    print(
        "flags: "
        + (", ".join(f"{name} = {value}" for name, value in found.flags.items()) or "none")
    )
    for trial in found.trials:
        print(
            f"layers {list(trial.layers)} if config.json counts {trial.counts}"
            + (" (used)" if trial.used else "")
        )
    print("tensors:")
    width = max(map(len, found.tensors))
    for name, (shape, dtype) in found.tensors.items():
        print(f"  {name:{width}s}  {dtype} {list(shape)}")
    print(
        f"acceptance at draft depths 1, 2, ... on {found.tokens} tokens of {settings.target}, "
        f"temperature {sampling.temperature:g}:"
    )
    for trial in found.trials:
        print(
            f"  layers {list(trial.layers)}: "
            + " ".join(f"{value:.3f}" for value in trial.acceptance)
        )
    if not any(trial.used for trial in found.trials):
        print(
            "the config does not say which of these it means: write the right ones into its "
            "top level as eagle_aux_hidden_state_layer_ids"
        )
