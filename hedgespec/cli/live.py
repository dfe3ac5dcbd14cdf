"""`hedgespec live`: decode with real models and a selector."""

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hedgespec.cli.chat import chat
from hedgespec.cli.common import chosen_device, chosen_dtype, held_warnings, require_models, told
from hedgespec.cli.shown import Shown
from hedgespec.errors import HedgespecError, arg
from hedgespec.options import add_options, given_options, refuse_idle, with_given

if TYPE_CHECKING:
    from rich.console import Console

    from hedgespec.live import Answer, DecoderSettings, LiveDecoder
    from hedgespec.live.log import LiveLog
    from hedgespec.live.meter import CostMeter
    from hedgespec.live.settings import LiveSettings
    from hedgespec.models.settings import Sampling
    from hedgespec.tracegen.prompts import Query, Question

EPILOG = """\
examples:
  hedgespec live --prompt "Why is the sky blue?"     SmolLM2-135M with drafters made from it
  hedgespec live --chat --drafter generalist=eagle:zoo/generalist --drafter prompt-lookup
  hedgespec live --rule tree --trees dynamic:30,5,8 --selector ucbspec
  hedgespec live --arm-lengths 0 3 5                 choose a drafter and how much it drafts
  hedgespec live --prompts question.jsonl --selector exp3spec --out logs/exp3spec
  hedgespec fidelity logs/exp3spec                   replay it: decisions must be the same

Each token has the colour of the drafter that drafted it; the target's own tokens are plain.
Drafters are those of `hedgespec record` and selectors those of `hedgespec sim` (also fixed:DRAFTER,
or none for comparison). With any of them the text has the target's own distribution. Needs the
`models` extra.
"""

_COLOURS = (
    "cyan",
    "green",
    "magenta",
    "yellow",
    "blue",
    "red",
    "bright_cyan",
    "bright_green",
    "bright_magenta",
    "bright_yellow",
    "bright_blue",
    "bright_red",
)
_UNEVEN = 1.25  # times that the target's passes may take more, or less, than its costs say


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "live",
        epilog=EPILOG,
        description="Decode speculatively with a pool of drafters, one text at a time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--prompt", metavar="TEXT", help="one question")
    what.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="question.jsonl (default: the bundled questions, one per domain)",
    )
    what.add_argument(
        "--chat", action="store_true", help="chat with the target; /help lists the commands"
    )
    for defaults in _defaults():
        add_options(parser, defaults)
    parser.set_defaults(run=run)


def _defaults() -> "tuple[LiveSettings, Sampling, DecoderSettings]":
    """What the command line begins with."""
    from hedgespec.live.settings import DecoderSettings, LiveSettings
    from hedgespec.models import smollm2
    from hedgespec.models.settings import Sampling

    return (
        LiveSettings(smollm2.NAME, device="auto", dtype="auto"),
        Sampling(temperature=0.7),
        DecoderSettings(seed=0),
    )


def run(options: argparse.Namespace) -> int:
    """Decode; show the text as it comes, and the log's place."""
    require_models("live decoding")
    from rich.console import Console

    live, sampling, decoding = _defaults()
    given = {
        name: value
        for settings in (live, sampling, decoding)
        for name, value in given_options(options, type(settings)).items()
    }
    live = with_given(live, options)
    _refuse_idle(options, given, live, with_given(sampling, options))
    questions = [] if options.chat else _questions(options, live.per_domain)
    logged = live.out is not None
    decoder = _decoder(
        live,
        replace(
            with_given(decoding, options),
            sampling=with_given(sampling, options),
            evaluate_all=logged,
            timed=logged,
        ),
    )
    console = Console(highlight=False)
    meter = None
    if live.costs and (logged or decoder.settings.arm_lengths):
        with told("measuring what target and drafters cost"):
            meter = decoder.meter()
    if meter is not None and decoder.settings.arm_lengths:
        seconds = decoder.round_seconds(meter.costs)
        decoder = decoder.with_selector(live.selector, round_seconds=seconds)
    log = _log(options, live, decoder)
    session = _Session(decoder, console, log, live.max_new_tokens, meter)
    _legend(decoder, console)
    complete = True
    try:
        if options.chat:
            console.print("/help lists the commands", style="dim")
            chat(session)
        else:
            session.answer_all(questions)
    except KeyboardInterrupt:
        console.print("\ninterrupted")
        complete = False
    finally:  # whatever ended it, what was decoded is kept
        session.sum_up()
        if log is not None and session.count:
            log.costs = meter.costs if meter else None
            _finish(log, console, live.out)
    return 0 if complete else 130


