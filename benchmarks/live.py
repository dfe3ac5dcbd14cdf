"""Tokens per second of live decoding, and what a replay says they would be.

    python -m benchmarks.live --compile --zoo zoo --out build/live        (make live-speed)

Decodes one stream of questions of several domains with plain autoregressive decoding (on the same
fixed tensors and CUDA graphs), each fixed drafter and each policy: a selector, perhaps with its
feedback setting and its draft length, or several to choose from, as SELECTOR[@FEEDBACK][@K,...].
All of them answer a question before the next one is asked, so that a machine that slows down slows
all. Then replays what each of them wrote: MAT, evaluations, and tokens per second from costs
measured on their own, with what a round and an evaluation take besides fitted on other questions.
The learner that was fastest on these other questions is the one that the table compares with all.
Prints tables, and writes them with all settings and answers to OUT/live.json, after each question
what there is by then; what was in OUT before is removed.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl
import torch

from hedgespec.command import command_line
from hedgespec.costs.file import save_costs
from hedgespec.errors import HedgespecError
from hedgespec.files import sha256_text, write_text
from hedgespec.live import DecoderSettings, LiveDecoder
from hedgespec.live.clock import Clock
from hedgespec.live.engine import Evaluation
from hedgespec.live.plan import RoundPlan
from hedgespec.live.static_engine import StaticEngine
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import Drafter, make_drafters
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.results.labels import FIXED, fixed
from hedgespec.results.statistics import rate_gain
from hedgespec.rules import parse_rule
from hedgespec.selectors import FULL, parse_selector
from hedgespec.selectors.feedback import Feedback, parse_feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.simulator.fidelity import acceptance_that_gives
from hedgespec.tracegen.prompts import Query, read_questions
from hedgespec.tracegen.score import score
from hedgespec.tracegen.write import query_table, token_table
from hedgespec.traces import Costs, Manifest, SamplingInfo, TraceWriter, read_trace
from hedgespec.traces.schema import MANIFEST
from hedgespec.zoo.questions import DOMAINS, held_out_questions

POLICIES = (
    "uniform",
    "ucbspec",
    "exp3spec",
    "hedge",
    "normalhedge",
    "normalhedge@every:4",
    "normalhedge@batch:16",
)
PLAIN, BEST = "autoregressive", "best fixed per answer"
SCORED = 16  # answers at once
RESULT, ROUNDS = "live.json", "rounds.json"


@dataclass
class Measured:
    """What decoding the stream came to, per answer."""

    tokens: list[list[int]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)  # by each round, of all answers
    evaluations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    selecting: float = 0.0

    @property
    def count(self) -> int:
        """Tokens in all."""
        return sum(map(len, self.tokens))

    @property
    def mat(self) -> float:
        """Tokens per round."""
        return self.count / sum(self.rounds)

    @property
    def speed(self) -> float:
        """Tokens per second."""
        return self.count / sum(self.seconds)


def longest(queries: list[Query]) -> Query:
    """The query after which all others find their room made, and no graph is made anew."""
    return max(queries, key=lambda query: len(query.prompt))


def decode(decoder: LiveDecoder, query: Query, found: Measured) -> None:
    """Decode a query; reading the prompt does not count."""
    answer = decoder.generate(query.prompt, query.limit, query.number)
    found.tokens.append(answer.tokens)
    found.rounds.append(len(answer.rounds))
    found.emitted += [len(one.tokens) for one in answer.rounds]
    found.evaluations.append(sum(bool(one.evaluated) for one in answer.rounds))
    found.seconds.append(sum(sum(one.seconds.values()) for one in answer.rounds))
    found.selecting += sum(one.seconds["select"] + one.seconds["learn"] for one in answer.rounds)


class Plainly:
    """Decoding without drafts, on the same fixed tensors."""

    @torch.inference_mode()
    def __init__(self, target: LanguageModel, sampling: Sampling, first: Query, compiled: bool):
        """Kernels and graphs are made, with room for the query `first`."""
        plan = RoundPlan(parse_rule("sampling"), sampling, draft_length=0)
        self._engine = StaticEngine(target, [], plan, Evaluation.NEVER, compiled)
        self._clock, self._ends = Clock(False, target.device), target.eos_tokens
        self._generator = torch.Generator().manual_seed(0)
        self._engine.begin(first.prompt, first.limit)
        self(replace(first, limit=4), Measured())

    @torch.inference_mode()
    def __call__(self, query: Query, found: Measured) -> None:
        """Decode a query."""
        self._engine.begin(query.prompt, query.limit)
        tokens: list[int] = []
        started = perf_counter()
        while len(tokens) < query.limit and (not tokens or tokens[-1] not in self._ends):
            u = torch.rand(1, 1, generator=self._generator, dtype=torch.float64)
            tokens += self._engine.round(0, u, 1, self._clock)[1]
            self._engine.keep(1)
        found.seconds.append(perf_counter() - started)
        found.tokens.append(tokens)
        found.rounds.append(len(tokens))


def decode_in_turn(
    decoders: dict[str, Callable[[Query, Measured], None]],
    queries: list[Query],
    say: str,
    runs: dict[str, Measured],
    keep: Callable[[], None],
) -> None:
    """Each query by each of them, added to `runs`; another one is first with each query."""
    names = list(decoders)
    runs.update({name: Measured() for name in names})
    for number, query in enumerate(queries):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            decoders[name](query, runs[name])
        print(f"\r{say}: {number + 1} of {len(queries)} questions", end="", file=sys.stderr)
        keep()
    print(file=sys.stderr)


@torch.inference_mode()
def generate(
    target: LanguageModel, sampling: Sampling, queries: list[Query], **options: object
) -> Measured:
    """Hugging Face's own loop; a round is a pass of the target."""
    found = Measured()
    passes: list[object] = []
    hook = target.model.register_forward_hook(lambda *_: passes.append(None))
    how = {"do_sample": sampling.temperature > 0, **options}
    if sampling.temperature > 0:
        how["temperature"] = sampling.temperature
    for query in queries:
        ids = torch.tensor([query.prompt], device=target.device)
        passes.clear()
        started = perf_counter()
        text = target.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=query.limit, **how
        )
        tokens = text[0, len(query.prompt) :].tolist()
        found.seconds.append(perf_counter() - started)
        found.tokens.append(tokens)
        found.rounds.append(len(passes))
    hook.remove()
    return found


