"""Records a trace: the target writes each answer once, then all drafters score it."""

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

import hedgespec
from hedgespec.command import command_line
from hedgespec.costs.measure import device_name, measure_costs
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import sha256_file, sha256_text
from hedgespec.models.distributions import Sampling
from hedgespec.models.drafters import (
    Drafter,
    check_sampling,
    default_drafters,
    make_drafters,
)
from hedgespec.models.memory import in_fitting_pieces
from hedgespec.models.target import LanguageModel, check_device, load_model
from hedgespec.models.trees import make_trees
from hedgespec.rules import Rule, parse_rule
from hedgespec.tracegen.generate import GeneratedAnswer, generate_answers, query_uniforms
from hedgespec.tracegen.prompts import Query, Question, read_questions, render, tokenize
from hedgespec.tracegen.score import Scores, score
from hedgespec.tracegen.settings import RecordingProgress, RecordSettings
from hedgespec.tracegen.write import query_table, token_table
from hedgespec.traces import (
    Costs,
    Manifest,
    RuleInfo,
    SamplingInfo,
    TargetInfo,
    TraceWriter,
    check_output,
)
from hedgespec.traces.schema import (
    PRECISIONS,
    TRACE_NAME_RULE,
    is_trace_name,
)

# Rows of full-vocabulary float32 distributions held at a time, and padded tokens teacher-forced
# at a time, per kind of device.
CHUNK_ROWS = {"cpu": 256, "cuda": 4096}
_SCORING_TOKENS = {"cpu": 2048, "cuda": 65536}
_BATCH = {"cpu": 8, "cuda": 256}


def record(settings: RecordSettings, report: Callable[[RecordingProgress], None] = lambda _: None
           ) -> Manifest:
    """Record a trace as `settings` say; return its manifest.

    Raises HedgespecError on bad input before anything is written. After an interruption the same
    call with `resume` goes on where the last finished batch ended and gives the same trace.
    """
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k)
    _check(settings)
    check_output(settings.out, settings.resume)
    questions = read_questions(settings.prompts, settings.per_domain)
    progress = RecordingProgress(sum(len(question.turns) for question in questions))
    report(progress)
    target = load_model(settings.target, settings.device, settings.dtype)
    specifications = list(settings.drafters) or default_drafters(target.layers)
    drafters = make_drafters(specifications, target)
    check_sampling(drafters, sampling)
    recorder = _Recorder(settings, sampling, target, drafters, questions, progress, report)
    return recorder.run()


def _check(settings: RecordSettings) -> None:
    if settings.precision not in PRECISIONS:
        raise HedgespecError(f"{arg('precision')} must be one of {', '.join(PRECISIONS)}")
    if not is_trace_name(settings.name):
        raise HedgespecError(f"{arg('name')} {settings.name!r}: {TRACE_NAME_RULE}")
    _recorded_rules(settings)
    make_trees(settings.trees)
    check_device(settings.device)


def _recorded_rules(settings: RecordSettings) -> list[Rule]:
    """The rules whose statistics are to be recorded."""
    rules = [parse_rule(name) for name in settings.rules]
    for rule in rules:
        if not rule.recorded:
            raise HedgespecError(f"{arg('rules', rule.label)}: nothing to record, every trace has "
                                 "what this rule needs")
        if rule.path_only:
            raise HedgespecError(f"{arg('rules', rule.label)}: draft trees are recorded with "
                                 f"{arg('trees')}, as in {arg('trees', ['dynamic'])}")
    if len({rule.label for rule in rules}) < len(rules):
        raise HedgespecError(f"{arg('rules')} names a rule twice")
    return rules