def _finish(log: "LiveLog", console: "Console", folder: Path | None) -> None:
    manifest = log.finish()
    _warn_of_drift(log, console)
    console.print(
        f"log of {manifest.queries} answers, {manifest.tokens} tokens: {folder}"
        f"\nreplay it: hedgespec fidelity {folder}",
        markup=False,
    )


def _refuse_idle(
    options: argparse.Namespace, given: dict[str, Any], live: "LiveSettings", sampling: "Sampling"
) -> None:
    from hedgespec.models.settings import idle_at
    from hedgespec.selectors.learning import NOT_ESTIMATED, parse_loss

    refuse_idle(
        given,
        [
            (
                "per_domain",
                not options.chat and options.prompt is None,
                f"it chooses among the questions of {arg('prompts')}",
            ),
            (
                "costs",
                live.out is not None or bool(given.get("arm_lengths")),
                f"they are measured for the log; give {arg('out')}",
            ),
            *idle_at(sampling.temperature),
            *(
                (name, options.chat or _learns(live.selector), f"{live.selector} does not learn")
                for name in ("feedback", "loss", "estimator")
            ),
            (
                "estimator",
                given.get("loss") is None or parse_loss(given["loss"]).estimated,
                NOT_ESTIMATED,
            ),
        ],
    )


def _learns(selector: str) -> bool:
    """Whether it looks at losses, or at its own rounds."""
    from hedgespec.results.labels import NONE
    from hedgespec.selectors import parse_selector
    from hedgespec.simulator.references import is_reference

    return not is_reference(selector) and parse_selector(selector).selector.feedback != NONE


def _decoder(live: "LiveSettings", decoding: "DecoderSettings") -> "LiveDecoder":
    from hedgespec.files import check_new
    from hedgespec.live import LiveDecoder
    from hedgespec.live.policy import check_policy
    from hedgespec.models.drafters import (
        check_before_loading,
        default_drafters,
        make_drafters,
    )
    from hedgespec.models.places import read_layers
    from hedgespec.models.target import check_device, load_model

    device = chosen_device(live.device)
    check_device(device)
    check_before_loading(live.target, live.drafters)
    specifications = live.drafters or default_drafters(read_layers(live.target))
    check_policy(live.selector, len(specifications), decoding)
    if live.out is not None:
        check_new(live.out)
    with told(f"loading {live.target} and its drafters"):
        target = load_model(live.target, device, chosen_dtype(live.dtype, device))
        drafters = make_drafters(specifications, target)
        return LiveDecoder(target, drafters, live.selector, decoding)


def _log(
    options: argparse.Namespace, live: "LiveSettings", decoder: "LiveDecoder"
) -> "LiveLog | None":
    from hedgespec.live.log import LiveLog, LogSettings

    if live.out is None:
        return None
    source = (
        "chat"
        if options.chat
        else "prompt"
        if options.prompt
        else str((options.prompts or Path("prompts.jsonl")).name)
    )
    return LiveLog(live.out, decoder, LogSettings(source, live.max_new_tokens))


def _warn_of_drift(log: "LiveLog", console: "Console") -> None:
    """The log's costs were measured before and between its answers: the machine may have run
    otherwise in their rounds."""
    slower = log.slower_than_costs
    if slower is not None and not 1 / _UNEVEN < slower < _UNEVEN:
        console.print(
            f"warning: the target's passes took {slower:.2f} times what was measured before "
            "and between answers; seconds of replays of this log are wrong by as much",
            markup=False,
        )


def _questions(options: argparse.Namespace, per_domain: int | None) -> "list[Question]":
    from hedgespec.bundled import PROMPTS
    from hedgespec.tracegen.prompts import Question, read_questions

    if options.prompt is not None:
        return [Question("prompt", "prompt", [options.prompt])]
    return read_questions(
        options.prompts or PROMPTS, per_domain or (None if options.prompts else 1)
    )


def _legend(decoder: "LiveDecoder", console: "Console") -> None:
    from rich.text import Text

    tree = f" {decoder.tree.id}" if decoder.tree else ""
    lengths = decoder.settings.arm_lengths if decoder.policy.drafts else ()
    line = Text(
        f"{decoder.label}, {decoder.rule.label}{tree}, "
        f"K = {' '.join(map(str, lengths)) or decoder.plan.draft_length}: "
    )
    for number, drafter in enumerate(decoder.drafters):
        line.append(drafter.name, _colour(number)).append("  ")
    console.print(line)


def _colour(drafter: int) -> str:
    return _COLOURS[drafter % len(_COLOURS)]