@torch.inference_mode()
def scored_trace(
    target: LanguageModel,
    drafters: list[Drafter],
    sampling: Sampling,
    queries: list[Query],
    found: Measured,
    draft_length: int,
    costs: Costs,
    folder: Path,
) -> Path:
    """A trace of the answers that were decoded, called as its folder."""
    writer = TraceWriter(folder, {"answers": sha256_text(json.dumps(found.tokens))})
    for begin in range(0, len(queries), SCORED):
        rows = range(begin, min(begin + SCORED, len(queries)))
        answers = [found.tokens[row] for row in rows]
        scores, embeddings = score(
            target, drafters, [queries[row].prompt for row in rows], answers, sampling, 4096
        )
        writer.write_batch(
            f"{begin:06d}",
            pl.concat(
                [
                    query_table(
                        replace(queries[row], number=row),
                        len(tokens),
                        "length",
                        embedding,
                        "stream",
                        "full",
                    )
                    for row, tokens, embedding in zip(
                        rows, answers, embeddings.numpy(), strict=True
                    )
                ]
            ),
            token_table(
                dict(zip(rows, answers, strict=True)), scores.log_p, scores.drafters, "full"
            ),
        )
    writer.finish(
        Manifest(
            name=folder.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            target=target.info(),
            drafters=[drafter.info() for drafter in drafters],
            sampling=SamplingInfo(
                sampling.temperature,
                sampling.top_p,
                sampling.top_k,
                0,
                max(query.limit for query in queries),
            ),
            draft_length=draft_length,
            precision="full",
            device=costs.device,
            dtype=costs.dtype,
            queries=0,
            tokens=0,
            files={},
            costs=costs,
        )
    )
    return folder