class _Recorder:
    """Runs the batches of one recording."""

    def __init__(self, settings: RecordSettings, sampling: Sampling, target: LanguageModel,
                 drafters: list[Drafter], questions: list[Question], progress: RecordingProgress,
                 report: Callable[[RecordingProgress], None]):
        self._settings = settings
        self._sampling = sampling
        self._target = target
        self._drafters = drafters
        self._questions = questions
        self._progress = progress
        self._report = report
        self._rules = _recorded_rules(settings)
        self._trees = make_trees(settings.trees)
        self._kind = target.device.type if target.device.type in _BATCH else "cuda"
        self._batch_size = settings.batch_size or _BATCH[self._kind]
        self._seconds = {"generate": 0.0, "score": 0.0}
        self._tokens_timed = 0
        self._skipped: list[str] = []
        contexts = [target.context_length, *(drafter.context_length for drafter in drafters)]
        self._context = min(length for length in contexts if length is not None)
        first = self._queries(0, {})  # before the folder is touched: prompts may be too long
        self._costs = self._measure_costs() if settings.costs else None
        self._writer = TraceWriter(settings.out, self._fingerprint(), settings.resume)
        self._first_turns = first

    def run(self) -> Manifest:
        """All turns: each needs the answers of the one before."""
        answers: dict[str, list[str]] = {question.id: [] for question in self._questions}
        for turn in range(max(len(question.turns) for question in self._questions)):
            queries = self._first_turns if turn == 0 else self._queries(turn, answers)
            for number, batch in enumerate(self._batches(queries)):
                texts = self._run_batch(f"turn{turn}-{number:05d}", batch)
                for query, text in zip(batch, texts, strict=True):
                    answers[query.question.id].append(text)
        self._say("writing")
        return self._writer.finish(self._manifest())

    def _measure_costs(self) -> Costs:
        self._say("measuring costs")
        return measure_costs(self._target, self._drafters, self._settings.draft_length)

    def _queries(self, turn: int, answers: dict[str, list[str]]) -> list[Query]:
        """The queries of one turn, numbered by question and turn.

        A first prompt without room for an answer is an error; a later turn, whose prompt depends
        on the answers, is left out then.
        """
        queries = []
        number = 0
        for question in self._questions:
            if turn < len(question.turns):
                before = answers.get(question.id, [])
                if len(before) == turn:
                    query = self._query(number + turn, question, before)
                    if query is not None:
                        queries.append(query)
            number += len(question.turns)
        return queries

    def _query(self, number: int, question: Question, answers: list[str]) -> Query | None:
        text = render(self._target.tokenizer, question, answers)
        prompt = tokenize(self._target.tokenizer, text)
        room = self._context - len(prompt)
        if room < 1 and not answers:
            raise HedgespecError(
                f"{self._settings.prompts}: question {question.id} has {len(prompt)} prompt "
                f"tokens, the shortest context of target and drafters is {self._context}"
            )
        if room < 1:
            left_out = range(len(answers), len(question.turns))
            self._skipped += [question.query_id(turn) for turn in left_out]
            self._progress.queries_total -= len(left_out)
            return None
        limit = min(self._settings.max_new_tokens, room)
        return Query(number, question, len(answers), sha256_text(text), prompt, limit)

    def _batches(self, queries: list[Query]) -> Iterator[list[Query]]:
        """Queries of similar prompt length together, longest first: memory runs out early or
        never. All rows of a batch are generated as long as its longest answer, so none may join
        whose answer would push the longest prompt beyond the context."""
        ordered = sorted(queries, key=lambda query: (-len(query.prompt), query.number))
        batch: list[Query] = []
        for query in ordered:
            room = self._context - len(batch[0].prompt) if batch else query.limit
            if len(batch) == self._batch_size or query.limit > room:
                yield batch
                batch = []
            batch.append(query)
        if batch:
            yield batch

    def _run_batch(self, name: str, batch: list[Query]) -> list[str]:
        """Record one batch, or read it if it is there already; return the answers' texts."""
        if name in self._writer.finished_batches():
            _, tokens = self._writer.read_batch(name)
            self._progress.tokens_resumed += len(tokens)
        else:
            tokens = self._record_batch(name, batch)
        self._progress.tokens += len(tokens)
        self._progress.queries_done += len(batch)
        self._report(self._progress)
        by_query = {number: group["token"].to_list()
                    for (number,), group in tokens.group_by("query")}
        return [self._target.tokenizer.decode(by_query[query.number], skip_special_tokens=True)
                for query in batch]

    def _record_batch(self, name: str, batch: list[Query]) -> pl.DataFrame:
        answers = self._timed("generate", partial(
            in_fitting_pieces, self._generate, batch, self._shrunk))
        scored: list[tuple[Query, GeneratedAnswer, Scores, np.ndarray]] = []
        for piece in self._scoring_pieces(list(zip(batch, answers, strict=True))):
            scored += self._timed("score", partial(
                in_fitting_pieces, self._score, piece, self._shrunk))
        queries, tokens = self._tables(scored)
        self._tokens_timed += len(tokens)
        self._writer.write_batch(name, queries, tokens)
        return tokens

    def _generate(self, queries: Any) -> list[GeneratedAnswer]:
        longest = max(query.limit for query in queries)

        def on_step(step: int) -> None:
            self._say(f"generating {len(queries)} answers: token {step + 1} of <= {longest}")

        return generate_answers(
            self._target, [query.prompt for query in queries],
            [query.limit for query in queries],
            [query_uniforms(self._settings.seed, query.number, query.limit) for query in queries],
            self._sampling, on_step,
        )

    def _scoring_pieces(self, pairs: list[tuple[Query, GeneratedAnswer]]
                        ) -> Iterator[list[tuple[Query, GeneratedAnswer]]]:
        """Cut a batch so that each piece, padded, stays within the token budget."""
        pairs = sorted(pairs, key=lambda pair: len(pair[0].prompt) + len(pair[1].tokens))
        piece: list[tuple[Query, GeneratedAnswer]] = []
        for query, answer in pairs:
            length = len(query.prompt) + len(answer.tokens)
            if piece and (len(piece) + 1) * length > _SCORING_TOKENS[self._kind]:
                yield piece
                piece = []
            piece.append((query, answer))
        yield piece

    def _score(self, pairs: Any) -> list[tuple[Query, GeneratedAnswer, Scores, np.ndarray]]:
        self._say(f"scoring {len(pairs)} answers with {len(self._drafters)} drafters")
        scores, embeddings = score(
            self._target, self._drafters, [query.prompt for query, _ in pairs],
            [answer.tokens for _, answer in pairs], self._sampling, CHUNK_ROWS[self._kind],
            self._rules, list(self._trees.values()),
        )
        result = []
        start = 0
        for row, (query, answer) in enumerate(pairs):
            part = slice(start, start + len(answer.tokens))
            result.append((query, answer, scores.part(part), embeddings[row].numpy()))
            start += len(answer.tokens)
        return result

    def _tables(self, scored: list[tuple[Query, GeneratedAnswer, Scores, np.ndarray]]
                ) -> tuple[pl.DataFrame, pl.DataFrame]:
        precision, source = self._settings.precision, self._settings.prompts.stem
        scored = sorted(scored, key=lambda item: item[0].number)
        queries = [query_table(query, len(answer.tokens), answer.finish_reason, embedding, source,
                               precision)
                   for query, answer, _, embedding in scored]
        # Not part of the trace: how far teacher forcing is from the generating pass.
        tokens = [token_table(query.number, answer.tokens, scores, precision).with_columns(
                      _gap=np.abs(scores.log_softmax.numpy() - answer.log_softmax))
                  for query, answer, scores, _ in scored]
        return pl.concat(queries), pl.concat(tokens)

    def _timed(self, phase: str, work: Callable[[], Any]) -> Any:
        started = perf_counter()
        result = work()
        self._seconds[phase] += perf_counter() - started
        return result

    def _say(self, phase: str) -> None:
        self._progress.phase = phase
        self._report(self._progress)

    def _shrunk(self, size: int) -> None:
        self._say(f"out of memory: going on with {size} queries at a time")

    def _fingerprint(self) -> dict[str, Any]:
        """Settings that must be the same on resumption."""
        settings = {key: value for key, value in asdict(self._settings).items()
                    if key not in ("prompts", "out", "resume", "batch_size", "drafters", "costs")}
        return {
            **settings,
            "batch_size": self._batch_size,
            "prompts_sha256": sha256_file(self._settings.prompts),
            "target_weights_sha256": self._target.weights_sha256,
            "drafters": [asdict(drafter.info()) for drafter in self._drafters],
            "hedgespec": hedgespec.__version__,
        }

    def _manifest(self) -> Manifest:
        settings = self._settings
        return Manifest(
            name=settings.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            target=TargetInfo(self._target.id, self._target.weights_sha256,
                              self._target.tokenizer_sha256, self._target.vocabulary_size),
            drafters=[drafter.info() for drafter in self._drafters],
            sampling=SamplingInfo(settings.temperature, settings.top_p, settings.top_k,
                                  settings.seed, settings.max_new_tokens),
            draft_length=settings.draft_length,
            precision=settings.precision,
            device=device_name(self._target.device),
            dtype=settings.dtype,
            queries=0,
            tokens=0,
            files={},
            versions={
                "hedgespec": hedgespec.__version__, "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "transformers", "numpy", "polars")},
            },
            recording={
                "command": command_line(),
                "prompts": settings.prompts.name,
                "prompts_sha256": sha256_file(settings.prompts),
                "seconds": {key: round(value, 3) for key, value in self._seconds.items()},
                "tokens_in_these_seconds": self._tokens_timed,
                "log_softmax_gap": self._gap(),
                "left_out_for_lack_of_context": self._skipped,
            },
            costs=self._costs,
            rules=[*(RuleInfo(rule.label) for rule in self._rules),
                   *(RuleInfo(tree.label, tree.shape.deepest, tree.id)
                     for tree in self._trees.values())],
        )

    def _gap(self) -> dict[str, float]:
        """|log softmax of the emitted token| between generating and teacher-forced pass."""
        gaps = self._writer.read_token_column("_gap").to_numpy()
        return {"mean": float(gaps.mean()), "max": float(gaps.max())}