class _Speed:
    """Tokens and seconds of answers: all of them, and those behind each first round, which waits
    for the prompt to be read."""

    def __init__(self) -> None:
        self.tokens = self.rounds = self.behind = 0
        self.seconds = self.seconds_behind = 0.0

    def add(self, answer: "Answer", seconds: float, first: float) -> None:
        """`seconds` up to the end of its last round, `first` up to the end of its first one."""
        self.tokens += len(answer.tokens)
        self.rounds += len(answer.rounds)
        self.behind += len(answer.tokens) - len(answer.rounds[0].tokens)
        self.seconds += seconds
        self.seconds_behind += seconds - first

    def __str__(self) -> str:
        from hedgespec.results.overview import rate_text

        decoding = (
            f"{rate_text(self.behind / self.seconds_behind)} tokens/s decoding, "
            if self.behind
            else ""
        )
        return (
            f"MAT {self.tokens / self.rounds:.2f}, {decoding}"
            f"{rate_text(self.tokens / self.seconds)} tokens/s with reading the prompt"
        )


class _Session:
    """Answers questions one after the other, keeping the log, and measuring costs between them."""

    def __init__(
        self,
        decoder: "LiveDecoder",
        console: "Console",
        log: "LiveLog | None",
        limit: int,
        meter: "CostMeter | None" = None,
    ):
        self._decoder, self._console, self._log, self._limit = decoder, console, log, limit
        self._meter = meter
        self._speed = _Speed()
        self.count = 0

    def answer_all(self, questions: "list[Question]") -> None:
        """Each turn of each question."""
        for question in questions:
            answers: list[str] = []
            for turn in question.turns:
                self._console.print(f"\n> {turn}", style="bold", markup=False)
                answers.append(self._answer(question, answers))

    def sum_up(self) -> None:
        """One line on all answers, if there were several."""
        if self.count > 1:
            logged = ", evaluating all drafters for the log" * (self._log is not None)
            self._console.print(
                f"{self.count} answers, {self._speed.tokens} tokens: {self._speed}{logged}",
                markup=False,
            )

    def say(self, line: str) -> None:
        """A line that is not the target's."""
        self._console.print(line, style="dim", markup=False)

    def answer(self, turns: list[str], answers: list[str], stopped: Callable[[], bool]) -> str:
        """Answer the last turn of a chat."""
        from hedgespec.tracegen.prompts import Question

        return self._answer(Question("chat", "chat", turns), answers, stopped)

    def select(self, selector: str) -> None:
        """Go on with another selector. Raises HedgespecError for one that cannot be had."""
        if self._log is not None:
            raise HedgespecError(
                f"{arg('out')} keeps the log of one selector: leave it out to change to another"
            )
        self._decoder = self._decoder.with_selector(selector)
        _legend(self._decoder, self._console)

    def _answer(
        self,
        question: "Question",
        answers: list[str],
        stopped: Callable[[], bool] = lambda: False,
    ) -> str:
        """Decode one turn, showing it; an interrupted answer is logged too."""
        from time import perf_counter

        from hedgespec.live import Answer
        from hedgespec.tracegen.prompts import Query

        tokenizer = self._decoder.target.tokenizer
        query = Query.of(tokenizer, self.count, question, answers, self._limit)
        answer = Answer()
        shown = Shown(self._console, tokenizer)
        started = first = last = perf_counter()
        try:
            with held_warnings():
                try:
                    with closing(
                        self._decoder.rounds(  # ended before the answer is kept
                            query.prompt, self._limit, query.number, answer=answer
                        )
                    ) as rounds:
                        for done in rounds:
                            last = perf_counter()
                            first = last if len(answer.rounds) == 1 else first
                            shown.add(done.tokens, _colour(done.drafter))
                            if stopped():
                                break
                finally:
                    shown.end()
        finally:
            if last > started:
                self._status(answer, last - started, first - started)
            if answer.tokens:
                self._keep(query, answer)
        decoded: str = tokenizer.decode(answer.tokens, skip_special_tokens=True)
        return decoded

    def _keep(self, query: "Query", answer: "Answer") -> None:
        self.count += 1
        if self._log is not None:
            self._log.add(query, answer)
            if self._meter is not None:
                self._meter.between_answers()

    def _status(self, answer: "Answer", seconds: float, first: float) -> None:
        """One line: MAT, speed, and the weights of the last round."""
        from rich.text import Text

        speed = _Speed()
        for one in (speed, self._speed):
            one.add(answer, seconds, first)
        line, arms = Text(f"{speed}, weights ", style="dim"), self._decoder.arms
        for number in answer.rounds[-1].weights.argsort()[::-1][:4]:
            weight = answer.rounds[-1].weights[number]
            if weight >= 0.005:
                line.append(f"{arms.names[number]} {weight:.2f}  ", _colour(arms.drafters[number]))
        self._console.print(line)
