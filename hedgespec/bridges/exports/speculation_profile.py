"""speculation_profile.json, schema 1.0, a proposal: what a drafter's checkpoint travels with."""

import json

import numpy as np

from hedgespec.bridges.exports.contract import Export, rounded
from hedgespec.bridges.policy import Drafting
from hedgespec.results.labels import FIXED

_TOLERANCE = 0.02
_METHODS = {"lm": "draft_model"}  # the schema's words for kinds of drafters, where they differ


def write(found: Drafting) -> str:
    """Conditional and marginal rates, both by the place in the draft."""
    trace = found.trace.manifest
    single = found.policy.startswith(FIXED)
    drafter = next((one for one in trace.drafters if found.policy == f"{FIXED}{one.name}"), None)
    implied = float(1 + found.marginal.sum())
    length = round(found.length, 6)
    return (
        json.dumps(
            {
                "schema_version": "1.0",
                "measured": True,
                "method": _METHODS.get(drafter.kind, drafter.kind) if drafter else found.policy,
                "draft_checkpoint": {"id": drafter.id, "sha256": drafter.weights_sha256}
                if drafter
                else None,
                "target_model": {"id": trace.target.id, "sha256": trace.target.weights_sha256},
                "num_speculative_tokens": found.draft_length,
                "block_size": None,
                "max_supported_k": found.draft_length,
                "verification_method": "block" if found.rule == "block" else "longest_prefix",
                "conditional_accept_rates": rounded(list(found.conditional)),
                "marginal_accept_rates": rounded(list(found.marginal)),
                "mean_accept_length": length,
                "accept_length_model": "chain_analytic"
                if single and found.rule == "sampling"
                else "measured_per_k",
                "accept_length_by_k": {str(found.draft_length): length},
                "acceptance_length_histogram": None,
                "per_category": None,
                "measurement_conditions": {
                    "tool": "hedgespec",
                    "trace": trace.name,
                    "policy": found.policy,
                    "rule": found.rule,
                    "temperature": trace.sampling.temperature,
                    "queries": trace.queries,
                    "tokens": trace.tokens,
                    "rounds_that_draft": round(found.drafting, 6),
                },
                "validation": {
                    "mean_consistency": {
                        "implied_mean_accept_length": round(implied, 6),
                        "reported_mean_accept_length": length,
                        "abs_delta": round(abs(implied - length), 6),
                        "tolerance": _TOLERANCE,
                        "passed": abs(implied - length) <= _TOLERANCE,
                    },
                    "marginal_monotonicity": {
                        "passed": bool((np.diff(found.marginal) <= 1e-9).all()),
                        "violations": [],
                    },
                },
            },
            indent=1,
        )
        + "\n"
    )


EXPORT = Export(
    "speculation-profile",
    "speculation_profile.json 1.0, a proposal: conditional and marginal rates",
    "which drafter drafts when, and how acceptance depends on the text; where some rounds "
    "draft nothing, the format's own check of the mean fails and says so",
    write,
)
