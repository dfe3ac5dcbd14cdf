"""Records the experiment of the bundled traces: a zoo on a mix of domains, and on prompts that ask
for long answers, at each temperature."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hedgespec.bundled import LONG_PROMPTS
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import check_writable
from hedgespec.tracegen.record import costs_as_read, record
from hedgespec.tracegen.settings import RecordingProgress, RecordSettings
from hedgespec.tracegen.setup import Loaded, Setup
from hedgespec.traces import Costs, Manifest, load_manifest
from hedgespec.traces.schema import MANIFEST, RECORDING
from hedgespec.zoo.questions import held_out_questions, rephrased, write_questions
from hedgespec.zoo.settings import (
    GENERAL,
    GENERALIST,
    MIXED,
    PARALLEL,
    RECURRENT,
    ExperimentSettings,
    ZooSettings,
)


@dataclass(frozen=True)
class Recording:
    """One trace of the experiment: a file of prompts and a temperature."""

    name: str
    prompts: Path
    temperature: float
    max_new_tokens: int


def zoo_drafters(zoo: ZooSettings, temperature: float) -> tuple[str, ...]:
    """Specifications of the zoo's drafters and of prompt lookup.

    The recurrent head drafts at temperature 0 only.
    """
    heads = [
        GENERALIST,
        *([MIXED] if zoo.mixed and zoo.domains else []),
        *(f"expert-{domain}" for domain in zoo.domains),
    ]
    methods = [
        name
        for name in (PARALLEL, RECURRENT)
        if name in zoo.methods and (name != RECURRENT or temperature == 0)
    ]
    return (
        *(f"{name}=eagle:{zoo.out / name}" for name in heads),
        *(f"{name}:{zoo.out / name}" for name in methods),
        *(f"small-{domain}=lm:{zoo.out / f'small-{domain}'}" for domain in zoo.small),
        "prompt-lookup",
    )


def plan_recordings(zoo: ZooSettings, settings: ExperimentSettings) -> list[Recording]:
    """Write the prompt files; list the recordings.

    Raises HedgespecError if Spec-Bench's file does not exist, or for a temperature out of range.
    """
    settings.check()
    check_writable(settings.out)
    if settings.spec_bench is not None and not settings.spec_bench.is_file():
        raise HedgespecError(f"{arg('spec_bench', settings.spec_bench)}: no such file")
    folder = settings.out / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    mix, other = folder / "domain-mix.jsonl", folder / "rephrased.jsonl"
    questions = [
        question
        for domain in (GENERAL, *zoo.domains)
        for question in held_out_questions(domain, settings.per_domain, zoo.seed)
    ]
    write_questions(questions, mix)
    write_questions([rephrased(question) for question in questions], other)
    plans = [
        (mix, list(settings.temperatures), settings.max_new_tokens),
        (
            other,
            [
                temperature
                for temperature in settings.rephrased_temperatures
                if temperature in settings.temperatures
            ],
            settings.max_new_tokens,
        ),
    ]
    if settings.long:
        plans.append((LONG_PROMPTS, list(settings.temperatures), settings.long_tokens))
    if settings.spec_bench is not None:
        plans.append((settings.spec_bench, list(settings.temperatures), settings.spec_bench_tokens))
    return [
        Recording(
            f"{'spec-bench' if prompts == settings.spec_bench else prompts.stem}-t{temperature:g}",
            prompts,
            temperature,
            tokens,
        )
        for prompts, temperatures, tokens in plans
        for temperature in temperatures
    ]


def record_experiment(
    zoo: ZooSettings,
    settings: ExperimentSettings,
    report: Callable[[str, RecordingProgress], None] = lambda name, progress: None,
    measure: Callable[[Setup], Costs] = costs_as_read,
) -> list[Manifest]:
    """Record every trace of the experiment with a zoo that was made before.

    A trace that is there already is kept, an interrupted one resumed. Of several parts of the zoo
    each records its part of every trace. `report` is told the trace
    and its progress; `measure` as in `record`. Raises HedgespecError on bad input.
    """
    manifests = []
    loaded = Loaded()
    for plan in plan_recordings(zoo, settings):
        out = settings.out / plan.name
        base = RecordSettings(
            target=zoo.target,
            prompts=plan.prompts,
            out=out,
            name=plan.name,
            drafters=(*zoo_drafters(zoo, plan.temperature), *settings.drafters),
            temperature=plan.temperature,
            seed=zoo.seed,
            max_new_tokens=plan.max_new_tokens,
            device=zoo.device,
            dtype=settings.dtype,
            rules=settings.rules,
            trees=settings.trees,
            part=zoo.part,
            compiled=settings.compiled,
        )
        if (out / MANIFEST).is_file():
            manifests.append(load_manifest(out))
            continue
        manifests.append(
            record(
                replace(base, resume=(out / RECORDING).is_file()),
                partial(report, plan.name),
                loaded,
                measure,
            )
        )
    return manifests
