"""What a recording says of itself: its fingerprint for resumption, and the trace's manifest."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from hedgespec.command import command_to_pass_on, package_versions
from hedgespec.costs.measure import device_name
from hedgespec.files import sha256_file, sha256_text
from hedgespec.tracegen.prompts import Query
from hedgespec.tracegen.setup import Setup
from hedgespec.traces import Costs, DrafterInfo, Manifest, RuleInfo, SamplingInfo
from hedgespec.traces.manifest import TARGET_LAYERS
from hedgespec.traces.schema import FEATURES
from hedgespec.version import __version__


def fingerprint(setup: Setup, batch_size: int, queries: Sequence[Query]) -> dict[str, Any]:
    """What must be the same on resumption: settings, models, and the first turns' prompts.

    A chat template may print the date, and a tokenizer's folder may be changed.
    """
    prompts = json.dumps([[query.prompt_sha256, query.prompt] for query in queries])
    apart = ("prompts", "out", "resume", "batch_size", "drafters", "costs", "compiled", "part")
    settings = {key: value for key, value in asdict(setup.settings).items() if key not in apart}
    return {
        **settings,
        "batch_size": batch_size,
        "prompts_sha256": sha256_file(setup.settings.prompts),
        "prompts_as_rendered_by_the_chat_template": sha256_text(prompts),
        "target_weights_sha256": setup.target.weights_sha256,
        "target_tokenizer_sha256": setup.target.tokenizer_sha256,
        "drafters": [asdict(drafter.info()) for drafter in setup.drafters],
        "hedgespec": __version__,
    }


def manifest(setup: Setup, costs: Costs | None, recording: dict[str, Any]) -> Manifest:
    """The trace's manifest; `recording` is what there is to say of this run besides."""
    settings = setup.settings
    return Manifest(
        name=settings.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=setup.target.info(),
        drafters=[
            _with_features(drafter.info()) if settings.features else drafter.info()
            for drafter in setup.drafters
        ],
        sampling=SamplingInfo(
            settings.temperature,
            settings.top_p,
            settings.top_k,
            settings.seed,
            settings.max_new_tokens,
        ),
        draft_length=settings.draft_length,
        precision=settings.precision,
        device=device_name(*setup.target.devices),
        dtype=settings.dtype,
        queries=0,
        tokens=0,
        files={},
        versions={
            "python": platform.python_version(),
            **package_versions("torch", "transformers", "numpy", "polars"),
        },
        recording={
            "command": command_to_pass_on(),
            "prompts": settings.prompts.name,
            "prompts_sha256": sha256_file(settings.prompts),
            TARGET_LAYERS: setup.target.layers,
            **recording,
        },
        costs=costs,
        rules=[
            *(RuleInfo(rule.label) for rule in setup.rules),
            *(RuleInfo(tree.label, tree.shape.deepest, tree.id) for tree in setup.trees),
        ],
    )


def _with_features(info: DrafterInfo) -> DrafterInfo:
    return replace(info, statistics=(*info.statistics, *FEATURES))
