"""What the words of docs/findings.md claim of its tables: each a check of the cells.

A claim that does not hold changes the sentence, or has the page refused (benchmarks/prose.py).
"""

from collections.abc import Callable, Mapping

from benchmarks.prose import Cells, Check

COLD, WARM, HOT = "domain-mix-t0", "domain-mix-t0.7", "domain-mix-t1"
FULL, BANDIT = "all drafters", "its own rounds"
Tables = Mapping[str, Cells]
CHECKS: dict[str, Check] = {}


def _claim(check: Callable[[Tables], bool]) -> Check:
    CHECKS[check.__name__] = check
    return check


def _learners(tables: Tables, kind: str, trace: str) -> dict[str, float]:
    table = tables["learners"]
    return {
        name: table.value(name, trace)
        for name in table.names
        if table.cell(name, "learns from") == kind
    }


def _apart(table: Cells, row: str, column: str) -> bool:
    """Whether an interval leaves zero out."""
    _, low, high = table.numbers(row, column)
    return low > 0 or high < 0


def _full_first(tables: Tables, *traces: str) -> bool:
    return all(
        max(_learners(tables, FULL, trace).values())
        < min(_learners(tables, BANDIT, trace).values())
        for trace in traces
    )


@_claim
def full_information_first(tables: Tables) -> bool:
    """Every full-information learner has less regret than every bandit, at 0 and 0.7."""
    return _full_first(tables, COLD, WARM)


@_claim
def also_at_one(tables: Tables) -> bool:
    """The same at temperature 1."""
    return _full_first(tables, HOT)


@_claim
def leader_near_best(tables: Tables) -> bool:
    """NormalHedge, AdaHedge and FTL cannot be told from the best fixed drafter at 0.7."""
    return not any(
        _apart(tables["learners"], name, WARM) for name in ("normalhedge", "adahedge", "ftl")
    )


@_claim
def most_bandits_behind_single(tables: Tables) -> bool:
    """At temperature 1 more than half of the bandits are behind the best single drafter."""
    bandits = _learners(tables, BANDIT, HOT).values()
    single = tables["learners"].value("best-single", HOT)
    return sum(value > single for value in bandits) > len(bandits) / 2


@_claim
def seconds_near_best(tables: Tables) -> bool:
    """`seconds` is less far behind the best loss of a row than every loss without seconds."""
    table = tables["losses_behind"]
    others = ("length", "accept", "hybrid:0.5", "visit")
    return all(
        table.value("seconds", column) < min(table.values(column, others))
        for column in ("mean", "most")
    )


@_claim
def visit_seconds_ahead(tables: Tables) -> bool:
    """`visit-seconds` is ahead of `seconds` on average."""
    table = tables["losses_behind"]
    return table.value("visit-seconds", "mean") < table.value("seconds", "mean")


@_claim
def accept_fewest_rounds(tables: Tables) -> bool:
    """`accept` has the least regret in rounds on most traces."""
    table = tables["losses_in_rounds"]
    best = [
        min(table.header[1:], key=lambda loss: table.value(trace, loss)) for trace in table.names
    ]
    return best.count("accept") > len(best) / 2


@_claim
def accept_not_at_zero(tables: Tables) -> bool:
    """At temperature 0 `accept` is not below `length` for NormalHedge."""
    table = tables["losses_in_rounds"]
    return table.value(COLD, "accept") >= table.value(COLD, "length")


@_claim
def eal_misleads(tables: Tables) -> bool:
    """The drafter of the greatest mean EAL is prompt lookup, and expert-sql has more MAT."""
    table = tables["drafters"]
    eal, mat = (
        max(table.names, key=lambda name: table.value(name, column))
        for column in ("mean EAL", "MAT")
    )
    return (eal, mat) == ("prompt-lookup", "expert-sql")


@_claim
def gamma_least(tables: Tables) -> bool:
    """Of the estimators of `length`, `rb` and `realised` are nowhere below `gamma`."""
    table = tables["estimators"]
    return all(
        table.value(row, column) >= 0
        for row in ("length:rb", "length:realised")
        for column in table.header[1:]
    )


@_claim
def delay_costs(tables: Tables) -> bool:
    """Foresight is below queued, and each further round of delay above the one before."""
    table = tables["delays"]
    rows = ["foresight", "rounds:1", "rounds:2", "rounds:4", "rounds:8"]
    return all(
        values == sorted(values) and values[0] < 0 < values[1]
        for column in table.header[1:]
        for values in [table.values(column, rows)]
    )


@_claim
def cutting_hurts_hedge(tables: Tables) -> bool:
    """Censored losses cost Hedge, and NormalHedge nothing, on both traces."""
    table, column = tables["cut"], "length, censored: more"
    return all(
        table.numbers(f"{trace}, hedge", column)[1] > 0
        and table.value(f"{trace}, normalhedge", column) < 0
        for trace in (WARM, HOT)
    )


