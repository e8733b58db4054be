"""Opacities of a pneumonia on a frontal chest X-ray, or a picture to reject.

The class is learnt from one collection that has both classes from the same hospitals, so that where a film
comes from tells nothing; all others are kept for measuring. Networks, each without one fifth of the
patients, give the figures (TRAIN); one trained on everybody as long is shipped (PROD).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from export import onnx_writer
from export.data.cxr import (
    CLASSES,
    COVID,
    IEEE8023,
    NIH,
    NON_COVID,
    REJECTION,
    SIIM,
    UNSURE,
    Film,
    Picture,
    folds,
    read_films,
)
from export.data.cxr_variants import SPOILED
from export.measured import Measured
from export.models import xray_measures, xray_shortcuts, xray_text
from export.models.xray_samples import Inputs, Reader, Sample, to_reject, view
from export.models.xray_training import (
    Answers,
    Array,
    Schedule,
    answers,
    fit_calibration,
    fit_floor,
    fit_rejection,
    train_opacity,
)
from export.networks.lite import MEAN, STD
from export.networks.opacity import OpacityNetwork
from export.paths import ONNX_MODELS, runs_folder
from plugin.domain.kinds import Modality
from plugin.models.cards import Card, Equalise, Figure, ModelInput, ModelOutput, OutputClass, Resize

_log = logging.getLogger(__name__)
FOLDS = 5
_PROD = "prod"
#: Films of siim-covid19 that are read again with the lungs blacked out.
_BLACKED_OUT = 300
#: What films teach that readers call indeterminate or atypical: opacities, less surely those of COVID-19.
_UNSURE_TARGET = 0.65
#: How much each group weighs in the rejection, whatever its number of pictures.
_REJECTION_WEIGHTS = {"frontal": 2.0, "reject": 0.5, "spoiled": 1.0}


@dataclass(frozen=True)
class XrayModel:
    """An X-ray network and how it is trained.

    ``stages`` follow each other. ``views``: how many pictures of each film are kept, the film as it is and
    everyday variants, made once, seeded. ``folds``: the fifths for which a network is trained and measured.
    """

    name: str
    stages: tuple[Schedule, ...]
    views: int = 3
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
        return OpacityNetwork((self.size, self.size)).eval()

    def data(self) -> XrayData:
        """The films with what the frozen part gives of them."""
        films = read_films()
        reader = Reader(self.start().front, self.input, runs_folder(self.name))
        return XrayData(films, folds(films, FOLDS), reader, self.views)

    def train(self) -> None:
        """Train TRAIN, then PROD; those whose checkpoint is there are left out."""
        missing = [run for run in (*self.folds, _PROD) if not self._checkpoint(run).is_file()]
        data = self.data() if missing else None
        for run in missing:
            assert data is not None
            _log.info("%s: training %s", self.name, run)
            out = None if run == _PROD else int(run)
            network = self._opacity(data, out)
            network.reject = data.rejection(network, out)
            if out is None:
                self._as_measured(network)
            else:
                data.settle(network, out)
            part = self._checkpoint(run).with_suffix(".part")
            torch.save(network.state_dict(), part)
            part.replace(self._checkpoint(run))

    def _opacity(self, data: XrayData, out: int | None) -> OpacityNetwork:
        chosen = np.flatnonzero(data.siim_fold != (-1 if out is None else out))
        network = self.start()
        for stage in self.stages:
            network = train_opacity(network, data.siim_views, data.target, chosen, stage, seed=0)
        return network

    def _as_measured(self, network: OpacityNetwork) -> None:
        """PROD saw every patient: it is calibrated as the mean of the TRAIN networks is."""
        others = [self.trained(run) for run in self.folds]
        for name in ("scale", "offset", "floor"):
            getattr(network, name).copy_(torch.stack([getattr(other, name) for other in others]).mean())

    def _checkpoint(self, run: int | str) -> Path:
        return runs_folder(self.name) / f"{run}.pt"

    def trained(self, run: int | str) -> OpacityNetwork:
        """The TRAIN network without fold ``run``, or PROD. Raises FileNotFoundError before training."""
        network = self.start()
        network.load_state_dict(torch.load(self._checkpoint(run), weights_only=True))
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
            data.source(first, self.folds[0], command),
        ]
        return Measured(figures=tuple(figures), shortcut_checks=tuple(checks), thresholds=limits)

    def onnx(self, measured: Measured) -> Path:
        """Write graph and card of the PROD network."""
        folder = ONNX_MODELS / self.name
        exported = onnx_writer.write_graph(
            self.trained(_PROD),
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
                ModelOutput(name="attention", meaning="attention", classes=classes[:1], activation="none"),
            ),
            figures=measured.figures,
            shortcut_checks=measured.shortcut_checks,
            self_test=exported.self_test,
            **xray_text.card(len(self.folds), FOLDS),
        )
        return onnx_writer.write_card(card, folder)


class XrayData:
    """All films, their folds (n,), and what the frozen part of the network gave of them."""

    def __init__(self, films: list[Film], fold: npt.NDArray[np.int64], reader: Reader, views: int) -> None:
        self.reader = reader
        self.siim = [film for film in films if film.source == SIIM]
        self.siim_fold = fold[[film.source == SIIM for film in films]]
        self.siim_views = [reader.inputs(f"siim-{k}", view(self.siim, k)) for k in range(views)]
        self.samples = [
            *view(self.siim, 0),
            *view([film for film in films if film.source != SIIM], 0),
            *to_reject(films),
        ]
        rest = reader.inputs("rest", self.samples[len(self.siim) :])
        self._parts = (self.siim_views[0], rest)
        by_film = dict(zip(films, fold.tolist(), strict=True))
        self.fold = np.array([by_film[sample.film] for sample in self.samples])
        self.source = np.array([sample.film.source for sample in self.samples])
        self.learns = np.isin(self.source, (SIIM, IEEE8023, NIH)) | np.array(
            [sample.film.label == REJECTION for sample in self.samples]
        )

    @property
    def target(self) -> npt.NDArray[np.float32]:
        """The share of opacity that each siim film teaches."""
        share = {COVID: 1.0, NON_COVID: 0.0, UNSURE: _UNSURE_TARGET}
        return np.array([share[film.label] for film in self.siim], dtype=np.float32)

    def answers(self, network: OpacityNetwork) -> Answers:
        """What the network says of all samples."""
        found = [answers(network, part.features) for part in self._parts]
        return Answers(
            *(np.concatenate([getattr(f, name) for f in found]) for name in ("film", "reject")),
            *(np.concatenate([getattr(f, name) for f in found]) for name in ("places", "pooled")),
        )

    def rejection(
        self, network: OpacityNetwork, out: int | None, without: str = "", pooled: Array | None = None
    ) -> torch.nn.Linear:
        """The rejection, learnt from the collections of the training without fold ``out`` and one source."""
        chosen = self.learns & (self.fold != (-1 if out is None else out)) & (self.source != without)
        values = self.answers(network).pooled if pooled is None else pooled
        refused = np.array([sample.rejected for sample in self.samples])
        spoiled = np.array([sample.kind in SPOILED for sample in self.samples])
        weights = np.zeros(len(self.samples))
        groups = {"frontal": ~refused, "reject": refused & ~spoiled, "spoiled": spoiled}
        for name, member in groups.items():
            weights[member & chosen] = _REJECTION_WEIGHTS[name] / max(int((member & chosen).sum()), 1)
        weights *= chosen.sum() / weights.sum()
        return fit_rejection(values[chosen], refused[chosen], weights[chosen])

    def settle(self, network: OpacityNetwork, out: int) -> None:
        """Calibrate ``network`` on the left-out fold's patients that choose; find the map's floor on them."""
        chosen = np.flatnonzero(
            [f == out and xray_measures.chooses(film) for f, film in zip(self.siim_fold, self.siim, strict=True)]
        )
        inputs = Inputs(self.siim_views[0].features[chosen], self.siim_views[0].masks[chosen])
        found = answers(network, inputs.features)
        labels = np.array([self.siim[place].label for place in chosen])
        sure = labels != UNSURE
        scale, offset = fit_calibration(found.film[sure], labels[sure] == COVID)
        boxed = inputs.masks.max(axis=(1, 2)) > 127
        for name, value in (
            ("scale", scale),
            ("offset", offset),
            ("floor", fit_floor(found.places[boxed], inputs.masks[boxed])),
        ):
            getattr(network, name).fill_(value)

    def left_out(self, networks: dict[int, OpacityNetwork]) -> xray_measures.Answered:
        """Each sample by the network that left out its fold; collections in no training by the first."""
        by = np.where(self.learns, self.fold, next(iter(networks)))
        chosen = np.isin(by, list(networks))
        covid, rejection = np.zeros(len(by)), np.zeros(len(by))
        for run, network in networks.items():
            found, own = self.answers(network), by == run
            opacity = expit(found.film * float(network.scale) + float(network.offset))
            refused = expit(found.reject)
            covid[own], rejection[own] = (opacity * (1 - refused))[own], refused[own]
        samples = [sample for sample, wanted in zip(self.samples, chosen, strict=True) if wanted]
        return xray_measures.Answered(samples, covid[chosen], rejection[chosen])

    def places(self, networks: dict[int, OpacityNetwork], command: str) -> list[Figure]:
        """Where: the attention of the left-out siim films against the boxes."""
        evidence = np.zeros(self.siim_views[0].masks.shape, np.float32)
        for run, network in networks.items():
            own = np.flatnonzero(self.siim_fold == run)
            found = answers(network, self.siim_views[0].features[own])
            evidence[own] = found.places - float(network.floor)
        chosen = np.isin(self.siim_fold, list(networks))
        films = [film for film, wanted in zip(self.siim, chosen, strict=True) if wanted]
        masks = self.siim_views[0].masks[chosen]
        return xray_measures.place_figures(films, evidence[chosen], masks, command)

    def unseen_rejection(
        self, network: OpacityNetwork, out: int, threshold: float, command: str
    ) -> list[Figure]:
        """Frontal films rejected of each collection by a rejection that learnt nothing of it."""
        pooled, found = self.answers(network).pooled, []
        for source in (SIIM, IEEE8023, NIH):
            layer = self.rejection(network, out, without=source, pooled=pooled)
            with torch.inference_mode():
                scores = expit(layer(torch.from_numpy(pooled))[:, 0].numpy().astype(np.float64))
            answered = xray_measures.Answered(self.samples, scores, scores)
            own = answered.where(source, COVID, NON_COVID, UNSURE)
            name = f"frontal films rejected, {source} in no training of the rejection"
            figures = xray_measures.Figures(answered, command)
            found.append(figures.refused(name, own, threshold, f"{source}, all frontal films"))
        return found

    def blackouts(
        self, network: OpacityNetwork, out: int, spec: ModelInput, command: str
    ) -> list[Figure]:
        """AUC of some left-out siim films with the lungs, or all else, blacked out."""
        sure = [f.label != UNSURE and n == out for f, n in zip(self.siim, self.siim_fold, strict=True)]
        films = [film for film, wanted in zip(self.siim, sure, strict=True) if wanted][:_BLACKED_OUT]

        def covid_of(pictures: list[Picture]) -> Array:
            features = np.stack([self.reader.features(picture) for picture in pictures])
            return answers(network, features).film

        everything = list(dict.fromkeys(sample.film for sample in self.samples))
        return xray_shortcuts.blackout_figures(films, everything, spec, covid_of, command)

    def source(self, network: OpacityNetwork, out: int, command: str) -> Figure:
        """Does the network's inner know siim from rsna?"""
        own = np.array(
            [
                sample.film.label == NON_COVID
                and sample.kind == "film"
                and (sample.film.source == "rsna" or (sample.film.source == SIIM and fold == out))
                for sample, fold in zip(self.samples, self.fold, strict=True)
            ]
        )
        films = [sample.film for sample, wanted in zip(self.samples, own, strict=True) if wanted]
        return xray_shortcuts.source_figure(films, self.answers(network).pooled[own], command)


MODELS = (
    XrayModel(
        name="xray-covid-lite0",
        # The new layers first, as their first steps would undo what ImageNet's weights know.
        stages=(Schedule(epochs=2, rate=0.0, fresh=2e-3), Schedule(epochs=1, rate=3e-4, fresh=1e-3)),
        folds=(0,),
    ),
)
