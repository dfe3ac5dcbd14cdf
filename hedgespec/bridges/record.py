"""Records a trace from running servers: the target's writes, or answers are given, and all score.

Each answer is a batch of its own on disk, so that nothing is lost when a server dies.
"""

import json
import platform
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.bridges import selftest
from hedgespec.bridges.answers import Answers, TraceAnswers, read_answers
from hedgespec.bridges.client import Client, ServerError
from hedgespec.bridges.crew import as_finished
from hedgespec.bridges.dialects import Dialect, dialect_of
from hedgespec.bridges.dialects.base import Listed, ServerInfo
from hedgespec.bridges.listed_law import check_law, emitted_log, law, statistics
from hedgespec.bridges.server_keys import keys_of
from hedgespec.bridges.settings import LISTED, ServerSettings, is_server
from hedgespec.bridges.tokenizer import tokenizer_of
from hedgespec.command import command_to_pass_on, package_versions
from hedgespec.errors import HedgespecError, arg
from hedgespec.files import sha256_file, sha256_text
from hedgespec.models.settings import Sampling
from hedgespec.tracegen.prompts import Query, Question, read_questions, tokenize
from hedgespec.tracegen.queries import Queries
from hedgespec.tracegen.settings import RecordingProgress, RecordSettings
from hedgespec.tracegen.write import query_table, token_table
from hedgespec.traces import (
    DrafterInfo,
    Manifest,
    SamplingInfo,
    TargetInfo,
    TraceWriter,
    check_output,
)
from hedgespec.traces.gap import FIELD, gap_fault
from hedgespec.traces.schema import (
    BOUNDS,
    PRECISIONS,
    TRACE_NAME_RULE,
    is_drafter_name,
    is_trace_name,
    optional_column,
    statistic_column,
)

TARGET = "target"
KIND = "lm"  # the family of drafters that servers run
_NO_CONTEXT = 1 << 20  # tokens, where no server names its context
_FEW = 16  # tokens: of fewer, rounding does not make a mean yet
# Settings that say how local models run or what only these give, and what they are without.
_LOCAL = {"rules": (), "trees": (), "features": False, "batch_size": None, "part": None}


@dataclass(frozen=True)
class _Server:
    """A server that passed the self-test."""

    name: str
    dialect: Dialect
    info: ServerInfo
    tested: selftest.Tested


@dataclass(frozen=True)
class _Recorded:
    """The tables of one answer, and its text."""

    query: Query
    queries: pl.DataFrame
    tokens: pl.DataFrame
    text: str


def record_from_servers(
    settings: RecordSettings,
    how: ServerSettings,
    report: Callable[[RecordingProgress], None] = lambda _: None,
) -> Manifest:
    """Record a trace from the servers that `settings` name as target and drafters.

    Raises HedgespecError on bad input, and for a server that fails the self-test, before anything
    is written; ServerError when one dies on the way. The same call with `resume` then goes on.
    """
    names = _check(settings)
    check_output(settings.out, settings.resume)
    questions = read_questions(settings.prompts, settings.per_domain)
    answers = read_answers(how.answers) if how.answers else None
    if isinstance(answers, TraceAnswers):
        _check_same_law(settings, answers)
    progress = RecordingProgress(
        sum(len(question.turns) for question in questions), phase="testing servers"
    )
    report(progress)
    with _clients(names, how) as clients:
        setup = _Setup(settings, how, clients)
        return _Recorder(setup, questions, answers, progress, report).run()


def _check(settings: RecordSettings) -> dict[str, str]:
    """The addresses by name, the target's first. Raises HedgespecError for what servers do not
    give."""
    for name, without in _LOCAL.items():
        if getattr(settings, name) != without:
            raise HedgespecError(f"{arg(name)}: needs models that run here; servers do not give it")
    if not is_trace_name(settings.name):
        raise HedgespecError(f"{arg('name')} {settings.name!r}: {TRACE_NAME_RULE}")
    if settings.precision not in PRECISIONS:
        raise HedgespecError(f"{arg('precision')} must be one of {', '.join(PRECISIONS)}")
    if not settings.drafters:
        raise HedgespecError(
            f"{arg('drafters')}: name a server of each drafter, as in small=http://127.0.0.1:8001"
        )
    named = {TARGET: _without_password(settings.target)}
    for specification in settings.drafters:
        name, _, address = _without_password(specification).partition("=")
        if not is_server(address):
            raise HedgespecError(
                f"{arg('drafters')} {specification!r}: beside a target's server "
                "each drafter is NAME=http://HOST:PORT"
            )
        if not is_drafter_name(name) or name in named:
            raise HedgespecError(
                f"{arg('drafters')} {specification!r}: the name must differ "
                f'from {", ".join(named)} and hold only a-z, 0-9, ".", "_", "-"'
            )
        named[name] = address
    return named