@dataclass(frozen=True)
class Policy:
    """SELECTOR[@FEEDBACK][@K,...]: a draft length, or those that are chosen from; else the run's."""

    selector: str
    feedback: str | None = None
    lengths: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Read one."""
        selector, *more = text.split("@")
        lengths = [part for part in more if re.fullmatch(r"[\d,]+", part)]
        feedback = [part for part in more if part not in lengths]
        if len(lengths) > 1 or len(feedback) > 1:
            raise HedgespecError(f"{text}: want SELECTOR[@FEEDBACK][@K,...]")
        return cls(
            selector,
            feedback[0] if feedback else None,
            tuple(int(length) for part in lengths for length in part.split(",")),
        )

    @property
    def drafting(self) -> dict[str, Any]:
        """What of DecoderSettings and of a replay is not the run's own."""
        if not self.lengths:
            return {}
        return (
            {"draft_length": self.lengths[0]}
            if len(self.lengths) == 1
            else {"arm_lengths": self.lengths}
        )

    def decoder(self, shared: LiveDecoder, costs: Costs) -> LiveDecoder:
        """One that decodes so, on the tensors and graphs of another."""
        own = {"feedback": self.feedback, **self.drafting}
        found = shared.with_selector(self.selector, **own)
        if not self.learns:
            return found
        # What the learners' default loss weighs, in the replay too.
        return shared.with_selector(self.selector, round_seconds=found.round_seconds(costs), **own)

    @property
    def learns(self) -> bool:
        """Whether from all drafters."""
        return not self.selector.startswith(FIXED) and (
            parse_selector(self.selector).selector.feedback == FULL
        )

    @property
    def given_feedback(self) -> Feedback | None:
        """Its feedback, None if it names none."""
        return parse_feedback(self.feedback) if self.feedback else None

    @property
    def in_part(self) -> bool:
        """Whether it has some of the drafters evaluated at a time."""
        return bool((self.given_feedback or Feedback()).partial)

    def loss(self, replayer: Replayer) -> Loss | None:
        """What a replay must have it learn: what live has, from prefilling."""
        if not self.learns:
            return None
        return replace(replayer.default_loss(self.given_feedback or Feedback()), prefill=True)

    def sweep(self, loss: Loss | None, **settings: Any) -> SweepSettings:
        """What replays it; a draft length of its own goes before that of `settings`."""
        own = {"draft_lengths": self.lengths} if len(self.lengths) == 1 else self.drafting
        return SweepSettings(
            selectors=(self.selector,),
            feedbacks=(self.feedback,) if self.feedback else (),
            losses=(loss.label,) if loss else (),
            **(settings | own),
        )


def replayed(trace: Path, policy: Policy, seeds: int, found: Measured) -> dict[str, float]:
    """MAT and tokens per second (means over seeds) of a policy on the trace of what it decoded, and
    the evaluations that the schedule has in the very rounds that were."""
    replayer = Replayer(read_trace(trace), **policy.drafting)
    loss = policy.loss(replayer)
    mat, speed = mat_and_speed(run_sweep([trace], policy.sweep(loss, seeds=seeds)).summary)
    result = {"mat": mat, "tokens_per_second": speed}
    if found.emitted:  # else the rounds are not known
        starts = np.cumsum([0, *found.emitted[:-1]])
        run = replayer.run(
            policy.selector, 0, policy.given_feedback, loss, acceptance_that_gives(starts, replayer)
        )
        result["evaluations"] = float(run.evaluated.sum())
    return result


def mat_and_speed(summary: pl.DataFrame) -> tuple[float, float]:
    """Tokens per round and per second, over all seeds of a sweep."""
    tokens = summary["tokens"].sum()
    seconds = (summary["tokens"] / summary["tokens_per_second"]).sum()
    return tokens / summary["rounds"].sum(), tokens / seconds


