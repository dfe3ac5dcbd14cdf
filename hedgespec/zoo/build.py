"""Makes a zoo: a generalist head, one expert head per domain, a generalist of all domains, heads
that draft by other methods, and small stand-alone models."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter, sleep
from typing import TypeVar

import numpy as np
import torch
from transformers import LlamaForCausalLM

from hedgespec.command import package_versions
from hedgespec.costs.measure import device_name
from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.files import check_writable, parse_json, sha256_text, without_folders, write_text
from hedgespec.models.distributions import Sampling
from hedgespec.models.grouped_attention import own_kernels
from hedgespec.models.heads.eagle import EagleHead, ParallelHead, load_head, save_head
from hedgespec.models.heads.eagle.config import default_layers
from hedgespec.models.heads.eagle.head import drafting_places, target_tokens
from hedgespec.models.heads.recurrent import RecurrentHead, load_redrafter, save_redrafter
from hedgespec.models.options import SPLIT
from hedgespec.models.places import check_place
from hedgespec.models.target import LanguageModel, check_device, load_model
from hedgespec.version import __version__
from hedgespec.zoo.answers import Assignment, write_answers
from hedgespec.zoo.corpus import Batch, Corpus, load_corpus, save_corpus
from hedgespec.zoo.evaluation import judge, tokens_per_round
from hedgespec.zoo.memory import estimate, free_memory
from hedgespec.zoo.new_heads import (
    attach,
    draft_readouts,
    draft_vocabulary,
    inherit,
    new_head,
    new_parallel_head,
    new_recurrent_head,
)
from hedgespec.zoo.questions import held_out_questions, lengthened, training_questions
from hedgespec.zoo.settings import (
    EXPERT_DOMAINS,
    GENERAL,
    GENERALIST,
    LOSSES,
    METHODS,
    MIXED,
    PARALLEL,
    RECURRENT,
    ZooSettings,
)
from hedgespec.zoo.small_models import load_small_model, new_small_model
from hedgespec.zoo.teacher import Lessons, Teacher
from hedgespec.zoo.training import Plan, read_curve, train
from hedgespec.zoo.training_losses import Drafts, drafting_loss

SUMMARY = "zoo.json"
ANSWERS = "answers"
_MADE = "training.json"
_WAIT = 0.2  # seconds, before other parts are looked after again
# Settings that shape the text of one expert domain, and of all.
_OWN_TEXT = ("temperature", "seed", "questions", "answers", "max_new_tokens", "long_answers")
_TEXT = (*_OWN_TEXT, "general_questions", "general_answers")
_MAY_BE_0 = ("seed", "mixed", "long_answers")

# Told what is being made, how much there is to do, how much is done, and a note.
OnStep = Callable[[str, int, int, str], None]
Network = TypeVar("Network", EagleHead, RecurrentHead)
DraftsOf = Callable[[Batch, Lessons | None], Drafts]


def make_zoo(
    settings: ZooSettings,
    report: OnStep = lambda *_: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, object]:
    """Make what is missing of the zoo in `settings.out`; return its summary, also in zoo.json.

    `report(part, total, done, note)` is told the progress, `say` what a user should read: how much
    memory it takes, and learning rates that were halved. After an interruption the same call
    goes on: finished parts are kept, trainings resume from their checkpoints. Of several processes,
    each with its `part`, the first waits for all and judges; the others return {} when all is made.
    Raises HedgespecError for settings out of range, or if the folder holds a zoo made with others.
    """
    check_zoo(settings)
    check_writable(settings.out)
    check_place(settings.target)
    report("loading the target", 1, 0, "")
    target = load_model(settings.target, settings.device, settings.dtype)
    with own_kernels():
        return _Zoo(settings.with_rates(target.hidden_size), target, report, say).make()


def check_zoo(settings: ZooSettings) -> None:
    """Raise HedgespecError for settings that no zoo can be trained with."""
    for name, loss in (("loss", settings.loss), ("expert_loss", settings.expert_loss)):
        if loss not in LOSSES:
            raise HedgespecError(
                f"{arg(name)} must be one of {', '.join(LOSSES)}, not {loss!r}"
                + did_you_mean(loss, LOSSES)
            )
    for name in (*settings.domains, *settings.small):
        if name not in EXPERT_DOMAINS:
            raise HedgespecError(
                f"no domain {name!r}; choose from {', '.join(EXPERT_DOMAINS)}"
                + did_you_mean(name, EXPERT_DOMAINS)
            )
    for name in settings.methods:
        if name not in METHODS:
            raise HedgespecError(
                f"no method {name!r}; choose from {', '.join(METHODS)}"
                + did_you_mean(name, METHODS)
            )
    for name in settings.small:
        if name not in settings.domains:
            raise HedgespecError(f"{arg('small', name)}: not among {arg('domains')}")
    for item in fields(settings):
        value = getattr(settings, item.name)
        if (
            isinstance(value, int | float)
            and item.name not in _MAY_BE_0
            and not (0 < value < math.inf)
        ):
            raise HedgespecError(f"{arg(item.name)} must be positive, not {value}")
    if not 0 <= settings.long_answers <= 1:
        raise HedgespecError(f"{arg('long_answers')} must lie in 0..1, not {settings.long_answers}")
    settings.share  # noqa: B018 - refused here if it makes no sense
    if settings.device == SPLIT:
        raise HedgespecError(
            f"{arg('device', SPLIT)}: drafters are trained on one GPU; only a "
            f"finished zoo, with its {SUMMARY}, can be recorded on several"
        )
    check_device(settings.device)


def shares(steps: dict[str, int], parts: int) -> list[list[str]]:
    """Which drafters, of as many training `steps` each, every part makes.

    The first makes the generalist, and all others wait for it. The longest of the rest goes to a
    part that has the least to do, the last one of several: the first part also judges.
    """
    found = [[GENERALIST], *([] for _ in range(parts - 1))]
    to_do = [0] * parts
    for name in sorted(steps.keys() - {GENERALIST}, key=lambda name: (-steps[name], name)):
        least = min(reversed(range(parts)), key=to_do.__getitem__)
        found[least].append(name)
        to_do[least] += steps[name]
    return found


@dataclass(frozen=True)
class _Job:
    """A drafter to make: its training steps, and what makes it and gives what it drafts."""

    steps: int
    drafts: Callable[[], DraftsOf]


class _Zoo:
    """The zoo being made."""

    def __init__(
        self,
        settings: ZooSettings,
        target: LanguageModel,
        report: OnStep,
        say: Callable[[str], None],
    ):
        self._settings = settings
        self._part, self._parts = settings.share
        self._target = target
        self._report, self._say = report, say
        self._memory = estimate(target, settings, free_memory(target.device))
        say(str(self._memory))
        self._teacher = Teacher(target, settings.temperature, default_layers(target.layers))
        self._seconds: dict[str, float] = {}
        self._anew: set[str] = set()  # parts that were not there yet
        self._text_settings = self._fingerprint(*_TEXT, "held_out")

    def make(self) -> dict[str, object]:
        """Everything, in order; what is there already is read."""
        settings = self._settings
        domains = (GENERAL, *settings.domains)
        with self._timed(ANSWERS):
            self._texts = self._corpora(domains, held_out=False)
            self._tests = self._corpora(domains, held_out=True)
            self._test_lessons = {
                domain: self._teacher.read(text, settings.positions)
                for domain, text in self._tests.items()
            }
        self._table: dict[str, dict[str, float]] = {}
        self._by_position: dict[str, dict[str, dict[str, float]]] = {}
        drafters = self._drafters()
        self._mine = set(
            shares({name: job.steps for name, job in drafters.items()}, self._parts)[self._part]
        )
        # Its own first: what others make is then there, or soon.
        for name in sorted(drafters, key=lambda name: name not in self._mine):
            with self._timed(name):
                drafts = drafters[name].drafts()
                if self._part == 0:
                    self._judge(name, drafts)
        if self._part:
            return {}
        summary = self._summary(list(drafters))
        write_text(settings.out / SUMMARY, json.dumps(summary, indent=1) + "\n")
        return summary

    def _drafters(self) -> dict[str, "_Job"]:
        """What makes each drafter, or waits until another part has made it, and reads it."""
        settings = self._settings

        def head(steps: int, make: Callable[[EagleHead], EagleHead | RecurrentHead]) -> _Job:
            return _Job(steps, lambda: self._drafts_of_head(make(self._generalist)))

        def expert(domain: str) -> _Job:
            return head(
                settings.expert_steps, lambda start: self._head(f"expert-{domain}", domain, start)
            )

        def small(domain: str) -> _Job:
            return _Job(
                settings.small_steps,
                lambda: self._drafts_of_model(self._small_model(f"small-{domain}", domain)),
            )

        found = {GENERALIST: head(settings.generalist_steps, lambda start: start)}
        found |= {f"expert-{domain}": expert(domain) for domain in settings.domains}
        if settings.mixed and settings.domains:
            found[MIXED] = head(settings.expert_steps * len(settings.domains), self._mixed_head)
        if PARALLEL in settings.methods:
            found[PARALLEL] = head(settings.parallel_steps, self._parallel_head)
        if RECURRENT in settings.methods:
            found[RECURRENT] = _Job(
                settings.recurrent_steps, lambda: self._drafts_of_head(self._recurrent_head())
            )
        return found | {f"small-{domain}": small(domain) for domain in settings.small}

    @cached_property
    def _generalist(self) -> EagleHead:
        return self._head(GENERALIST, GENERAL, None)

    def _is_mine(self, number: int) -> bool:
        """Whether this process does the piece of work of a number; the others do the rest."""
        return number % self._parts == self._part

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        """For what another part makes."""
        while not until():
            self._report(f"waiting for {what}", 1, 0, "of another part")
            sleep(_WAIT)

    def _summary(self, names: list[str]) -> dict[str, object]:
        """What is said of the drafters of these names, in their order."""
        settings = self._settings
        shaping = {name: value for name, value in asdict(settings).items() if name != "part"}
        return {
            "settings": {
                **shaping,
                "out": settings.out.name,
                "target": without_folders(settings.target),
            },
            "target_weights_sha256": self._target.weights_sha256,
            "versions": package_versions("torch", "transformers"),
            "device": device_name(self._target.device),
            "answer_tokens": {domain: text.answer_tokens for domain, text in self._texts.items()},
            "seconds": self._seconds,
            "memory_bytes": asdict(self._memory),
            "tokens_per_round": {name: self._table[name] for name in names},
            "acceptance_by_position": {name: self._by_position[name] for name in names},
            "curves": {name: read_curve(settings.out / name) for name in names},
        }

    def _fingerprint(self, *names: str) -> str:
        """Hash of the target and of the settings that shape a part."""
        chosen = {name: getattr(self._settings, name) for name in names}
        return sha256_text(
            json.dumps([chosen, self._target.weights_sha256, __version__], sort_keys=True)
        )

    def _plan(self, steps: int, rate: float | None, *shaping: str) -> Plan:
        """Of a training that these settings shape too."""
        assert rate is not None
        return Plan(steps, rate, self._fingerprint(*shaping))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        """Of what an earlier run made, the seconds are those that it took."""
        started = perf_counter()
        yield
        taken = round(perf_counter() - started, 1)
        self._seconds[part] = taken if part in self._anew else self._earlier.get(part, taken)

    @cached_property
    def _earlier(self) -> dict[str, float]:
        """Seconds of the parts that were made when the zoo was finished before."""
        path = self._settings.out / SUMMARY
        if not path.is_file():
            return {}
        try:
            return dict(parse_json(path.read_text(encoding="utf-8"))["seconds"])
        except (ValueError, KeyError, TypeError, RecursionError) as fault:
            raise HedgespecError(
                f"{path}: not the summary of a zoo; delete it, and it is written anew"
            ) from fault

    def _corpora(self, domains: tuple[str, ...], held_out: bool) -> dict[str, Corpus]:
        """Each domain's answers, written by the target unless they are there, or by another part."""
        settings = self._settings
        split = "test" if held_out else "train"
        paths = {
            domain: settings.out / ANSWERS / f"{domain}-{split}.safetensors" for domain in domains
        }
        found = {domain: load_corpus(path, self._text_settings) for domain, path in paths.items()}
        missing = [
            domain
            for number, domain in enumerate(domains)
            if found[domain] is None and self._is_mine(0 if held_out else number)
        ]
        # Tests are few answers: all domains in one go. Training answers are kept one by one.
        for group in [missing] if held_out and missing else [[domain] for domain in missing]:
            self._anew.add(ANSWERS)
            tasks = [self._task(domain, held_out) for domain in group]
            written = write_answers(
                self._target,
                tasks,
                Sampling(settings.temperature),
                settings.max_new_tokens,
                self._memory.answers,
                partial(
                    self._report,
                    f"{'test' if held_out else group[0]} answers",
                    sum(task.count for task in tasks),
                ),
            )
            for domain, corpus in zip(group, written, strict=True):
                save_corpus(corpus, paths[domain], self._text_settings)
                found[domain] = corpus
        for domain, path in paths.items():
            if found[domain] is None:
                self._wait(path.is_file, f"{domain} answers")
                found[domain] = load_corpus(path, self._text_settings)
        return {domain: corpus for domain, corpus in found.items() if corpus is not None}

    def _task(self, domain: str, held_out: bool) -> Assignment:
        settings = self._settings
        # Every domain and split draws its own random numbers.
        seed = int(sha256_text(f"{settings.seed} {domain} {held_out}")[:8], 16)
        if held_out:
            count = settings.held_out
            asked = held_out_questions(domain, count, settings.seed)
            return Assignment(lengthened(asked, settings.long_answers), count, seed)
        general = domain == GENERAL
        count = settings.general_answers if general else settings.answers
        number = settings.general_questions if general else settings.questions
        asked = training_questions(domain, min(number, count), settings.seed)
        return Assignment(lengthened(asked, settings.long_answers), count, seed)

    def _mixed_head(self, start: EagleHead) -> EagleHead:
        """The generalist taken further on the text of all domains, with the experts' budget."""
        settings = self._settings
        domains = (GENERAL, *settings.domains)
        self._texts[MIXED] = Corpus.joined(self._texts[domain] for domain in domains)
        # On the way it is judged as often as an expert, and on as much text.
        self._tests[MIXED] = Corpus.joined(
            self._tests[domain].every(len(domains)) for domain in domains
        )
        self._test_lessons[MIXED] = self._teacher.read(self._tests[MIXED], settings.positions)
        try:
            return self._head(MIXED, MIXED, start, settings.expert_steps * len(settings.domains))
        finally:
            for held in (self._texts, self._tests, self._test_lessons):
                del held[MIXED]

    def _head(
        self, name: str, domain: str, start: EagleHead | None, steps: int | None = None
    ) -> EagleHead:
        """A head trained on a domain from `start`, or from the target's own layer."""
        settings = self._settings
        steps, rate, loss = (
            (steps or settings.expert_steps, settings.expert_rate, settings.expert_loss)
            if start
            else (settings.generalist_steps, settings.generalist_rate, settings.loss)
        )
        plan = self._plan(
            steps,
            rate,
            *_TEXT,
            "draft_vocabulary",
            "mlp_width",
            "depths",
            "positions",
            "loss",
            *(["generalist_steps", "generalist_rate", "expert_loss"] if start else []),
            *(["domains"] if name == MIXED else []),
        )

        def make() -> EagleHead:
            head = new_head(
                self._target, self._vocabulary(domain), settings.mlp_width, settings.seed
            )
            if start is not None:
                inherit(head, start)
            return head

        return self._kept(name, domain, loss, plan, make, save_head, load_head)

    def _parallel_head(self, start: EagleHead) -> EagleHead:
        """A parallel head that starts as the generalist."""
        settings = self._settings
        plan = self._plan(
            settings.parallel_steps,
            settings.parallel_rate,
            *_TEXT,
            "draft_vocabulary",
            "mlp_width",
            "depths",
            "positions",
            "loss",
            "generalist_steps",
            "generalist_rate",
            "parallel_depths",
        )
        return self._kept(
            PARALLEL,
            GENERAL,
            settings.loss,
            plan,
            lambda: attach(
                new_parallel_head(start, settings.parallel_depths, settings.seed), self._target
            ),
            save_head,
            load_head,
        )

    def _recurrent_head(self) -> RecurrentHead:
        """A recurrent head."""
        settings = self._settings
        plan = self._plan(
            settings.recurrent_steps,
            settings.recurrent_rate,
            *_TEXT,
            "draft_vocabulary",
            "depths",
            "positions",
            "loss",
        )
        return self._kept(
            RECURRENT,
            GENERAL,
            settings.loss,
            plan,
            lambda: new_recurrent_head(self._target, self._vocabulary(GENERAL), settings.seed),
            save_redrafter,
            load_redrafter,
        )

    def _vocabulary(self, domain: str) -> np.ndarray:
        """The tokens that a head of a domain knows."""
        counts = self._texts[domain].counts(self._target.vocabulary_size)
        return draft_vocabulary(counts, self._settings.draft_vocabulary)

    def _kept(
        self,
        name: str,
        domain: str,
        loss: str,
        plan: Plan,
        make: Callable[[], Network],
        save: Callable[[Network, Path], None],
        load: Callable[[Path], Network],
    ) -> Network:
        """A head that is made and trained, unless it is there already."""
        folder = self._settings.out / name
        if not self._is_made_or_others(name, folder, plan):
            head = make()
            self._train(
                head, self._drafts_of_head(head), loss, name, domain, plan, self._settings.positions
            )
            save(head.to(torch.bfloat16), folder)
            self._mark_made(folder, plan)
        # Go on with what was saved, so that a resumed zoo is the same.
        return attach(load(folder).to(self._target.device), self._target)

    def _small_model(self, name: str, domain: str) -> LlamaForCausalLM:
        """A stand-alone model distilled on a domain."""
        settings = self._settings
        plan = self._plan(settings.small_steps, settings.small_rate, *_OWN_TEXT, "positions")
        folder = settings.out / name
        if not self._is_made_or_others(name, folder, plan):
            model = new_small_model(self._target, settings.seed)
            # The whole vocabulary at each row: fewer rows at a time.
            self._train(
                model,
                self._drafts_of_model(model),
                "kl",
                name,
                domain,
                plan,
                settings.positions // 4,
            )
            model.save_pretrained(folder)
            self._target.tokenizer.save_pretrained(folder)
            self._mark_made(folder, plan)
        return load_small_model(str(folder), self._target)

    def _train(
        self,
        model: torch.nn.Module,
        drafts: DraftsOf,
        loss: str,
        name: str,
        domain: str,
        plan: Plan,
        positions: int,
    ) -> None:
        self._anew.add(name)
        text = self._texts[domain]
        self._report(f"reading for {name}", plan.steps, 0, "")
        lessons = self._teacher.read(text, self._settings.positions)

        def loss_of(batch: Batch) -> torch.Tensor:
            with self._teacher.precision():
                return drafting_loss(loss, drafts(batch, lessons))

        train(
            model,
            loss_of,
            text.batches(positions, self._settings.seed),
            plan,
            self._settings.out / name,
            lambda: self._tokens_per_round(drafts, domain),
            lambda step, value: self._report(
                f"training {name}", plan.steps, step, f"loss {value:.3f}"
            ),
            self._say,
        )

    def _is_made_or_others(self, name: str, folder: Path, plan: Plan) -> bool:
        """Whether a drafter is there; one that is another part's is waited for."""
        if name not in self._mine:
            self._wait(lambda: self._is_made(folder, plan), name)
        return self._is_made(folder, plan)

    def _is_made(self, folder: Path, plan: Plan) -> bool:
        path = folder / _MADE
        if not path.is_file():
            return False
        if json.loads(path.read_text(encoding="utf-8")) != asdict(plan):
            raise HedgespecError(
                f"{folder}: made with other settings; choose another folder, or "
                "delete it to make it again"
            )
        return True

    def _mark_made(self, folder: Path, plan: Plan) -> None:
        write_text(folder / _MADE, json.dumps(asdict(plan), indent=1) + "\n")

    def _judge(self, name: str, drafts: DraftsOf) -> None:
        """Expected tokens per round in each domain, and acceptance by position in the answers."""
        with self._teacher.precision():
            judged = {domain: judge(*self._test(drafts, domain)) for domain in self._tests}
        self._table[name] = {
            domain: round(one.tokens_per_round, 4) for domain, one in judged.items()
        }
        self._by_position[name] = {domain: one.by_position for domain, one in judged.items()}

    def _tokens_per_round(self, drafts: DraftsOf, domain: str) -> float:
        with self._teacher.precision():
            return tokens_per_round(*self._test(drafts, domain))

    def _test(
        self, drafts: DraftsOf, domain: str
    ) -> tuple[Callable[[Batch], Drafts], Corpus, int, int]:
        """What `judge` needs to judge a drafter on held-out text."""
        lessons = self._test_lessons[domain]
        return (
            lambda batch: drafts(batch, lessons),
            self._tests[domain],
            self._settings.positions // 4,
            self._settings.depths,
        )

    def _drafts_of_head(self, head: EagleHead | RecurrentHead) -> DraftsOf:
        tokens = target_tokens(head.d2t)
        inputs = self._teacher.last if isinstance(head, RecurrentHead) else self._teacher.inputs
        depths = (
            self._settings.parallel_depths
            if isinstance(head, ParallelHead)
            else self._settings.depths
        )

        def drafts(batch: Batch, lessons: Lessons | None) -> Drafts:
            batch, lessons = self._teacher.at(batch.to(self._target.device), lessons)
            readouts = draft_readouts(
                head, inputs(lessons, batch), batch, depths, self._settings.temperature
            )
            assert head.lm_head is not None
            return Drafts(
                readouts,
                head.lm_head.weight,
                self._teacher.probabilities(lessons, batch, tokens),
                drafting_places(batch.rows),
                batch.real,
                tuple(batch.ids.shape),
            )

        return drafts

    def _drafts_of_model(self, model: LlamaForCausalLM) -> DraftsOf:
        def drafts(batch: Batch, lessons: Lessons | None) -> Drafts:
            batch, lessons = self._teacher.at(batch.to(self._target.device), lessons)
            states = model.model(
                input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
            ).last_hidden_state.flatten(0, 1)
            readouts = states[batch.rows][None] / self._settings.temperature
            return Drafts(
                readouts,
                model.lm_head.weight,
                self._teacher.probabilities(lessons, batch),
                batch.rows,
                batch.real,
                tuple(batch.ids.shape),
            )

        return drafts