@_claim
def bold_costs_hedge(tables: Tables) -> bool:
    """BOLD costs Hedge more than NormalHedge on both traces."""
    table = tables["delays"]
    return all(
        table.numbers("bold", f"hedge, {trace}")[1]
        > table.numbers("bold", f"normalhedge, {trace}")[2]
        for trace in (WARM, HOT)
    )


@_claim
def sparing_faster(tables: Tables) -> bool:
    """NormalHedge is the faster the fewer rounds are evaluated."""
    table = tables["skipping"]
    speed = table.values(
        "normalhedge: tokens/s", ["queued", "every:2", "every:4", "every:8", "every:16"]
    )
    return speed == sorted(speed)


@_claim
def full_grows_slowly(tables: Tables) -> bool:
    """From 2 to 64 drafters both full-information learners grow less than each bandit."""
    table = tables["pools"]
    growth = {name: table.value("64", name) - table.value("2", name) for name in table.header[2:]}
    return max(growth["normalhedge"], growth["hedge"]) < min(growth["ucbspec"], growth["exp3spec"])


@_claim
def bandits_near_chance(tables: Tables) -> bool:
    """At 64 drafters no bandit can be told from choosing at random by its interval."""
    table = tables["pools"]
    _, low, high = table.numbers("64", "uniform")
    return all(low < table.value("64", name) < high for name in ("ucbspec", "exp3spec"))


@_claim
def router_apart_rephrased(tables: Tables) -> bool:
    """On rephrased questions the router differs from NormalHedge under its default loss."""
    return _apart(tables["router"], "rephrased-t0.7", "router - normalhedge")


@_claim
def router_apart_accept(tables: Tables) -> bool:
    """The same under `accept`."""
    return _apart(tables["router"], "rephrased-t0.7", "router - that")


@_claim
def router_behind_on_spec_bench(tables: Tables) -> bool:
    """On Spec-Bench at temperature 0 the router has more regret under both losses."""
    return all(
        tables["router"].numbers("spec-bench-t0", column)[1] > 0
        for column in ("router - normalhedge", "router - that")
    )


@_claim
def carrying_hurts(tables: Tables) -> bool:
    """Carried over, Hedge and NormalHedge have more regret in every order than fresh ones."""
    table = tables["carried"]
    return all(
        table.value(name, "best order") > table.value(name, "fresh at each question")
        for name in ("hedge", "normalhedge")
    )


@_claim
def carried_worse_than_single(tables: Tables) -> bool:
    """Carried over in the mean order they have more regret than the best single drafter."""
    return all(
        tables["carried"].value(name, "carried over")
        > tables["singles"].value("best-single", "regret")
        for name in ("hedge", "normalhedge")
    )


@_claim
def fixed_share_least(tables: Tables) -> bool:
    """Of carried learners Fixed-Share has the least regret."""
    table = tables["carried"]
    return min(table.names, key=lambda name: table.value(name, "carried over")) == "fixed-share"


@_claim
def rules_all_save(tables: Tables) -> bool:
    """Under every rule both learners save rounds against the generalist and both bandits."""
    table = tables["rules"]
    return all(
        table.numbers(row, column)[1] > 0 for row in table.names for column in table.header[2:]
    )


@_claim
def block_between(tables: Tables) -> bool:
    """`block` is never below `sampling`, `gumbel` never above it."""
    table = tables["hot_rules"]
    sampling, block, gumbel = (
        table.values(f"{rule}, K = 8") for rule in ("sampling", "block", "gumbel")
    )
    return all(map(float.__ge__, block, sampling)) and all(map(float.__le__, gumbel, sampling))


@_claim
def candidates_beat_trees(tables: Tables) -> bool:
    """At temperature 1 four drawn candidates beat the dynamic tree for every head."""
    table = tables["hot_rules"]
    heads = [
        name for name in table.names[: table.names.index("best-fixed")] if name != "prompt-lookup"
    ]
    return all(
        table.value(name, f"{rule}, K = 3") > table.value(name, "tree, K = 8")
        for name in heads
        for rule in ("multi:4", "kseq:4")
    )


@_claim
def sparing_over_single(tables: Tables) -> bool:
    """NormalHedge under batch:16 is ahead of the fastest single drafter under every costs."""
    table = tables["in_seconds"]
    return all(
        table.numbers("normalhedge, batch:16", column)[1] > 0
        for column in table.header
        if column.endswith("%")
    )


@_claim
def sparing_over_bandits(tables: Tables) -> bool:
    """And of every bandit."""
    table = tables["in_seconds"]
    return all(
        table.value("normalhedge, batch:16", column)
        > max(table.values(column, ["ucbspec", "exp3spec"]))
        for column in table.header
        if column.endswith("%")
    )