def _without_password(address: str) -> str:
    """Raise HedgespecError, without saying it, for an address that messages must not show."""
    if "@" in address:
        raise HedgespecError(
            f"{arg('target')}, {arg('drafters')}: an address must hold no name or "
            f"password (...@...); {arg('key_variable')} names the environment "
            "variable of a key"
        )
    return address


def _check_same_law(settings: RecordSettings, answers: TraceAnswers) -> None:
    for name in ("temperature", "top_p", "top_k"):
        own, given = getattr(settings, name), getattr(answers.sampling, name)
        if own != given:
            raise HedgespecError(f"{arg(name, own)}: the given answers were sampled with {given}")


@contextmanager
def _clients(names: dict[str, str], how: ServerSettings) -> Iterator[list[Client]]:
    keys = keys_of(names, how.key_variable)
    clients = [
        Client(name, address, how.timeout, how.retries, key=keys[name])
        for name, address in names.items()
    ]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


class _Setup:
    """The servers, tested, and what is asked of them."""

    def __init__(self, settings: RecordSettings, how: ServerSettings, clients: list[Client]):
        self.settings, self.how, self.clients = settings, how, clients
        self.sampling = Sampling(settings.temperature, settings.top_p, settings.top_k)
        self.top = how.top_logprobs or (max(settings.top_k, 2) if settings.top_k else LISTED)
        dialects = [dialect_of(client, how.engine) for client in clients]
        self.tokenizer = tokenizer_of(dialects[0], how.tokenizer)
        for dialect in dialects:
            dialect.check_sampling(self.sampling)
        self._ids = self.tokenizer(selftest.TEXT, add_special_tokens=False)["input_ids"]
        selftest.check_one_tokenizer(dialects, self._ids)
        self.servers = [
            _Server(
                dialect.client.name,
                dialect,
                dialect.info(),
                selftest.check_server(dialect, self._ids, self.top),
            )
            for dialect in dialects
        ]
        whole = all(
            server.dialect.score(self._ids[:1], self._ids[1:2], self.top).whole
            for server in self.servers
        )
        if not whole:
            check_law(self.sampling, self.top)
        free = settings.top_k == 0 and settings.temperature > 0
        self.bounded = free and not whole

    @property
    def target(self) -> _Server:
        return self.servers[0]

    @property
    def drafters(self) -> list[_Server]:
        return self.servers[1:]

    @property
    def context(self) -> int:
        """The shortest context that a server names."""
        return min(
            (server.info.context for server in self.servers if server.info.context),
            default=_NO_CONTEXT,
        )

    def fingerprint(self, queries: list[Query]) -> dict[str, Any]:
        """What must be the same on resumption."""
        prompts = json.dumps([[query.prompt_sha256, query.prompt] for query in queries])
        kept = (
            "name",
            "temperature",
            "top_p",
            "top_k",
            "seed",
            "max_new_tokens",
            "draft_length",
            "per_domain",
            "precision",
        )
        return {
            **{name: getattr(self.settings, name) for name in kept},
            "prompts_sha256": sha256_file(self.settings.prompts),
            "prompts_as_rendered_by_the_chat_template": sha256_text(prompts),
            "top_logprobs": self.top,
            "answers": self._answers(),
            "servers": {
                server.name: [server.dialect.name, server.info.model] for server in self.servers
            },
        }

    def _answers(self) -> str | None:
        given = self.how.answers
        if given is None:
            return None
        return sha256_file(given / "manifest.json" if given.is_dir() else given)


