"""hedgespec: choose a drafter-selection policy for speculative decoding.

Record the acceptance statistics of real models once (`hedgespec.tracegen`), replay them for
ever (`hedgespec.simulator`) with any learner (`hedgespec.selectors`).

    import hedgespec

    results = hedgespec.simulate("domain-mix-t0.7", ["normalhedge", "ucbspec"])
    hedgespec.figure(results, "regret").savefig("regret.png")

docs/api.md shows the rest. `hedgespec.reference` says in 80 lines what it all computes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hedgespec.errors import HedgespecError
from hedgespec.version import __version__

if TYPE_CHECKING:
    from hedgespec.api import (
        figure,
        figure_names,
        read_trace,
        replay,
        report,
        simulate,
        sweep,
        trace_names,
    )
    from hedgespec.live.decode import LiveDecoder, make_decoder
    from hedgespec.live.settings import DecoderSettings
    from hedgespec.models.settings import Sampling
    from hedgespec.results.store import Results, read_results
    from hedgespec.selectors import Parameter, Selector, compiled, configure
    from hedgespec.simulator import Replay
    from hedgespec.traces import Trace

# Where each public name stands; imported when it is asked for, so that none costs torch before.
_HOMES = {
    "hedgespec.api": (
        "figure",
        "figure_names",
        "read_trace",
        "replay",
        "report",
        "simulate",
        "sweep",
        "trace_names",
    ),
    "hedgespec.live": ("DecoderSettings", "LiveDecoder", "make_decoder"),
    "hedgespec.models.settings": ("Sampling",),
    "hedgespec.results.store": ("Results", "read_results"),
    "hedgespec.selectors": ("Parameter", "Selector", "compiled", "configure"),
    "hedgespec.simulator": ("Replay",),
    "hedgespec.traces": ("Trace",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DecoderSettings",
    "HedgespecError",
    "LiveDecoder",
    "Parameter",
    "Replay",
    "Results",
    "Sampling",
    "Selector",
    "Trace",
    "__version__",
    "compiled",
    "configure",
    "figure",
    "figure_names",
    "make_decoder",
    "read_results",
    "read_trace",
    "replay",
    "report",
    "simulate",
    "sweep",
    "trace_names",
]


def __getattr__(name: str) -> Any:
    """Import a public name where it stands."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """What can be asked for."""
    return sorted([*globals(), *_HOME_OF])
