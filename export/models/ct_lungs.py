"""Does a chest CT hold opacities as in COVID-19 pneumonia, and where? On projections over its lungs alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from export.data import ct
from export.data.ct_blocks import SCALE, SIZE
from export.data.ct_projections import HIGH, LOW
from export.measured import Measured
from export.model_folder import classifier_outputs, write_model
from export.models import ct_lung_checks, ct_lung_text, ct_lung_train
from export.models.ct_lung_measure import LESION_SHARE, LeftOut, measure, operating_point
from export.models.ct_lung_table import Axis, Features, Table, features, share_of_lesion, table
from export.models.ct_lung_train import Answers, Plan
from export.networks.lite import MEAN, STD
from export.networks.lung_map import LungMapNetwork
from export.paths import runs_folder
from plugin.domain.kinds import Modality
from plugin.models.inputs import HuWindow, ModelInput, Projection, Resize

_log = logging.getLogger(__name__)
_PLAN = Plan()
PROD = ct.FOLDS
"""The number of PROD among the parts, after the folds."""


@dataclass(frozen=True)
class LungModel:
    """A network on one projection over the lungs, trained without each fold (TRAIN), then on all (PROD)."""

    name: str
    axis: Axis
    plan: Plan = _PLAN
    default_rank: int = 10

    @property
    def input(self) -> ModelInput:
        """How the plugin makes the network's input."""
        return ModelInput(
            name="image",
            shape=(1, 3, SIZE, SIZE),
            intensity=HuWindow(low=LOW, high=HIGH),
            resize=Resize(mode="stretch"),
            mean=MEAN,
            std=STD,
            projection=Projection(
                axis=self.axis,
                over="lungs",
                level_hu=SCALE.level,
                dense_hu=SCALE.dense,
                depth_mm=SCALE.depth,
            ),
        )

    def _checkpoint(self, part: int) -> Path:
        return runs_folder(self.name) / ("lungs-prod.pt" if part == PROD else f"lungs-{part}.pt")

    def train(self) -> None:
        """TRAIN, then PROD; parts whose checkpoint is there are left out."""
        missing = [part for part in (*range(ct.FOLDS), PROD) if not self._checkpoint(part).exists()]
        if not missing:
            return
        rows = table(self.axis)
        given = features(self.axis, ct_lung_train.start())
        for part in missing:
            _log.info("%s: training %s", self.name, self._checkpoint(part).stem)
            chosen = (rows.fold != part) & (rows.fold != ct.FOLDS)
            torch.manual_seed(part)
            network = ct_lung_train.start()
            if part == PROD:
                network.floor.copy_(torch.tensor(self._floor(rows, given)))
            ct_lung_train.train(network, rows, given, chosen, plan=self.plan, seed=part)
            torch.save(network.state_dict(), self._checkpoint(part))

    def network(self, part: int) -> LungMapNetwork:
        """TRAIN without a fold, or PROD. Raises FileNotFoundError before training."""
        network = ct_lung_train.start(pretrained=False)
        network.load_state_dict(torch.load(self._checkpoint(part), weights_only=True))
        return network.eval()

    def out_of_fold(self, rows: Table, given: Features) -> Answers:
        """Every row by the network that never saw its patient; the DICOM chest by the mean of all folds."""
        logit = np.zeros(len(rows.label))
        places = np.zeros((len(rows.label), *given.target.shape[1:]), dtype=np.float32)
        last = rows.fold == ct.FOLDS
        for fold in range(ct.FOLDS):
            network = self.network(fold)
            for own, share in ((rows.fold == fold, 1), (last, ct.FOLDS)):
                said = ct_lung_train.read(network, given.plain[torch.from_numpy(own)])
                logit[own] += said.logit / share
                places[own] += said.places / share
        return Answers(logit, places)

    def _floor(self, rows: Table, given: Features) -> float:
        """The map's logit that best tells places with lesion from those without, in patients left out."""
        answers = self.out_of_fold(rows, given)
        chosen = rows.measured & np.isin(rows.kind, ("whole", "most"))
        depth = given.plain[torch.from_numpy(chosen), 2].double().numpy()
        lesion = given.target[torch.from_numpy(chosen)].float().numpy() >= LESION_SHARE
        counts = depth * ct_lung_train.weights(rows.at(chosen))[:, None, None]
        scores = np.asarray(np.round(answers.places[chosen], 2), dtype=np.float64)
        counted = np.asarray(counts, dtype=np.float64)
        return round(operating_point(lesion.astype(np.int64).ravel(), scores.ravel(), counted.ravel()), 2)

    def left_out(self, rows: Table, given: Features) -> LeftOut:
        """The answers of the TRAIN networks, the map as the plugin sees it: above its floor."""
        answers = self.out_of_fold(rows, given)
        floor = float(self.network(PROD).floor)
        values = torch.from_numpy(rows.image).float() / 255
        return LeftOut(
            table=rows,
            answers=Answers(answers.logit, answers.places - np.float32(floor)),
            depth=functional.avg_pool2d(values[:, 2], 8).numpy(),
            lesion=share_of_lesion(values).numpy(),
        )

    def evaluate(self) -> Measured:
        """Figures by patients left out, and what the score owes to other things than the findings."""
        rows, command = table(self.axis), f"./run export evaluate {self.name}"
        given = features(self.axis, ct_lung_train.start())
        found = self.left_out(rows, given)
        networks = [self.network(fold) for fold in range(ct.FOLDS)]
        wholes = rows.at(rows.measured & (rows.kind == "whole"))
        unseen = ct_lung_checks.unseen_lungs(wholes, self.axis, networks)
        checks = ct_lung_checks.checks(found, networks, given, command)
        return measure(found, unseen, checks, command)

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        classes = ct_lung_text.classes(measured.thresholds)
        return write_model(
            self.network(PROD),
            name=self.name,
            version="2.0.0",
            task="classify",
            modality=Modality.CT,
            default_rank=self.default_rank,
            spec=self.input,
            outputs=classifier_outputs(classes, measured.temperature, shown=classes[1:], localises=True),
            measured=measured,
            words=ct_lung_text.card(self.axis),
        )


MODELS = (LungModel("ct-class-ax-compact", "axial"), LungModel("ct-class-sg-compact", "sagittal"))
