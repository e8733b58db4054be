"""Training of the X-ray networks: opacities from one collection that has both classes; on CPU or GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.xray_samples import Views
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork
from export.training import Plan, Trainer, best_device


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

    def plan(self, films: int) -> Plan:
        """The steps in which so many films are seen in each epoch."""
        steps = self.epochs * (films // self.batch)
        return Plan(
            steps=steps,
            batch=self.batch,
            rate=self.fresh,
            warmup=steps // 10,
            weight_decay=self.weight_decay,
            average=self.average,
        )


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


@dataclass(frozen=True)
class Seen:
    """Films of a step: ``image`` as a network reads it, ``target`` (n,), the boxes' ``masks`` (n, h, w)."""

    image: Tensor
    target: Tensor
    masks: Tensor


class Lesson:
    """Draws the films of each step: all that are chosen once an epoch, each in one of its views by chance.

    Parameters
    ----------
    target
        The share of opacity that each film teaches (n,).
    chosen
        The films among the n that teach.

    Attributes
    ----------
    negative
        What a film without opacities weighs, so that both kinds weigh alike.
    """

    def __init__(
        self, views: Views, target: npt.NDArray[np.float32], chosen: npt.NDArray[np.int64], seed: int
    ) -> None:
        device = best_device()
        self.chosen, self.seed = chosen, seed
        self._pictures = torch.from_numpy(views.pictures).to(device)
        self._masks = torch.from_numpy(views.masks).to(device)
        self._target = torch.from_numpy(target).to(device)
        positive = float(target[chosen].sum())
        self.negative = positive / (len(chosen) - positive)

    def batch(self, step: int, count: int) -> Seen:
        """``count`` films for a step; the same for the same step."""
        epoch, number = divmod(step, len(self.chosen) // count)
        order = np.random.default_rng((self.seed, epoch)).permutation(self.chosen)
        films = order[number * count : (number + 1) * count]
        view = np.random.default_rng((self.seed, epoch, number)).integers(0, len(self._pictures), count)
        place = (torch.from_numpy(view), torch.from_numpy(films))
        return Seen(
            image=normalised(self._pictures[place]),
            target=self._target[place[1]],
            masks=self._masks[place].float() / 255,
        )


class OpacityTrainer(Trainer[Seen]):
    """A network in training. Its ``reject`` layer is not trained here.

    Parameters
    ----------
    network
        Begun as ImageNet left it.
    """

    network: OpacityNetwork

    def __init__(self, network: OpacityNetwork, schedule: Schedule, lesson: Lesson, checkpoint: Path) -> None:
        self.schedule, self.lesson = schedule, lesson
        super().__init__(network, schedule.plan(len(lesson.chosen)), checkpoint)

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """The new layers at the plan's rate, ImageNet's at theirs."""
        old = [parameter for part in _pretrained(self.network) for parameter in part.parameters()]
        known = {id(parameter) for parameter in [*old, *self.network.reject.parameters()]}
        new = [parameter for parameter in self.network.parameters() if id(parameter) not in known]
        return [(new, 1.0), (old, self.schedule.rate / self.schedule.fresh)]

    def to_train(self) -> None:
        """ImageNet's normalisations follow the films only where the schedule says so."""
        self.network.train()
        if not self.schedule.norms:
            for part in _pretrained(self.network):
                part.eval()

    def loss_of(self, cases: Seen) -> Tensor:
        """The loss of the film's class and of its map; what is dropped out depends on seed and step alone."""
        torch.manual_seed(self.lesson.seed * 1_000_000 + self.step)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            film, places, _ = self.network.read(self.network.front(cases.image))
        smoothing = self.schedule.smoothing
        return loss_of(
            film.float(),
            places.float(),
            cases.target * (1 - smoothing) + smoothing / 2,
            cases.masks,
            negative=self.lesson.negative,
            boxes=self.schedule.boxes,
        )


def normalised(pictures: Tensor) -> Tensor:
    """Bytes (n, H, W) as a network's input (n, 3, H, W)."""
    values = (pictures.float() / 255 - MEAN[0]) / STD[0]
    return values[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _pretrained(network: OpacityNetwork) -> tuple[nn.Module, ...]:
    return network.front, network.back, network.head
