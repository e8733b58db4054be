"""Opacities of a pneumonia on a frontal chest X-ray, or a picture to reject.

The class is learnt from one collection that has both classes from the same hospitals, so that where a film
comes from tells nothing; all others are kept for measuring. Networks, each without one fifth of the
patients, give the figures (TRAIN); one trained on everybody as long is shipped (PROD).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from export.data.cxr import CLASSES, COVID, NON_COVID, SIIM, UNSURE, folds, read_films
from export.measured import Measured
from export.model_folder import classifier_outputs, write_model
from export.models import xray_measures, xray_shortcuts, xray_text
from export.models.xray_data import XrayData
from export.models.xray_samples import Reader, read_views
from export.models.xray_training import Lesson, OpacityTrainer, Schedule
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork, b5, lite
from export.paths import runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import OutputClass
from plugin.models.inputs import Equalise, ModelInput, Resize

_log = logging.getLogger(__name__)
FOLDS = 5
#: 3.1: the rejection learnt from all sources; class and map are those of 3.0.
VERSION = "3.1.0"
#: The share of opacity that a film teaches. Films that readers call indeterminate or atypical have
#: opacities, less surely those of COVID-19.
_SHARES = {COVID: 1.0, NON_COVID: 0.0, UNSURE: 0.65}


@dataclass(frozen=True)
class XrayModel:
    """An X-ray network and how it is trained.

    ``views``: how many pictures of each film teach it, the film as it is and everyday variants, made once,
    seeded. ``folds``: the fifths for which a network is trained and measured.
    """

    name: str
    architecture: str
    build: Callable[[tuple[int, int]], OpacityNetwork]
    schedule: Schedule
    views: int = 8
    size: int = 256
    rank: int = 10
    folds: tuple[int, ...] = tuple(range(FOLDS))

    @property
    def input(self) -> ModelInput:
        """The picture stretched to a square: the form in which the films that teach the class came."""
        return ModelInput(
            name="image",
            shape=(1, 3, self.size, self.size),
            intensity=Equalise(),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
        )

    def start(self) -> OpacityNetwork:
        """The network before training, the same each time."""
        torch.manual_seed(0)
        return self.build((self.size, self.size)).eval()

    def data(self, network: OpacityNetwork, out: int | None) -> XrayData:
        """The films with what the first part of a trained network gives of them."""
        films = read_films()
        folder = runs_folder(f"{self.name}/{_name(out)}")
        return XrayData(films, folds(films, FOLDS), Reader(network.front, self.input, folder))

    def train(self) -> None:
        """Train TRAIN, then PROD; those whose checkpoint is there are left out."""
        for out in (*self.folds, None):
            if self._checkpoint(out).is_file():
                continue
            _log.info("%s: training %s", self.name, _name(out))
            network = self.taught(out)
            data = self.data(network, out)
            network.reject = data.rejection(network, out)
            if out is None:
                self._as_measured(network)
            else:
                data.settle(network, out)
            _store(network, self._checkpoint(out))

    def taught(self, out: int | None) -> OpacityNetwork:
        """The network after learning the class without fold ``out``; goes on where it stood."""
        kept, network = self._checkpoint(out).with_suffix(".taught.pt"), self.start()
        if kept.is_file():
            network.load_state_dict(torch.load(kept, weights_only=True))
            return network
        films = read_films()
        fold = folds(films, FOLDS)[[film.source == SIIM for film in films]]
        siim = [film for film in films if film.source == SIIM]
        chosen = np.flatnonzero(fold != (-1 if out is None else out))
        target = np.array([_SHARES[film.label] for film in siim], dtype=np.float32)
        unfinished = self._checkpoint(out).with_suffix(".unfinished.pt")
        views = read_views(siim, self.views, self.input, runs_folder("xray-views"))
        lesson = Lesson(views, target, chosen, seed=0)
        network = OpacityTrainer(network, self.schedule, lesson, unfinished).run(lesson)
        _store(network, kept)
        unfinished.unlink()
        return network

    def _as_measured(self, network: OpacityNetwork) -> None:
        """PROD saw every patient: it is calibrated as the mean of the TRAIN networks is."""
        others = [self.trained(run) for run in self.folds]
        for name in ("scale", "offset", "floor"):
            getattr(network, name).copy_(torch.stack([getattr(other, name) for other in others]).mean())

    def _checkpoint(self, out: int | None) -> Path:
        return runs_folder(self.name) / f"{_name(out)}.pt"

    def trained(self, out: int | None) -> OpacityNetwork:
        """TRAIN without fold ``out``, or PROD (None). Raises FileNotFoundError before training."""
        network = self.start()
        network.load_state_dict(torch.load(self._checkpoint(out), weights_only=True))
        return network.eval()

    def evaluate(self) -> Measured:
        """Figures of the TRAIN networks source by source, and the shortcut checks."""
        command = f"./run export evaluate {self.name}"
        networks = {run: self.trained(run) for run in self.folds}
        first = networks[self.folds[0]]
        data = self.data(first, self.folds[0])
        answered, known = data.left_out(networks)
        limits = xray_measures.thresholds(answered)
        figures = [
            *xray_measures.class_figures(answered, limits, command),
            *xray_measures.calibration_figures(answered, command),
            *data.places(networks, command),
            *xray_measures.rejection_figures(answered, known, limits["REJECTION"], command),
        ]
        checks = [
            *data.blackouts(first, self.folds[0], self.input, command),
            *xray_shortcuts.floor_figures(answered, command),
            data.source_told(first, self.folds[0], command),
        ]
        return Measured(figures=tuple(figures), shortcut_checks=tuple(checks), thresholds=limits)

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        classes = tuple(
            OutputClass(
                name=name,
                meaning=xray_text.MEANINGS[name],
                role=xray_text.ROLES[name],
                code=xray_text.CODES.get(name),
                threshold=measured.thresholds[name],
            )
            for name in CLASSES
        )
        return write_model(
            self.trained(None),
            name=self.name,
            version=VERSION,
            task="classify",
            modality=Modality.XRAY,
            default_rank=self.rank,
            spec=self.input,
            outputs=classifier_outputs(classes, shown=classes[:1], localises=True),
            measured=measured,
            words={
                "architecture": f"{self.architecture}, {self.size} x {self.size}; {xray_text.HEADS}",
                **xray_text.card(len(self.folds), FOLDS),
            },
        )


def _store(network: OpacityNetwork, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(network.state_dict(), part)
    part.replace(path)


def _name(out: int | None) -> str:
    return "prod" if out is None else str(out)


MODELS = (
    XrayModel(
        name="xray-covid-lite0",
        architecture="EfficientNet-Lite0 (ImageNet)",
        build=partial(lite, 0),
        schedule=Schedule(epochs=12, rate=3e-4, fresh=2e-3, norms=False),
        folds=(0,),
    ),
    XrayModel(
        name="xray-covid-b5",
        architecture="EfficientNet-B5 as in Carmo et al. 2021 (grown from ImageNet's Lite2)",
        build=b5,
        schedule=Schedule(epochs=8, rate=7e-4, fresh=2e-3, norms=True),
        rank=50,
        folds=(0,),
    ),
)
