"""What a sweep runs; the options of `hedgespec sim` and the keys of its grids are made from it."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from hedgespec.bundled import bundled_costs
from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import Option, check_ranges, plain, read_texts, refuse_idle, seed_option
from hedgespec.results.labels import OWN_COSTS
from hedgespec.selectors.arms import ARM_LENGTHS, MOST_ARMS
from hedgespec.selectors.feedback import ARRIVALS, Feedback, modifier_help, parse_feedback
from hedgespec.selectors.learning import NOT_ESTIMATED, Loss, parse_loss
from hedgespec.simulator.choosers import Chooser

MODES = ("auto", "exact", "replayed")
_MOST_SEEDS = 1_000_000


@dataclass(frozen=True)
class OutputSettings:
    """Where results go, whether those of another run there are replaced, and with a picture."""

    out: Annotated[Path, Option("folder for results", "DIR", made=True)] = Path("results/sim")
    force: Annotated[bool, Option("replace results of another run in --out")] = False
    figure: Annotated[bool, Option("also draw the curves: OUT/regret.png")] = False


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """What to run: all combinations of what is named.

    `selectors` are labels, or objects (see `as_chooser`). `traces` and `costs` are folders and
    files, or names of bundled ones; no traces are those of the sweep, no costs the traces' own,
    which `own` names too. No
    `rules`, `feedbacks`, `losses` and `draft_lengths` are the default of each selector and trace.
    `pools` are numbers of drafters (see `resize_pool`), none the traces' own. Raises HedgespecError
    for a value out of range.
    """

    traces: Annotated[
        tuple[Path, ...],
        Option("trace directories, or names of bundled traces (default: all bundled)", "DIR"),
    ] = ()
    selectors: Annotated[
        tuple[str | Chooser, ...],
        Option(
            "each a name or name:key=value,... (see `hedgespec selectors`); `all` is every learner "
            "(default: `default`, five learners and the references)",
            "NAME",
        ),
    ] = field(default=(), kw_only=False)
    draft_lengths: Annotated[
        tuple[int, ...],
        Option("draft tokens per round (default: the trace's own)", "K", "draft_length"),
    ] = ()
    seeds: Annotated[
        int, Option("replays per selector, with seeds 0..N-1", "N", low=1, high=_MOST_SEEDS)
    ] = 5
    threads: Annotated[
        int, Option("threads to run on; results do not depend on their number", "N", low=1)
    ] = 1
    memory: Annotated[
        int | None,
        Option(
            "memory for the replay of a trace, in MiB; a larger trace is replayed in pieces, with the "
            "same results (default: a quarter of the machine's memory)",
            "MIB",
            low=1,
        ),
    ] = None
    rules: Annotated[
        tuple[str, ...],
        Option(
            "verification rules: sampling, greedy, onehot and block; gumbel, multi:K, multi-without:K, "
            "kseq:K and tree if the trace was recorded with them (docs/rules.md; default: auto, which "
            "is greedy at temperature 0, else sampling)",
            "RULE",
            "rule",
        ),
    ] = ()
    feedbacks: Annotated[
        tuple[Feedback, ...],
        Option(
            f"feedback to full-information learners: {', '.join(ARRIVALS)}, with "
            f"{', '.join(f'+{name}' for name in modifier_help())} (default: queued; docs/metrics.md)",
            "NAME",
            "feedback",
            read=parse_feedback,
        ),
    ] = ()
    losses: Annotated[
        tuple[str, ...],
        Option(
            "loss of full-information learners: length, accept, hybrid:X, seconds, visit or "
            "visit-seconds (default: seconds where costs are known, else accept; length with feedback "
            "censored)",
            "NAME",
            "loss",
        ),
    ] = ()
    estimators: Annotated[
        tuple[str, ...],
        Option(
            "estimator of the expected round length in the loss: gamma, realised or rb; given without "
            "--loss, it makes the loss length (default: gamma)",
            "NAME",
            "estimator",
        ),
    ] = ()
    prefill: Annotated[
        bool,
        Option(
            "compute losses from the first draft depth only, as evaluation by prefilling sees them; "
            "given without --loss, it makes the loss length"
        ),
    ] = False
    carry: Annotated[
        int | None,
        seed_option("carry learners over from query to query, in an order drawn with this seed"),
    ] = None
    arm_lengths: Annotated[tuple[int, ...], ARM_LENGTHS] = ()
    arms: Annotated[
        tuple[str, ...],
        Option(
            "arms to choose between, each DRAFTER[@RULE][*K]; `all` is every drafter. Example: "
            "all@block generalist@tree expert-sql*3",
            "ARM",
        ),
    ] = ()
    pools: Annotated[
        tuple[int, ...],
        Option(
            "pool of N drafters: N of the trace's, or filled up to N with weakened copies "
            "(docs/metrics.md)",
            "N",
            "pool",
            low=1,
            high=MOST_ARMS,
        ),
    ] = ()
    costs: Annotated[
        tuple[Path, ...],
        Option(
            "files of costs from `hedgespec profile`, used for tokens per second and --loss seconds "
            f"instead of the traces' costs; bundled are {', '.join(bundled_costs())}; {OWN_COSTS} is "
            "the traces' costs",
            "FILE",
        ),
    ] = ()
    answer: Annotated[
        str | None,
        Option(
            "query whose answer is shown token by token (default: in each trace the one that changing "
            "the drafter would help most)",
            "ID",
        ),
    ] = None
    pool_seeds: Annotated[
        tuple[int, ...],
        Option(
            "seeds to draw each --pool with; the trace is then called TRACE.nNsS (default: 0)",
            "S",
            "pool_seed",
            low=0,
            high=_MOST_SEEDS,
        ),
    ] = ()
    mode: Annotated[
        str,
        Option(
            "exact: expectations; replayed: random runs; auto: exact where possible, else replayed",
            "MODE",
        ),
    ] = "auto"
    batches: Annotated[
        tuple[int, ...],
        Option(
            "texts decoded at once; takes the costs measured at this batch (default: 1)",
            "B",
            "batch",
            low=1,
            high=2**31 - 1,
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Check the values that need no trace; feedbacks may be given as labels."""
        check_ranges(self)
        read_texts(self)
        self.all_losses  # noqa: B018 - read once, and refused here
        if self.mode not in MODES:
            raise HedgespecError(
                f"{arg('mode')} must be one of {', '.join(MODES)}, not "
                f"{self.mode!r}" + did_you_mean(self.mode, MODES)
            )

    @cached_property
    def all_losses(self) -> tuple[Loss, ...]:
        """Every loss that is named, with every estimator; none is the default of each trace.

        Raises HedgespecError for an unknown one.
        """
        if not (self.losses or self.estimators or self.prefill):
            return ()
        found = tuple(
            parse_loss(name, estimator, self.prefill)
            for name in self.losses or ["length"]
            for estimator in self.estimators or ["gamma"]
        )
        estimated = any(loss.estimated for loss in found)
        given = {"estimators": self.estimators} if self.estimators else {}
        refuse_idle(
            given | ({"prefill": True} if self.prefill else {}),
            [(name, estimated, NOT_ESTIMATED) for name in ("estimators", "prefill")],
        )
        return found

    def described(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self)}
