"""The training loop: AdamW, a rising and falling learning rate, checkpoints that resume."""

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

_REPORT_EVERY = 10
_CHECKPOINT_SECONDS = 60.0


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
) -> None:
    """Train `model` in place; the learning curve goes to `folder`/curve.jsonl.

    `evaluate` gives expected tokens per round on held-out text. An interrupted training goes on
    from its last checkpoint, also after Ctrl-C. Raises HedgespecError if the loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.95),
                                  weight_decay=0.0, fused=device.type == "cuda")
    step, curve = _load(checkpoint, model, optimizer, plan)
    if not curve:
        curve.append(_point(0, math.nan, evaluate()))
    saved = monotonic()
    losses: list[torch.Tensor] = []
    try:
        for batch in islice(batches, step, plan.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, plan)
            loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
            optimizer.step()
            step += 1
            losses.append(loss.detach())
            if step % _REPORT_EVERY == 0 or step == plan.steps:
                report(step, losses[-1].item())
            if step % plan.evaluate_every == 0 or step == plan.steps:
                curve.append(_point(step, _mean(losses, folder), evaluate()))
                losses.clear()
            if monotonic() - saved > _CHECKPOINT_SECONDS:
                _save(checkpoint, model, optimizer, plan, step, curve)
                saved = monotonic()
    except KeyboardInterrupt:
        _save(checkpoint, model, optimizer, plan, step, curve)
        raise
    write_text(folder / "curve.jsonl", "".join(json.dumps(point) + "\n" for point in curve))
    checkpoint.unlink(missing_ok=True)


def _point(step: int, loss: float, tokens_per_round: float) -> dict[str, float | None]:
    return {"step": step, "loss": None if math.isnan(loss) else loss,
            "tokens_per_round": tokens_per_round}


def _mean(losses: list[torch.Tensor], folder: Path) -> float:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise HedgespecError(f"{folder.name}: the training loss became {mean}; try a lower "
                             f"learning rate or {arg('dtype', 'float32')}")
    return mean


def _save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, plan: Plan,
          step: int, curve: list[dict[str, float | None]]) -> None:
    state = {"plan": asdict(plan), "step": step, "curve": curve, "model": model.state_dict(),
             "optimizer": optimizer.state_dict()}
    write_with(path, lambda place: torch.save(state, place))


def _load(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, plan: Plan
          ) -> tuple[int, list[Any]]:
    """Step and curve so far; nothing of them if there is no checkpoint."""
    if not path.is_file():
        return 0, []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise many types
        raise HedgespecError(f"{path}: damaged ({error}); delete it to start again") from error
    if state["plan"] != asdict(plan):
        raise HedgespecError(f"{path}: made with other settings; choose another folder, or delete "
                             "it to start again")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["curve"]