class _Recorder:
    """Runs one recording."""

    def __init__(
        self,
        setup: _Setup,
        questions: list[Question],
        answers: Answers | None,
        progress: RecordingProgress,
        report: Callable[[RecordingProgress], None],
    ):
        settings = setup.settings
        self._setup, self._questions, self._answers = setup, questions, answers
        self._progress, self._report = progress, report
        self._queries = Queries(
            questions, setup.tokenizer, setup.context - 1, settings.max_new_tokens, settings.prompts
        )
        progress.phase = "rendering prompts"
        report(progress)
        self._first_turns = self._queries.of_turn(0, {})
        self._writer = TraceWriter(
            settings.out, setup.fingerprint(self._first_turns), settings.resume
        )

    def run(self) -> Manifest:
        """All turns: each needs the answers of the one before."""
        texts: dict[str, list[str]] = {question.id: [] for question in self._questions}
        self._progress.phase = "recording"
        for turn in range(max(len(question.turns) for question in self._questions)):
            before = len(self._queries.left_out)
            queries = self._queries.of_turn(turn, texts) if turn else self._first_turns
            self._progress.queries_total -= len(self._queries.left_out) - before
            for query, text in self._of_turn(queries):
                texts[query.question.id].append(text)
        return self._writer.finish(self._manifest())

    def _of_turn(self, queries: list[Query]) -> list[tuple[Query, str]]:
        finished, done = self._writer.finished_batches(), []
        for query in queries:
            if _name(query) in finished:
                done.append((query, self._resumed(query)))
        left = [query for query in queries if _name(query) not in finished]
        return done + self._record_all(left)

    def _resumed(self, query: Query) -> str:
        """The text of an answer that is on disk."""
        recorded = self._writer.read_queries(_name(query))
        if recorded["prompt_sha256"].to_list() != [query.prompt_sha256]:
            raise HedgespecError(
                f"{self._setup.settings.out}: cannot resume: the prompt of "
                f"{query.question.query_id(query.turn)} is not that recorded before; does the "
                "chat template print the date? Remove the folder to start anew"
            )
        tokens = self._writer.read_tokens(_name(query), ["token"])["token"].to_list()
        self._progress.tokens_resumed += len(tokens)
        self._count(len(tokens))
        return self._text(tokens, recorded["finish_reason"][0])

    def _record_all(self, queries: list[Query]) -> list[tuple[Query, str]]:
        """Some answers at once. When one fails, no others begin, and those in work are kept."""
        done: list[tuple[Query, str]] = []
        try:
            with closing(as_finished(self._record, queries, self._setup.how.concurrency)) as ended:
                for found in ended:
                    self._writer.write_batch(_name(found.query), found.queries, found.tokens)
                    self._count(len(found.tokens))
                    done.append((found.query, found.text))
        except BaseException as fault:  # Ctrl-C too
            for client in self._setup.clients:
                client.stop()
            if isinstance(fault, HedgespecError):
                raise self._stopped(fault) from fault
            raise
        return done

    def _stopped(self, fault: HedgespecError) -> ServerError:
        """The error, and how to go on."""
        kept = len(self._writer.finished_batches())
        return ServerError(
            f"{fault.worded(arg)}; {kept} of {self._progress.queries_total} answers are kept in "
            f"{self._setup.settings.out}: run the same again with {arg('resume', True)}"
        )

    def _count(self, tokens: int) -> None:
        self._progress.tokens += tokens
        self._progress.queries_done += 1
        self._report(self._progress)

    def _record(self, query: Query) -> _Recorded:
        """One answer: written or given, then scored by all."""
        setup = self._setup
        tokens, finish_reason, written = self._answer(query)
        emitted = np.array(tokens)
        scored = setup.target.dialect.score(query.prompt, tokens, setup.top)
        gap = self._gap(query, scored, written)
        p = law(scored, emitted, setup.sampling, target=True)
        columns: dict[str, np.ndarray] = {}
        for server in setup.drafters:
            listed = server.dialect.score(query.prompt, tokens, setup.top)
            q = law(listed, emitted, setup.sampling, target=False)
            columns |= {
                _column(statistic, server.name): values
                for statistic, values in statistics(p, q, emitted, setup.bounded).items()
            }
        precision = setup.settings.precision
        return _Recorded(
            query,
            query_table(
                query,
                len(tokens),
                finish_reason,
                np.zeros(0, np.float32),
                setup.settings.prompts.stem,
                precision,
            ),
            token_table({query.number: tokens}, emitted_log(p), columns, precision).with_columns(
                pl.Series("_gap", gap, dtype=pl.Float64)
            ),
            self._text(tokens, finish_reason),
        )

    def _answer(self, query: Query) -> tuple[list[int], str, Listed | None]:
        setup, where = self._setup, query.question.query_id(query.turn)
        if self._answers is None:
            found = setup.target.dialect.write(
                query.prompt, query.limit, setup.sampling, self._seed(query), 2
            )
            if not found.tokens:
                raise ServerError(f"server {TARGET}: wrote no token for question {where}")
            return found.tokens, found.finish_reason, found.listed
        given = self._answers.of(query)
        if given is None:
            raise HedgespecError(
                f"{arg('answers', setup.how.answers)}: no answer to question {where}"
            )
        answer, finish_reason = given
        tokens = tokenize(setup.tokenizer, answer) if isinstance(answer, str) else answer
        if not tokens:
            raise HedgespecError(
                f"{arg('answers', setup.how.answers)}: the answer to question {where} has no tokens"
            )
        cut = tokens[: query.limit]
        return cut, finish_reason if len(cut) == len(tokens) else "length", None

    def _seed(self, query: Query) -> int:
        """Of a query's text, below 2^31, as engines take it."""
        return int(sha256_text(f"{self._setup.settings.seed}/{query.number}")[:8], 16) >> 1

    def _gap(self, query: Query, scored: Listed, written: Listed | None) -> np.ndarray:
        """|log softmax of the emitted tokens| between writing and scoring (T), NaN where it is not
        known. Raises HedgespecError if they are different models."""
        setup = self._setup
        divided = setup.target.dialect.divides and setup.sampling.temperature not in (0, 1)
        if written is None or divided:
            return np.full(len(scored), np.nan)
        gap: np.ndarray = np.abs(scored.own - written.own)
        fault = gap_fault(float(gap.sum()) / max(len(gap), _FEW), float(gap.max()), selftest.DTYPE)
        if fault:
            raise ServerError(
                f"server {TARGET}: question {query.question.query_id(query.turn)}: "
                f"{fault}; it was not recorded"
            )
        return gap

    def _text(self, tokens: list[int], finish_reason: str) -> str:
        """An answer without its end token, as the next turn's prompt has it."""
        shown = tokens[:-1] if finish_reason == "eos" else tokens
        text: str = self._setup.tokenizer.decode(shown, skip_special_tokens=True)
        return text

    def _manifest(self) -> Manifest:
        setup, settings = self._setup, self._setup.settings
        target, recorded = setup.target.info, self._writer.read_token_column("token")
        size = target.vocabulary_size or int(recorded.max()) + 1  # type: ignore[arg-type]
        return Manifest(
            name=settings.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            target=TargetInfo(_model(target), None, None, size),
            drafters=[
                DrafterInfo(
                    server.name,
                    KIND,
                    f"{KIND}:{_model(server.info)}",
                    None,
                    statistics=BOUNDS if setup.bounded else (),
                )
                for server in setup.drafters
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
            device="servers",
            dtype=selftest.DTYPE,
            queries=0,
            tokens=0,
            files={},
            versions={
                "python": platform.python_version(),
                **package_versions("httpx", "numpy", "polars"),
            },
            recording=self._recording(),
        )

    def _recording(self) -> dict[str, Any]:
        setup, settings = self._setup, self._setup.settings
        gaps = self._writer.read_token_column("_gap").drop_nans()
        found = {FIELD: {"mean": gaps.mean(), "max": gaps.max()}} if len(gaps) else {}
        return {
            "command": [
                re.sub(r"https?://\S+", "http://...", word) for word in command_to_pass_on()
            ],
            "prompts": settings.prompts.name,
            "prompts_sha256": sha256_file(settings.prompts),
            "answers": setup.how.answers.name if setup.how.answers else None,
            "left_out_for_lack_of_context": self._queries.left_out,
            "gamma": (
                "bounded: gamma is the middle of gamma_low and gamma_high"
                if setup.bounded
                else "exact"
            ),
            "top_logprobs": setup.top,
            "servers": {
                server.name: {
                    "engine": server.dialect.name,
                    **asdict(server.info),
                    "model": _model(server.info),
                    **server.tested.document(),
                }
                for server in setup.servers
            },
            **found,
        }


def _name(query: Query) -> str:
    return f"turn{query.turn}-{query.number:06d}"


def _model(info: ServerInfo) -> str:
    """A model by its name, not by where it lies."""
    return Path(info.model).name or info.model


def _column(statistic: str, drafter: str) -> str:
    if statistic in BOUNDS:
        return optional_column(statistic, drafter)
    return statistic_column(statistic, drafter, 1, 1)
