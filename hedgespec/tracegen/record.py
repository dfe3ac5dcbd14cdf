"""Records a trace: the target writes each answer once, then all drafters score it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter, sleep
from typing import Any

import numpy as np
import polars as pl

from hedgespec.costs.measure import costs_measurement
from hedgespec.errors import HedgespecError
from hedgespec.models.drafters import check_before_loading
from hedgespec.models.fitting import in_fitting_pieces
from hedgespec.tracegen.describe import fingerprint, manifest
from hedgespec.tracegen.generate import GeneratedAnswer, generate_answers, query_uniforms
from hedgespec.tracegen.prompts import Query, Question, read_questions
from hedgespec.tracegen.queries import Queries, batches
from hedgespec.tracegen.score import Scores, score
from hedgespec.tracegen.settings import RecordingProgress, RecordSettings
from hedgespec.tracegen.setup import Loaded, Setup, check_settings, load_setup
from hedgespec.tracegen.write import query_table, token_table
from hedgespec.traces import Costs, Manifest, TraceWriter, check_output, load_manifest
from hedgespec.traces.gap import FIELD, gap_fault
from hedgespec.traces.schema import MANIFEST

# Rows of full-vocabulary float32 distributions held at a time, and padded tokens teacher-forced
# at a time, per kind of device.
CHUNK_ROWS = {"cpu": 256, "cuda": 4096}
_SCORING_TOKENS = {"cpu": 2048, "cuda": 65536}
_BATCH = {"cpu": 8, "cuda": 256}
_WAIT = 0.2  # seconds, before other parts are looked after again
_FEW = 16  # tokens: of fewer, rounding does not make a mean yet


def costs_as_read(setup: Setup) -> Costs:
    """What rounds cost with the models as recording has them, one pass after another."""
    return costs_measurement(setup.target, setup.drafters, setup.settings.draft_length).take()


def record(
    settings: RecordSettings,
    report: Callable[[RecordingProgress], None] = lambda _: None,
    loaded: Loaded | None = None,
    measure: Callable[[Setup], Costs] = costs_as_read,
) -> Manifest:
    """Record a trace as `settings` say; return its manifest.

    `loaded` are models that other recordings of this target and device have loaded. `measure` gives
    the costs that the trace keeps: hedgespec.live.pool_costs has those of live decoding.

    Raises HedgespecError on bad input before anything is written. After an interruption the same
    call with `resume` goes on where the last finished batch ended and gives the same trace. Of
    several parts the first merges what all have recorded, and each ends when the trace is whole.
    """
    check_settings(settings)
    check_output(settings.out, settings.resume or settings.part is not None)
    if loaded is None or loaded.target is None:
        check_before_loading(settings.target, settings.drafters)
    questions = read_questions(settings.prompts, settings.per_domain)
    progress = RecordingProgress(sum(len(question.turns) for question in questions))
    report(progress)
    started = perf_counter()
    setup = load_setup(settings, loaded)
    seconds = {"load": perf_counter() - started}
    return _Recorder(setup, questions, progress, report, seconds, measure).run()


@dataclass(frozen=True)
class _Scored:
    """Some answers, the statistics of their tokens one after another, and the embeddings (Q, H) of
    their prompts."""

    pairs: Sequence[tuple[Query, GeneratedAnswer]]
    scores: Scores
    embeddings: np.ndarray


class _Recorder:
    """Runs the batches of one recording."""

    def __init__(
        self,
        setup: Setup,
        questions: list[Question],
        progress: RecordingProgress,
        report: Callable[[RecordingProgress], None],
        seconds: dict[str, float],
        measure: Callable[[Setup], Costs],
    ):
        """`seconds` are those of what was done before, by its name."""
        settings = setup.settings
        self._setup, self._questions = setup, questions
        self._progress, self._report = progress, report
        self._kind = setup.target.device.type if setup.target.device.type in _BATCH else "cuda"
        self._batch_size = settings.batch_size or _BATCH[self._kind]
        self._seconds = {**seconds, "costs": 0.0, "generate": 0.0, "score": 0.0}
        self._tokens_timed = 0
        self._queries = Queries(
            questions,
            setup.target.tokenizer,
            setup.context,
            settings.max_new_tokens,
            settings.prompts,
        )
        # Before the folder is touched: prompts may be too long.
        self._first_turns = self._queries.of_turn(0, {})
        self._part, self._parts = settings.share
        measures = settings.costs and self._part == 0
        self._costs = (
            self._timed("costs", partial(self._measure_costs, measure)) if (measures) else None
        )
        self._writer = TraceWriter(
            settings.out,
            fingerprint(setup, self._batch_size, self._first_turns),
            settings.resume or settings.part is not None,
        )

    def run(self) -> Manifest:
        """All turns; of several parts the others are done when the first has merged them."""
        if self._part == 0:
            self._run_turns()
            self._say("writing")
            return self._writer.finish(manifest(self._setup, self._costs, self._of_this_run()))
        try:
            self._run_turns()
            self._wait(self._is_whole)
        except HedgespecError:
            if not self._is_whole():  # else what was waited for has been merged already
                raise
        return load_manifest(self._setup.settings.out)

    def _run_turns(self) -> None:
        """Each needs the answers of the one before. Batches of other parts are waited for."""
        answers: dict[str, list[str]] = {question.id: [] for question in self._questions}
        turns = max(len(question.turns) for question in self._questions)
        for turn in range(turns):
            queries = self._queries_of(turn, answers)
            found = enumerate(batches(queries, self._batch_size, self._setup.context))
            for number, batch in sorted(found, key=lambda one: one[0] % self._parts != self._part):
                name = f"turn{turn}-{number:05d}"
                if number % self._parts != self._part:
                    self._wait(partial(self._is_there, name))
                self._run_batch(name, batch)
                if turn + 1 < turns:
                    for query, text in zip(batch, self._texts(name, batch), strict=True):
                        answers[query.question.id].append(text)

    def _wait(self, until: Callable[[], bool]) -> None:
        """For what another part does. Raises HedgespecError if the trace is whole before."""
        while not until():
            if self._is_whole():
                raise HedgespecError(f"{self._setup.settings.out}: is whole already")
            self._say("waiting for the other parts")
            sleep(_WAIT)

    def _is_there(self, name: str) -> bool:
        return name in self._writer.finished_batches()

    def _is_whole(self) -> bool:
        return (self._setup.settings.out / MANIFEST).exists()

    def _measure_costs(self, measure: Callable[[Setup], Costs]) -> Costs:
        self._say("measuring costs")
        return measure(self._setup)

    def _queries_of(self, turn: int, answers: dict[str, list[str]]) -> list[Query]:
        if turn == 0:
            return self._first_turns
        before = len(self._queries.left_out)
        queries = self._queries.of_turn(turn, answers)
        self._progress.queries_total -= len(self._queries.left_out) - before
        return queries

    def _run_batch(self, name: str, batch: list[Query]) -> None:
        """Record one batch unless it is there already."""
        if self._is_there(name):
            self._check_same_prompts(name, batch, self._writer.read_queries(name))
            tokens = len(self._writer.read_tokens(name, ["token"]))
            self._progress.tokens_resumed += tokens
        else:
            tokens = self._record_batch(name, batch)
        self._progress.tokens += tokens
        self._progress.queries_done += len(batch)
        self._report(self._progress)

    def _texts(self, name: str, batch: list[Query]) -> list[str]:
        """The texts of a finished batch's answers."""
        tokens = self._writer.read_tokens(name, ["query", "token"])
        by_query = {
            number: group["token"].to_list() for (number,), group in tokens.group_by("query")
        }
        tokenizer = self._setup.target.tokenizer
        return [
            tokenizer.decode(by_query[query.number], skip_special_tokens=True) for query in batch
        ]

    def _check_same_prompts(self, name: str, batch: list[Query], recorded: pl.DataFrame) -> None:
        """Raise HedgespecError unless a finished batch is of these prompts: a later turn's may
        have another date than those recorded before."""
        before = dict(recorded.select("query", "prompt_sha256").iter_rows())
        if before != {query.number: query.prompt_sha256 for query in batch}:
            raise HedgespecError(
                f"{self._setup.settings.out}: cannot resume: the prompts of {name} are not those "
                "recorded before; does the chat template print the date? Remove the folder to "
                "start anew"
            )

    def _record_batch(self, name: str, batch: list[Query]) -> int:
        """Record one batch; return its number of tokens."""
        answers = self._timed(
            "generate", partial(in_fitting_pieces, self._generate, batch, self._shrunk)
        )
        scored: list[_Scored] = []
        for piece in _scoring_pieces(batch, answers, _SCORING_TOKENS[self._kind]):
            scored += self._timed(
                "score", partial(in_fitting_pieces, self._scored, piece, self._shrunk)
            )
        queries, tokens = self._tables(scored)
        self._tokens_timed += len(tokens)
        self._writer.write_batch(name, queries, tokens)
        return len(tokens)

    def _generate(self, queries: Sequence[Query]) -> list[GeneratedAnswer]:
        longest = max(query.limit for query in queries)

        def on_step(step: int) -> None:
            self._say(f"generating {len(queries)} answers: token {step + 1} of <= {longest}")

        seed = self._setup.settings.seed
        return generate_answers(
            self._setup.target,
            [query.prompt for query in queries],
            [query.limit for query in queries],
            [query_uniforms(seed, query.number, query.limit) for query in queries],
            self._setup.sampling,
            on_step,
        )

    def _scored(self, pairs: Sequence[tuple[Query, GeneratedAnswer]]) -> list[_Scored]:
        setup = self._setup
        self._say(f"scoring {len(pairs)} answers with {len(setup.drafters)} drafters")
        scores, embeddings = score(
            setup.target,
            setup.drafters,
            [query.prompt for query, _ in pairs],
            [answer.tokens for _, answer in pairs],
            setup.sampling,
            CHUNK_ROWS[self._kind],
            setup.rules,
            setup.trees,
            setup.settings.features,
        )
        return [_Scored(pairs, scores, embeddings.numpy())]

    def _tables(self, scored: list[_Scored]) -> tuple[pl.DataFrame, pl.DataFrame]:
        precision = self._setup.settings.precision
        queries = [
            query_table(
                query,
                len(answer.tokens),
                answer.finish_reason,
                embedding,
                self._setup.settings.prompts.stem,
                precision,
            )
            for one in scored
            for (query, answer), embedding in zip(one.pairs, one.embeddings, strict=True)
        ]
        # Not part of the trace: how far teacher forcing is from the generating pass.
        tokens = [
            token_table(
                {query.number: answer.tokens for query, answer in one.pairs},
                one.scores.log_p,
                one.scores.drafters,
                precision,
            ).with_columns(_gap=self._checked_gap(one))
            for one in scored
        ]
        return pl.concat(queries), pl.concat(tokens)

    def _checked_gap(self, one: _Scored) -> np.ndarray:
        """|log softmax of the emitted tokens| between the passes, (T).

        Raises HedgespecError if they are different models.
        """
        written = [answer.log_softmax for _, answer in one.pairs]
        gap: np.ndarray = np.abs(one.scores.log_softmax - np.concatenate(written))
        ends = np.cumsum([len(own) for own in written])
        for (query, _), own in zip(one.pairs, np.split(gap, ends[:-1]), strict=True):
            mean = float(own.sum()) / max(len(own), _FEW)
            fault = gap_fault(mean, float(own.max()), self._setup.settings.dtype)
            if fault:
                raise HedgespecError(
                    f"question {query.question.query_id(query.turn)}: {fault}; nothing of "
                    f"this batch was recorded. {self._setup.target.id} cannot be recorded"
                )
        return gap

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

    def _of_this_run(self) -> dict[str, Any]:
        return {
            "seconds": {key: round(value, 3) for key, value in self._seconds.items()},
            "tokens_in_these_seconds": self._tokens_timed,
            FIELD: self._gap(),
            "left_out_for_lack_of_context": self._queries.left_out,
        }

    def _gap(self) -> dict[str, float]:
        """|log softmax of the emitted token| between generating and teacher-forced pass."""
        gaps = self._writer.read_token_column("_gap").to_numpy()
        return {"mean": float(gaps.mean()), "max": float(gaps.max())}


def _scoring_pieces(
    queries: list[Query], answers: list[GeneratedAnswer], budget: int
) -> Iterator[list[tuple[Query, GeneratedAnswer]]]:
    """Cut a batch so that each piece, padded, holds at most `budget` tokens, or one answer."""
    pairs = sorted(
        zip(queries, answers, strict=True),
        key=lambda pair: len(pair[0].prompt) + len(pair[1].tokens),
    )
    piece: list[tuple[Query, GeneratedAnswer]] = []
    for query, answer in pairs:
        length = len(query.prompt) + len(answer.tokens)
        if piece and (len(piece) + 1) * length > budget:
            yield piece
            piece = []
        piece.append((query, answer))
    yield piece
