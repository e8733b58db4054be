"""Opacities of a pneumonia on a frontal chest X-ray, or a picture to reject.

The class is learnt from one collection that has both classes from the same hospitals, so that where a film
comes from tells nothing; all others are kept for measuring. Networks, each without one fifth of the
patients, give the figures (TRAIN); one trained on everybody as long is shipped (PROD).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export import onnx_writer
from export.data.cxr import CLASSES, folds, read_films
from export.measured import Measured
from export.models import xray_measures, xray_shortcuts, xray_text
from export.models.xray_data import XrayData
from export.models.xray_samples import Reader
from export.models.xray_training import Schedule, train_opacity
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork, b5, lite0
from export.paths import ONNX_MODELS, runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import Card, ModelOutput, OutputClass
from plugin.models.inputs import Equalise, ModelInput, Resize

_log = logging.getLogger(__name__)
FOLDS = 5


@dataclass(frozen=True)
class XrayModel:
    """An X-ray network and how it is trained.

    ``stages`` follow each other. ``views``: how many pictures of each film are kept, the film as it is and
    everyday variants, made once, seeded. ``folds``: the fifths for which a network is trained and measured.
    """

    name: str
    architecture: str
    build: Callable[[tuple[int, int]], OpacityNetwork]
    stages: tuple[Schedule, ...]
    views: int = 4
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

    def data(self) -> XrayData:
        """The films with what the frozen part gives of them."""
        films = read_films()
        reader = Reader(self.start().front, self.input, runs_folder(self.name))
        return XrayData(films, folds(films, FOLDS), reader, self.views)

    def train(self) -> None:
        """Train TRAIN, then PROD; those whose checkpoint is there are left out."""
        runs: tuple[int | None, ...] = (*self.folds, None)
        missing = [out for out in runs if not self._checkpoint(out).is_file()]
        data = self.data() if missing else None
        for out in missing:
            assert data is not None
            _log.info("%s: training %s", self.name, self._checkpoint(out).stem)
            network = self._opacity(data, out)
            network.reject = data.rejection(network, out)
            if out is None:
                self._as_measured(network)
            else:
                data.settle(network, out)
            part = self._checkpoint(out).with_suffix(".part")
            torch.save(network.state_dict(), part)
            part.replace(self._checkpoint(out))

    def _opacity(self, data: XrayData, out: int | None) -> OpacityNetwork:
        chosen = np.flatnonzero(data.siim_fold != (-1 if out is None else out))
        network = self.start()
        for stage in self.stages:
            network = train_opacity(
                network, data.siim_views, data.target, chosen=chosen, schedule=stage, seed=0
            )
        return network

    def _as_measured(self, network: OpacityNetwork) -> None:
        """PROD saw every patient: it is calibrated as the mean of the TRAIN networks is."""
        others = [self.trained(run) for run in self.folds]
        for name in ("scale", "offset", "floor"):
            getattr(network, name).copy_(torch.stack([getattr(other, name) for other in others]).mean())

    def _checkpoint(self, out: int | None) -> Path:
        return runs_folder(self.name) / ("prod.pt" if out is None else f"{out}.pt")

    def trained(self, out: int | None) -> OpacityNetwork:
        """TRAIN without fold ``out``, or PROD (None). Raises FileNotFoundError before training."""
        network = self.start()
        network.load_state_dict(torch.load(self._checkpoint(out), weights_only=True))
        return network.eval()

    def evaluate(self) -> Measured:
        """Figures of the TRAIN networks source by source, and the shortcut checks."""
        data, command = self.data(), f"./run export evaluate {self.name}"
        networks = {run: self.trained(run) for run in self.folds}
        answered = data.left_out(networks)
        limits = xray_measures.thresholds(answered)
        first = networks[self.folds[0]]
        figures = [
            *xray_measures.class_figures(answered, limits, command),
            *xray_measures.calibration_figures(answered, command),
            *data.places(networks, command),
            *xray_measures.rejection_figures(answered, limits, command),
            *data.unseen_rejection(first, self.folds[0], limits["REJECTION"], command),
        ]
        checks = [
            *data.blackouts(first, self.folds[0], self.input, command),
            *xray_shortcuts.floor_figures(answered, command),
            data.source_told(first, self.folds[0], command),
        ]
        return Measured(figures=tuple(figures), shortcut_checks=tuple(checks), thresholds=limits)

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        folder = ONNX_MODELS / self.name
        exported = onnx_writer.write_graph(
            self.trained(None),
            folder,
            shape=self.input.shape,
            outputs=("logits", "attention"),
            mean=MEAN,
            std=STD,
            half=True,
        )
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
        card = Card(
            name=self.name,
            version="2.0.0",
            task="classify",
            modality=Modality.XRAY,
            default_rank=self.rank,
            sha256=exported.sha256,
            manufacturer="orthanc-chest-ai",
            input=self.input,
            outputs=(
                ModelOutput(name="logits", meaning="logits", classes=classes, activation="softmax"),
                ModelOutput(
                    name="attention",
                    meaning="attention",
                    classes=classes[:1],
                    activation="none",
                    localises=True,
                ),
            ),
            figures=measured.figures,
            shortcut_checks=measured.shortcut_checks,
            self_test=exported.self_test,
            architecture=f"{self.architecture}, {self.size} x {self.size}; {xray_text.HEADS}",
            **xray_text.card(len(self.folds), FOLDS),
        )
        return onnx_writer.write_card(card, folder)


#: The new layers alone: ImageNet's weights stay as they are.
_STAGES = (Schedule(epochs=2, rate=0.0, fresh=2e-3),)

MODELS = (
    XrayModel(
        name="xray-covid-lite0",
        architecture="EfficientNet-Lite0 (ImageNet, frozen)",
        build=lite0,
        stages=_STAGES,
        folds=(0,),
    ),
    XrayModel(
        name="xray-covid-b5",
        architecture="EfficientNet-B5 as in Carmo et al. 2021 (grown from ImageNet's Lite2, frozen)",
        build=b5,
        stages=_STAGES,
        rank=50,
        folds=(0,),
    ),
)
