"""Training of the X-ray networks: opacities from one collection that has both classes; on CPU or GPU."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.models.xray_samples import Views
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    ``rate`` is that of ImageNet's weights, ``fresh`` that of the new layers. ``norms``: whether the
    normalisations of ImageNet's layers follow the films, or stay as they are. ``boxes`` weighs the map's
    loss. ``average``: decay of the running average of the weights, which is what stays.
    """

    epochs: int
    rate: float
    fresh: float
    norms: bool
    batch: int = 64
    weight_decay: float = 2e-2
    smoothing: float = 0.05
    boxes: float = 1.0
    average: float = 0.995


def loss_of(
    film: Tensor, places: Tensor, target: Tensor, masks: Tensor, *, negative: float, boxes: float
) -> Tensor:
    """Cross entropy of the films, and cross entropy and Dice of the map against the boxes.

    ``film`` and ``target`` (n,), ``places`` and ``masks`` (n, h, w). ``negative`` weighs films without
    opacities, so that both kinds weigh alike. A film with opacities and no box tells nothing of where.
    """
    weight = target + (1 - target) * negative
    whole = functional.binary_cross_entropy_with_logits(film, target, weight=weight)
    told = ((masks.amax(dim=(1, 2)) > 0) | (target < 0.5)).float()[:, None, None]
    each = functional.binary_cross_entropy_with_logits(places, masks, reduction="none")
    inside = torch.sigmoid(places) * told
    dice = (2 * (inside * masks).sum() + 1) / (inside.sum() + (masks * told).sum() + 1)
    return whole + boxes * ((each * told).mean() + 0.5 * (1 - dice))


class OpacityTrainer:
    """A network in training with its running average; goes on from its checkpoint, epoch by epoch.

    Parameters
    ----------
    network
        Begun as ImageNet left it. Its ``reject`` layer is not trained here.
    films
        How many films are seen in an epoch.
    """

    def __init__(self, network: OpacityNetwork, schedule: Schedule, films: int, checkpoint: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.schedule, self.checkpoint, self.epoch = schedule, checkpoint, 0
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True
        )
        steps = schedule.epochs * (films // schedule.batch)
        self.optimiser, self.decay = _optimiser(self.network, schedule, steps)
        if checkpoint.is_file():
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.epoch = state["epoch"]
            _log.info("%s: going on after %d of %d epochs", checkpoint, self.epoch, schedule.epochs)

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer | torch.optim.lr_scheduler.LRScheduler]:
        return {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
            "decay": self.decay,
        }

    def _save(self) -> None:
        part = self.checkpoint.with_suffix(".part")
        states = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save({**states, "epoch": self.epoch}, part)
        part.replace(self.checkpoint)

    def run(
        self,
        views: Views,
        target: npt.NDArray[np.float32],
        *,
        chosen: npt.NDArray[np.int64],
        seed: int,
    ) -> OpacityNetwork:
        """Train to the end of the schedule; the averaged network, on the CPU, ready to infer.

        Each of the ``chosen`` films is seen once an epoch, in one of the views by chance. ``target`` (n,) is
        the share of opacity that each film teaches.
        """
        lesson = _Lesson.of(views, target, chosen, self.device)
        begun = time.monotonic()
        while self.epoch < self.schedule.epochs:
            torch.manual_seed(seed * 1000 + self.epoch)
            loss = self._one_epoch(lesson, np.random.default_rng((seed, self.epoch)))
            self.epoch += 1
            self._save()
            told = f"{self.checkpoint.stem}: epoch {self.epoch} of {self.schedule.epochs}"
            _log.info("%s, loss %.3f, %.0f s", told, loss, time.monotonic() - begun)
        trained: OpacityNetwork = self.average.module
        return trained.cpu().eval()

    def _one_epoch(self, lesson: _Lesson, draw: np.random.Generator) -> float:
        """All films of the lesson once; the mean loss."""
        settings, total = self.schedule, torch.zeros((), device=self.device)
        self._to_train()
        order = draw.permutation(lesson.chosen)
        count = len(order) // settings.batch
        for number in range(count):
            films = order[number * settings.batch : (number + 1) * settings.batch]
            view = draw.integers(0, len(lesson.pictures), len(films))
            place = tuple(torch.from_numpy(part).to(self.device) for part in (view, films))
            image = normalised(lesson.pictures[place])
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                film, places, _ = self.network.read(self.network.front(image))
            loss = loss_of(
                film.float(),
                places.float(),
                lesson.target[place[1]] * (1 - settings.smoothing) + settings.smoothing / 2,
                lesson.masks[place].float() / 255,
                negative=lesson.negative,
                boxes=settings.boxes,
            )
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimiser.step()
            self.decay.step()
            self.average.update_parameters(self.network)
            total += loss.detach()
        return float(total) / count

    def _to_train(self) -> None:
        self.network.train()
        if not self.schedule.norms:
            for part in _pretrained(self.network):
                part.eval()


@dataclass(frozen=True)
class _Lesson:
    """What is seen in an epoch: pictures (views, n, H, W), masks (views, n, h, w), target (n,).

    ``chosen``: the films among the n that teach; ``negative`` weighs those without opacities.
    """

    pictures: Tensor
    masks: Tensor
    target: Tensor
    chosen: npt.NDArray[np.int64]
    negative: float

    @classmethod
    def of(
        cls,
        views: Views,
        target: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.int64],
        device: torch.device,
    ) -> _Lesson:
        positive = float(target[chosen].sum())
        return cls(
            torch.from_numpy(views.pictures).to(device),
            torch.from_numpy(views.masks).to(device),
            torch.from_numpy(target).to(device),
            chosen,
            positive / (len(chosen) - positive),
        )


def normalised(pictures: Tensor) -> Tensor:
    """Bytes (n, H, W) as a network's input (n, 3, H, W)."""
    values = (pictures.float() / 255 - MEAN[0]) / STD[0]
    return values[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _pretrained(network: OpacityNetwork) -> tuple[nn.Module, ...]:
    return network.front, network.back, network.head


def _optimiser(
    network: OpacityNetwork, schedule: Schedule, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    old = [parameter for part in _pretrained(network) for parameter in part.parameters()]
    known = {id(parameter) for parameter in [*old, *network.reject.parameters()]}
    new = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": new, "lr": schedule.fresh}, {"params": old, "lr": schedule.rate}]
    optimiser = torch.optim.AdamW(groups, weight_decay=schedule.weight_decay)
    rates = [schedule.fresh, schedule.rate]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps, pct_start=0.15)
