"""The training loop: AdamW, a rising and falling learning rate, checkpoints that resume.

A step whose loss or gradient is not finite changes nothing. After several of them training goes on
from the last weights that were found good, at half the rate.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import write_text, write_with
from hedgespec.zoo.corpus import Batch

CURVE = "curve.jsonl"
_REPORT_EVERY = 10
_CHECKPOINT_SECONDS = 60.0
_SEVERAL = 3  # steps without a finite loss between two reports


@dataclass(frozen=True)
class Plan:
    """Steps and peak learning rate of one training; `fingerprint` says what else shapes it."""

    steps: int
    learning_rate: float
    fingerprint: str
    evaluate_every: int = 100
    warmup: float = 0.05
    clip: float = 1.0


def learning_rate(step: int, plan: Plan) -> float:
    """Linear rise over the first `warmup` part of the steps, then half a cosine down to 0."""
    rise = max(1, round(plan.warmup * plan.steps))
    if step < rise:
        return plan.learning_rate * (step + 1) / rise
    part = (step - rise) / max(1, plan.steps - rise)
    return plan.learning_rate * (1 + math.cos(math.pi * part)) / 2


def train(
    model: torch.nn.Module,
    loss_of: Callable[[Batch], torch.Tensor],
    batches: Iterator[Batch],
    plan: Plan,
    folder: Path,
    evaluate: Callable[[], float],
    report: Callable[[int, float], None],
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Train `model` in place; the learning curve goes to `folder`/curve.jsonl.

    `evaluate` gives expected tokens per round on held-out text, `say` is told of a rate that is
    halved. An interrupted training goes on from its last checkpoint, also after Ctrl-C. Raises
    HedgespecError if the loss was never finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Training(model, plan, folder, evaluate, say)
    run.begin()
    saved = monotonic()
    seen = 0
    try:
        for number, batch in enumerate(islice(batches, plan.steps), start=1):
            seen += int(batch.real.sum())
            if number <= run.step:  # before the checkpoint
                continue
            run.learn(loss_of, batch)
            last = number == plan.steps
            if number % _REPORT_EVERY == 0 or last:
                report(number, run.look())
            if number % plan.evaluate_every == 0 or last:
                run.note(seen)
            if monotonic() - saved > _CHECKPOINT_SECONDS:
                run.save()
                saved = monotonic()
    except KeyboardInterrupt:
        run.save()
        raise
    run.finish()


class _Training:
    """Weights, optimizer, learning curve, and the last state that was good."""

    def __init__(
        self,
        model: torch.nn.Module,
        plan: Plan,
        folder: Path,
        evaluate: Callable[[], float],
        say: Callable[[str], None],
    ):
        self._model, self._plan, self._folder = model, plan, folder
        self._evaluate, self._say = evaluate, say
        self._path = folder / "checkpoint.pt"
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=plan.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=0.0,
            fused=True,
        )
        self.step, self._factor = 0, 1.0
        self._curve: list[dict[str, Any]] = []
        self._losses: list[torch.Tensor] = []
        self._wrong: list[torch.Tensor] = []

    def begin(self) -> None:
        """Go on from the checkpoint, or evaluate what there is before the first step."""
        self._load()
        if not self._curve:
            self._curve.append(self._point(math.nan, self._evaluate(), 0))
        self._good = self._state()

    def learn(self, loss_of: Callable[[Batch], torch.Tensor], batch: Batch) -> None:
        """One step. The device itself leaves out one that is not finite: nobody waits for it."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._factor * learning_rate(self.step, self._plan)
        loss = loss_of(batch)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._plan.clip)
        wrong = ~(loss.detach().isfinite() & norm.isfinite())
        # What torch's own gradient scaler tells the optimizer.
        self._optimizer.found_inf = wrong.float()
        self._optimizer.step()
        self.step += 1
        self._losses.append(loss.detach())
        self._wrong.append(wrong)

    def look(self) -> float:
        """The last loss; after several steps that were not finite back to the last good state."""
        wrong = int(torch.stack(self._wrong).sum()) if self._wrong else 0
        if wrong >= _SEVERAL:
            self._go_back(f"{wrong} of {len(self._wrong)} steps gave no finite loss or gradient")
        self._wrong.clear()
        return self._losses[-1].item() if self._losses else math.nan

    def note(self, seen: int) -> None:
        """Evaluate; keep the state if it is good. `seen` are the answer tokens read so far."""
        value = self._evaluate()
        if math.isfinite(value) and self._is_finite():
            self._good = self._state()
        else:
            self._go_back("the weights are not finite any more")
            value = self._evaluate()
        self._curve.append(self._point(self._mean_loss(), value, seen))
        self._losses.clear()

    def finish(self) -> None:
        """Write the learning curve. Raises HedgespecError if there never was a finite loss."""
        if all(point["loss"] is None for point in self._curve) and self._plan.steps:
            raise HedgespecError(
                f"{self._folder.name}: the training loss became nan; try a lower "
                f"learning rate or {arg('dtype', 'float32')}"
            )
        write_text(self._folder / CURVE, "".join(json.dumps(point) + "\n" for point in self._curve))
        self._path.unlink(missing_ok=True)

    def _go_back(self, reason: str) -> None:
        self._factor /= 2
        self._model.load_state_dict(self._good["model"])
        self._optimizer.load_state_dict(copy.deepcopy(self._good["optimizer"]))
        self._say(
            f"{self._folder.name}: {reason}; at step {self.step} it goes on from the weights "
            f"of step {self._good['step']}, the rate halved to "
            f"{self._factor * self._plan.learning_rate:g}"
        )

    def _is_finite(self) -> bool:
        return all(bool(weight.isfinite().all()) for weight in self._model.parameters())

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": copy.deepcopy(self._model.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
        }

    def _mean_loss(self) -> float:
        losses = torch.stack(self._losses) if self._losses else torch.empty(0)
        return losses[losses.isfinite()].mean().item()

    def _point(self, loss: float, tokens_per_round: float, seen: int) -> dict[str, Any]:
        return {
            "step": self.step,
            "loss": None if math.isnan(loss) else loss,
            "tokens_per_round": tokens_per_round,
            "answer_tokens": seen,
            "peak_rate": self._factor * self._plan.learning_rate,
        }

    def save(self) -> None:
        """Write a checkpoint."""
        state = {
            "plan": asdict(self._plan),
            "step": self.step,
            "curve": self._curve,
            "factor": self._factor,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        write_with(self._path, lambda place: torch.save(state, place))

    def _load(self) -> None:
        if not self._path.is_file():
            return
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged files raise many types
            raise HedgespecError(
                f"{self._path}: damaged ({error}); delete it to start again"
            ) from error
        if state["plan"] != asdict(self._plan):
            raise HedgespecError(
                f"{self._path}: made with other settings; choose another folder, "
                "or delete it to start again"
            )
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._curve, self._factor = state["step"], state["curve"], state["factor"]


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """The learning curve of a training that is finished: its points, in the order of steps."""
    lines = (folder / CURVE).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
