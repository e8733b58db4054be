"""The training loop of every network that is trained as a whole: resumable, seeded, on CPU or GPU."""

from __future__ import annotations

import copy
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from export.paths import runs_folder

_log = logging.getLogger(__name__)
#: The network that is trained on all patients, and ships.
PROD = "prod"
#: How often a training that goes on is saved and told of.
_SAVE_SECONDS = 60.0
#: Instructions that multiply bfloat16, as PyTorch names them.
_BFLOAT16 = ("amx_bf16", "avx512_bf16")
Cases = TypeVar("Cases")
Given_co = TypeVar("Given_co", covariant=True)


@dataclass(frozen=True)
class Plan:
    """How long and how fast a network is trained.

    ``average``: how much of the running average of the weights is kept at each step; less in the first steps,
    so that a short training is not averaged with its beginning.
    """

    steps: int
    batch: int = 8
    rate: float = 1.5e-3
    warmup: int = 100
    weight_decay: float = 1e-3
    average: float = 0.995


class Batches(Protocol[Given_co]):
    """Where training cases come from."""

    def batch(self, step: int, count: int) -> Given_co:
        """``count`` cases for a step; the same for the same step."""


class Trainer(ABC, Generic[Cases]):
    """A network in training, with its running average, optimiser and place in the plan.

    ``seconds``: how long it may train, where that ends before the plan's steps; the rate falls to its end
    either way. ``spent``: how long it has trained. ``finished``: whether it is at its end.
    """

    LAYOUT = torch.channels_last

    def __init__(self, network: nn.Module, plan: Plan, checkpoint: Path) -> None:
        self.device = best_device()
        self.network = network.to(self.device, memory_format=self.LAYOUT)
        self.average = AveragedModel(self.network, multi_avg_fn=self._averaged_with)
        # On a GPU each look at the number would wait for all that is under way there.
        self.average.n_averaged = self.average.n_averaged.cpu()
        self.plan, self.checkpoint = plan, checkpoint
        self.warmup = min(plan.warmup, plan.steps // 10)
        self.seconds, self.spent = math.inf, 0.0
        groups, self._shares = zip(*self.groups(), strict=True)
        self.optimiser = torch.optim.AdamW(
            [{"params": group} for group in groups], lr=plan.rate, weight_decay=plan.weight_decay
        )
        self.step = 0
        self.finished = False
        if checkpoint.exists():
            self._resume()

    @abstractmethod
    def loss_of(self, cases: Cases) -> Tensor:
        """What the network loses on these cases; its gradient teaches."""

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """What is trained, and at which share of the plan's rate."""
        return [(list(self.network.parameters()), 1.0)]

    def to_train(self) -> None:
        """Bring the network into the state in which it is trained."""
        self.network.train()

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.average.module.load_state_dict(state["average"])
        self.step, self.spent, self.finished = state["step"], state["spent"], state["finished"]
        if self.finished:
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.n_averaged += self.step
        _log.info("%s: going on at step %d of %d", self.checkpoint, self.step, self.plan.steps)

    def save(self) -> None:
        """Write the checkpoint; a run cut off goes on from it. At the end the averaged weights are enough."""
        state: dict[str, Any] = {
            "average": self.average.module.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "finished": self.finished,
        }
        if not self.finished:
            state |= {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _rate(self) -> float:
        """Linear warm-up, then half a cosine to a hundredth, by steps or by time, whichever is farther."""
        share = rate_share(self.step, self.plan.steps, self.warmup, elapsed=self.spent / self.seconds)
        return self.plan.rate * share

    def learn(self, cases: Cases) -> Tensor:
        """One step of the optimiser; the loss, still on its device."""
        for group, share in zip(self.optimiser.param_groups, self._shares, strict=True):
            group["lr"] = self._rate() * share
        loss = self.loss_of(cases)
        self.optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._forget_unless(torch.isfinite(norm))
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return loss.detach()

    def _averaged_with(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _count: Tensor) -> None:
        kept = min(self.plan.average, (1 + self.step) / (10 + self.step))
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, 1 - kept)

    def _forget_unless(self, finite: Tensor) -> None:
        """No gradients where they are not ``finite``: bfloat16 overflows now and then.

        Decided where the tensor is, so that a GPU need not wait for the CPU to know.
        """
        for weight in self.network.parameters():
            if weight.grad is not None:
                weight.grad = torch.where(finite, weight.grad, torch.zeros_like(weight.grad))

    def run(self, sampler: Batches[Cases], seconds: float = math.inf) -> nn.Module:
        """Train to the end of the plan or of ``seconds`` of training; the averaged network."""
        self.to_train()
        self.seconds = seconds
        before, begun, first = self.spent, time.monotonic(), self.step
        losses: list[Tensor] = []
        saved = begun
        while not self.finished:
            losses.append(self.learn(sampler.batch(self.step, self.plan.batch)))
            now = time.monotonic()
            self.spent = before + now - begun
            self.finished = self.step >= self.plan.steps or self.spent >= seconds
            if now - saved >= _SAVE_SECONDS or self.finished:
                self.save()
                saved = now
                pace = (now - begun) / (self.step - first)
                mean = float(torch.stack(losses).mean())
                left = min(pace * (self.plan.steps - self.step), seconds - self.spent) / 60
                said = (self.checkpoint.stem, self.step, self.plan.steps, mean, pace, left)
                _log.info("%s: step %d/%d loss %.3f %.3f s/step %.1f min left", *said)
                losses = []
        return self.averaged()

    def trained(self) -> nn.Module:
        """The averaged network. Raises FileNotFoundError where it is not trained to the end."""
        if not self.finished:
            raise FileNotFoundError(f"{self.checkpoint}: trained {self.step} of {self.plan.steps} steps")
        return self.averaged()

    def averaged(self) -> nn.Module:
        """The running average of the weights, on the CPU, ready to infer."""
        module: nn.Module = copy.deepcopy(self.average.module)
        return module.cpu().eval()


def rate_share(step: int, steps: int, warmup: int, *, elapsed: float = 0.0) -> float:
    """The share of the rate at a step: linear warm-up, then half a cosine to a hundredth.

    ``elapsed``: the share of the time that has gone, where that is farther than the steps.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, max((step - warmup) / max(1, steps - warmup), elapsed))
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def checkpoint_of(name: str, part: int | str) -> Path:
    """Where the network of a fold or of PROD is kept."""
    return runs_folder(name) / (f"{part}.pt" if part == PROD else f"fold-{part}.pt")


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def in_bfloat16(device: torch.device) -> torch.autocast:
    """Layers count in bfloat16 where ``device`` multiplies it; other processors are slower with it."""
    quicker = device.type == "cuda" or any(torch.cpu.get_capabilities().get(name) for name in _BFLOAT16)
    return torch.autocast(device.type, torch.bfloat16, enabled=quicker)
