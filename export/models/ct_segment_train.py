"""The training loop of the segmentation networks: resumable, seeded, on CPU or GPU."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from export.data.ct_segment import Batch
from export.paths import runs_folder

_log = logging.getLogger(__name__)
#: The network that is trained on all patients, and ships.
PROD = "prod"
#: How often a training that goes on is saved and told of.
_SAVE_SECONDS = 60.0


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


class Loss(nn.Module):
    """Soft Dice over the batch, mean over the two channels, smooth 1, plus binary cross entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(batch=True, smooth_nr=1.0, smooth_dr=1.0)

    def forward(self, logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Logits, target and its mask, each (N, 2, H, W)."""
        entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=known)
        result: Tensor = self.dice(torch.sigmoid(logits) * known, target * known) + entropy
        return result


class Batches(Protocol):
    """Where training cases come from."""

    def batch(self, step: int, count: int) -> Batch:
        """``count`` cases for a step; the same for the same step."""


class Trainer:
    """A network in training, with its running average, optimiser and place in the plan.

    ``seconds``: how long it may train, where that ends before the plan's steps; the rate falls to its end
    either way. ``spent``: how long it has trained. ``finished``: whether it is at its end.
    """

    LAYOUT = torch.channels_last

    def __init__(self, network: nn.Module, plan: Plan, mean: float, std: float, checkpoint: Path) -> None:
        self.device = best_device()
        self.network = network.to(self.device, memory_format=self.LAYOUT)
        self.average = AveragedModel(self.network, multi_avg_fn=self._averaged_with)
        # On a GPU each look at the number would wait for all that is under way there.
        self.average.n_averaged = self.average.n_averaged.cpu()
        self.plan, self.mean, self.std, self.checkpoint = plan, mean, std, checkpoint
        self.warmup = min(plan.warmup, plan.steps // 10)
        self.seconds, self.spent = math.inf, 0.0
        self.loss = Loss()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, weight_decay=plan.weight_decay
        )
        self.step = 0
        self.finished = False
        if checkpoint.exists():
            self._resume()

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
        if self.step < self.warmup:
            return self.plan.rate * (self.step + 1) / self.warmup
        done = (self.step - self.warmup) / max(1, self.plan.steps - self.warmup)
        done = min(1.0, max(done, self.spent / self.seconds))
        return self.plan.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)

    def learn(self, batch: Batch) -> Tensor:
        """One step of the optimiser; the loss, still on its device."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        image = self.prepared((batch.image.to(self.device) - self.mean) / self.std)
        with torch.autocast(self.device.type, torch.bfloat16):
            answer = self.network(image)
        loss = self.lost(answer, batch.target.to(self.device), batch.known.to(self.device))
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

    def prepared(self, image: Tensor) -> Tensor:
        """Normalised slices (N, 1, H, W) as the network's input."""
        return image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    def lost(self, answer: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """The loss of what the network answered."""
        result: Tensor = self.loss(answer.float(), target, known)
        return result

    def run(self, sampler: Batches, seconds: float = math.inf) -> nn.Module:
        """Train to the end of the plan or of ``seconds`` of training; the averaged network."""
        self.network.train()
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


def checkpoint_of(name: str, part: int | str) -> Path:
    """Where the network of a fold or of PROD is kept."""
    return runs_folder(name) / (f"{part}.pt" if part == PROD else f"fold-{part}.pt")


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