def replayed_all(
    asked: dict[str, tuple[Path, Policy, int, Measured]],
) -> dict[str, dict[str, float]]:
    """`replayed` of each: on many cores in processes, for most of it is compiling kernels."""
    workers = min(len(asked), (os.cpu_count() or 1) // 2)
    if workers < 2:
        return {name: replayed(*one) for name, one in asked.items()}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        found = {name: pool.submit(replayed, *one) for name, one in asked.items()}
        return {name: one.result() for name, one in found.items()}


def replay_again(folder: Path, seeds: int) -> dict[str, Any]:
    """The result of an earlier run with replays of the policies whose traces it wrote; it is in
    live.json then. Raises HedgespecError without such a run."""
    file, rounds = folder / RESULT, folder / ROUNDS
    if not file.is_file():
        raise HedgespecError(f"{file}: no such file; --replays wants the --out of an earlier run")
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    emitted = json.loads(rounds.read_text(encoding="utf-8")) if rounds.is_file() else {}
    rows = {row["policy"]: row for row in result["rows"]}
    found = replayed_all(
        {
            name: (
                trace_of(folder, "test", name),
                Policy.parse(name),
                seeds,
                Measured(emitted=emitted.get(name, [])),
            )
            for name in rows
            if (trace_of(folder, "test", name) / MANIFEST).is_file()
        }
    )
    for name, replay in found.items():
        rows[name] |= {f"replayed_{what}": value for what, value in replay.items()}
    write_text(file, json.dumps(result, indent=1) + "\n")
    return result


def trace_of(folder: Path, part: str, policy: str) -> Path:
    """Where the trace of what a policy decoded goes, of questions to "fit" or to "test"."""
    return folder / part / re.sub("[:@,]", "-", policy)


def stream(options: argparse.Namespace, target: LanguageModel) -> list[Query]:
    """Questions of all domains in a random order, as prompts."""
    if options.prompts is not None:
        questions = read_questions(options.prompts)
    else:
        questions = [
            question
            for domain in options.domains
            for question in held_out_questions(domain, options.per_domain, 0)
        ]
    random.Random(0).shuffle(questions)
    return [
        Query.of(target.tokenizer, number, question, [], options.max_new_tokens)
        for number, question in enumerate(questions)
    ]


def heads_of(zoo: Path) -> list[str]:
    """Specifications of the EAGLE heads of a zoo."""
    heads = [
        f"{name}=eagle:{zoo / name}"
        for name in (
            "generalist",
            *(path.parent.name for path in sorted(zoo.glob("expert-*/training.json"))),
        )
    ]
    if not (zoo / "generalist" / "training.json").is_file():
        raise HedgespecError(f"{zoo}: no finished zoo there; hedgespec zoo makes one")
    return heads


def by_eager_engine(
    options: argparse.Namespace,
    target: LanguageModel,
    drafters: list[Drafter],
    sampling: Sampling,
    queries: list[Query],
) -> dict[str, Measured]:
    """EAGLE-2's trees, and chains beside them, by the engine that alone drafts trees: it runs the
    models as they are, not on fixed tensors."""
    decoders = {}
    for shape, drafting in (
        ("chains", {"draft_length": options.draft_length}),
        ("trees", {"rule": "tree"}),
    ):
        decoder = LiveDecoder(
            target, drafters, settings=DecoderSettings(sampling, static=False, **drafting)
        )
        for text in options.tree_policies:
            policy = Policy.parse(text)
            own = decoder.with_selector(policy.selector, feedback=policy.feedback)
            decoders[f"{text}, {shape}, eager"] = partial(decode, own)
    runs: dict[str, Measured] = {}
    decode_in_turn(decoders, queries, "trees", runs, lambda: None)
    return runs


def best_per_query(runs: list[Measured]) -> Measured:
    """Of each answer the fixed drafter that was fastest."""
    best = Measured()
    for number in range(len(runs[0].rounds)):
        run = max(runs, key=lambda one: len(one.tokens[number]) / one.seconds[number])
        best.tokens.append(run.tokens[number])
        best.rounds.append(run.rounds[number])
        best.seconds.append(run.seconds[number])
    return best


def interval(found: Measured, other: Measured) -> tuple[float, float]:
    """Interval of the ratio of two speeds, paired by question: each has one answer here."""
    gain = rate_gain(
        *(np.column_stack([list(map(len, one.tokens)), one.seconds]) for one in (found, other))
    )
    return 1 + float(gain.low[0]) / 100, 1 + float(gain.high[0]) / 100


def with_overheads(costs: Costs, fits: dict[str, tuple[Measured, dict[str, float]]]) -> Costs:
    """Costs with overheads of a round and of an evaluation, of all drafters or in part, by which the
    replays of some policies take the seconds that were measured: least squares of what a round of
    each takes beyond."""
    beyond, parts = [], []
    for name, (found, replay) in fits.items():
        rounds = sum(found.rounds)
        seconds = sum(found.seconds) - found.count / replay["tokens_per_second"]
        beyond.append(seconds / rounds)
        share, in_part = sum(found.evaluations) / rounds, Policy.parse(name).in_part
        parts.append([1.0, share * (not in_part), share * in_part])
    of_round, of_all, of_part = np.linalg.lstsq(np.array(parts), np.array(beyond))[0].tolist()
    return replace(
        costs,
        overhead=max(0.0, costs.overhead + of_round),
        evaluation_overhead=max(0.0, costs.evaluation_overhead + of_all),
        part_overhead=max(0.0, costs.overhead_in_part + of_part),
    )


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--target", default="smollm2-135m-instruct")
    add("--drafter", action="append", default=[])
    add("--zoo", type=Path, default=Path("zoo"), help="its heads are the pool without --drafter")
    add("--prompts", type=Path, help="question.jsonl (default: held-out questions of --domains)")
    add("--domains", nargs="+", default=list(DOMAINS))
    add("--per-domain", type=int, default=12)
    add("--fit", type=int, default=12, help="questions that the overhead is fitted on")
    add("--policies", nargs="+", default=list(POLICIES), help="SELECTOR[@FEEDBACK][@K,...]")
    add("--temperature", type=float, default=0.7)
    add("--draft-length", type=int, default=5)
    add("--max-new-tokens", type=int, default=256)
    add("--hugging-face", type=int, default=4, help="questions for generate (slow)")
    add("--assistant", help="a small model, for generate's assisted generation")
    add(
        "--trees",
        type=int,
        default=0,
        metavar="N",
        help="questions for draft trees of --tree-policies, and chains beside them; both without "
        "fixed tensors, so slow",
    )
    add("--tree-policies", nargs="+", default=["normalhedge@batch:16"])
    add("--seeds", type=int, default=20)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--dtype", default="bfloat16")
    add("--compile", action="store_true")
    add("--out", type=Path, default=Path("build/live"))
    add("--table", type=Path, help="print the tables of an earlier live.json; nothing is run")
    add(
        "--replays",
        type=Path,
        metavar="OUT",
        help="replay what an earlier run with this --out decoded, by the traces that it wrote",
    )
    return parser


def main() -> None:
    """Measure, replay, report."""
    options = make_parser().parse_args()
    if options.table is not None:
        print(tables(json.loads(options.table.read_text(encoding="utf-8"))), end="")
        return
    if options.replays is not None:
        print(tables(replay_again(options.replays, options.seeds)), end="")
        return

    shutil.rmtree(options.out, ignore_errors=True)
    target = load_model(options.target, options.device, options.dtype)
    drafters = make_drafters(options.drafter or heads_of(options.zoo), target)
    sampling = Sampling(options.temperature)
    queries = stream(options, target)
    fitted, tested = queries[: options.fit], queries[options.fit :]

    decoder = LiveDecoder(
        target,
        drafters,
        settings=DecoderSettings(
            sampling, draft_length=options.draft_length, static=True, compiled=options.compile
        ),
    )
    alone = [fixed(drafter.name) for drafter in drafters]
    policies = {policy: Policy.parse(policy) for policy in (*alone, *options.policies)}
    widths = {length + 1 for one in policies.values() for length in one.lengths}
    meter = decoder.meter(widths=sorted(widths))
    table = Table(options, meter.costs, tested)
    table.runs[PLAIN] = Measured()  # the first row
    if options.hugging_face:
        few = tested[: options.hugging_face]
        table.runs["generate"] = generate(target, sampling, few)
        table.runs["generate, prompt lookup"] = generate(
            target, sampling, few, prompt_lookup_num_tokens=options.draft_length
        )
        if options.assistant:
            small = load_model(options.assistant, options.device, options.dtype)
            table.runs["generate, assisted"] = generate(
                target, sampling, few, assistant_model=small.model
            )
            del small
    plainly = Plainly(target, sampling, longest(queries), options.compile)

    def decoders() -> dict[str, Callable[[Query, Measured], None]]:
        return {
            PLAIN: plainly,
            **{
                policy: partial(decode, asked.decoder(decoder, table.costs))
                for policy, asked in policies.items()
            },
        }

    def replays(
        asked: list[Query], runs: dict[str, Measured], part: str
    ) -> dict[str, dict[str, float]]:
        return replayed_all(
            {
                policy: (
                    scored_trace(
                        target,
                        drafters,
                        sampling,
                        asked,
                        runs[policy],
                        options.draft_length,
                        table.costs,
                        trace_of(options.out, part, policy),
                    ),
                    one,
                    options.seeds,
                    runs[policy],
                )
                for policy, one in policies.items()
            }
        )

    for policy, decoding in decoders().items():
        if policy != PLAIN:  # kernels and graphs are made
            for query in (longest(queries), *fitted[:3]):
                decoding(replace(query, limit=40), Measured())
    decode_in_turn(decoders(), fitted, "to fit overheads", table.fits, meter.between_answers)
    table.measure(meter.costs)
    table.costs = with_overheads(
        table.costs,
        {
            policy: (table.fits[policy], found)
            for policy, found in replays(fitted, table.fits, "fit").items()
        },
    )
    # Learners of seconds now weigh what their replays do.
    decode_in_turn(decoders(), tested, "decoding", table.runs, table.write)
    table.runs[BEST] = best_per_query([table.runs[policy] for policy in alone])
    table.write()  # before replays, which take minutes
    table.replays = replays(tested, table.runs, "test")
    table.write()
    if options.trees:
        table.runs |= by_eager_engine(options, target, drafters, sampling, tested[: options.trees])
        table.write()
    print(tables(table.result()), end="")


@dataclass
class Table:
    """What was measured and replayed, by policy. `costs` are those `measured`, and then have
    overheads that were fitted."""

    options: argparse.Namespace
    costs: Costs
    queries: list[Query]
    runs: dict[str, Measured] = field(default_factory=dict)
    fits: dict[str, Measured] = field(default_factory=dict)  # on other questions
    replays: dict[str, dict[str, float]] = field(default_factory=dict)
    measured: Costs = field(init=False)

    def __post_init__(self) -> None:
        """What was measured is what there is."""
        self.measure(self.costs)

    def measure(self, costs: Costs) -> None:
        """These were measured, and nothing was fitted yet."""
        self.costs = self.measured = costs

    def rows(self) -> list[dict[str, object]]:
        """A row for each policy."""
        rows = []
        for name, found in self.runs.items():
            row: dict[str, object] = {
                "policy": name,
                "answers": len(found.rounds),
                "tokens": found.count,
                "mat": found.mat,
                "tokens_per_second": found.speed,
                "evaluations": sum(found.evaluations),
                "selector_share": found.selecting / sum(found.seconds),
                "tokens_of_answers": [len(tokens) for tokens in found.tokens],
                "rounds_of_answers": found.rounds,
                "seconds_of_answers": found.seconds,
            }
            rows.append(
                row
                | {f"replayed_{what}": value for what, value in self.replays.get(name, {}).items()}
            )
        return rows

    def chosen(self) -> str | None:
        """The learner from all drafters that was fastest on the questions of the fit."""
        learners = [
            name
            for name in self.fits
            if name in self.runs and name != PLAIN and Policy.parse(name).learns
        ]
        return max(learners, key=lambda name: self.fits[name].speed, default=None)

    def over(self, name: str | None) -> dict[str, tuple[float, float]]:
        """Intervals of the speed of a policy over that of each other one on the same answers."""
        if name is None:
            return {}
        one = self.runs[name]
        return {
            other: interval(one, found)
            for other, found in self.runs.items()
            if found is not one and len(found.rounds) == len(one.rounds)
        }

    def result(self) -> dict[str, Any]:
        """All of it, with the settings."""
        options, costs, chosen = self.options, self.costs, self.chosen()
        return {
            "command": command_line(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": costs.device,
            "dtype": costs.dtype,
            "compiled": options.compile,
            "torch": torch.__version__,
            "temperature": options.temperature,
            "draft_length": options.draft_length,
            "rows": self.rows(),
            "chosen": chosen,
            "chosen_over": self.over(chosen),
            "domains": [query.question.domain for query in self.queries],
            "engine": costs.engine,
            "costs": {
                "target_one": costs.target.one,
                "target_round": costs.target.round,
                "evaluate_all": costs.evaluate_all,
                "overhead": costs.overhead,
                "evaluation_overhead": costs.evaluation_overhead,
                "part_overhead": costs.part_overhead,
                "measured_overhead": self.measured.overhead,
                "measured_evaluation_overhead": self.measured.evaluation_overhead,
                "measured_part_overhead": self.measured.part_overhead,
                "draft": {name: one.draft for name, one in costs.drafters.items()},
                "evaluate": {name: one.evaluate for name, one in costs.drafters.items()},
            },
        }

    def write(self) -> None:
        """The result, its costs, and the tokens of each round."""
        self.options.out.mkdir(parents=True, exist_ok=True)
        save_costs(self.options.out / "costs.json", self.costs)
        write_text(self.options.out / RESULT, json.dumps(self.result(), indent=1) + "\n")
        rounds = {name: found.emitted for name, found in self.runs.items()}
        write_text(self.options.out / ROUNDS, json.dumps(rounds) + "\n")


def tables(result: dict[str, Any]) -> str:
    """Tables of a result, in Markdown."""
    plain = next(row["tokens_per_second"] for row in result["rows"] if row["policy"] == PLAIN)
    lines = [
        f"| policy | MAT | tokens/s | over {PLAIN} | {result['chosen']} over it | "
        "replayed MAT | replayed tokens/s | evaluations, replayed | selector's share |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        over, replayed, speed, counted, mat = "", "", "", "", row["mat"]
        if row["policy"] in result["chosen_over"]:
            over = "{:.2f} to {:.2f}".format(*result["chosen_over"][row["policy"]])
        if "replayed_mat" in row:
            replayed, speed = (
                f"{row[f'replayed_{name}']:.{digits}f} "
                f"({row[f'replayed_{name}'] / row[name] - 1:+.1%})"
                for name, digits in (("mat", 2), ("tokens_per_second", 0))
            )
        if "replayed_evaluations" in row:
            counted = f"{row['evaluations']:.0f}, {row['replayed_evaluations']:.0f}"
        lines.append(
            f"| {row['policy']} | {'' if mat is None else f'{mat:.2f}'} | "
            f"{row['tokens_per_second']:.0f} | {row['tokens_per_second'] / plain:.2f} | "
            f"{over} | {replayed} | {speed} | "
            f"{counted} | {row['selector_share']:.1%} |"
        )
    costs = {
        name: value * 1e3 for name, value in result["costs"].items() if isinstance(value, float)
    }
    draft = 1e3 * float(np.median([*result["costs"]["draft"].values()]))
    evaluating = costs.get("evaluation_overhead", 0.0)
    whole = draft + costs["target_round"] + costs["evaluate_all"] + costs["overhead"] + evaluating
    lines += [
        "",
        "| milliseconds of a round | |",
        "|---|---:|",
        f"| target, 1 token | {costs['target_one']:.2f} |",
        f"| target, {result['draft_length'] + 1} tokens | {costs['target_round']:.2f} |",
        f"| draft of {result['draft_length']} tokens | {draft:.2f} |",
        f"| evaluation of all {len(result['costs']['draft'])} drafters | "
        f"{costs['evaluate_all']:.2f} ({costs['evaluate_all'] / whole:.1%}) |",
        f"| everything else, fitted | {costs['overhead']:.2f} |",
    ]
    if "evaluation_overhead" in costs:
        lines.append(f"| everything else of an evaluation, fitted | {evaluating:.2f} |")
    if "part_overhead" in costs:
        lines.append(f"| the same in part, fitted | {costs['part_overhead']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except HedgespecError as error:
        sys.exit(f"live: {error}")
