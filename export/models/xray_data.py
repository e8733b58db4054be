"""Films with what a network's first part gave of them; what is fitted to that and measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from export.data.cxr import COVID, IEEE8023, NIH, NON_COVID, REJECTION, SIIM, UNSURE, Film, Picture
from export.data.cxr_variants import SPOILED
from export.models import xray_measures, xray_shortcuts
from export.models.xray_fits import (
    Answers,
    Array,
    answers,
    fit_calibration,
    fit_floor,
    fit_rejection,
    refusal,
)
from export.models.xray_samples import FILM, Inputs, Reader, to_reject, view
from export.networks.opacity import OpacityNetwork
from plugin.models.cards import Figure
from plugin.models.inputs import ModelInput

#: Films of siim-covid19 that are read again with the lungs blacked out.
_BLACKED_OUT = 300
#: How much each group weighs in the rejection, whatever its number of pictures.
_REJECTION_WEIGHTS = {"frontal": 2.0, "reject": 0.5, "spoiled": 1.0}


class XrayData:
    """All films, their folds (n,), and what the first part of a trained network gave of them."""

    def __init__(self, films: list[Film], fold: npt.NDArray[np.int64], reader: Reader) -> None:
        self.reader = reader
        self.siim = [film for film in films if film.source == SIIM]
        self.siim_fold = fold[[film.source == SIIM for film in films]]
        self.inputs = reader.inputs("siim", view(self.siim, 0))
        self.samples = [
            *view(self.siim, 0),
            *view([film for film in films if film.source != SIIM], 0),
            *to_reject(films),
        ]
        rest = reader.inputs("rest", self.samples[len(self.siim) :])
        self._parts = (self.inputs, rest)
        self._last: tuple[OpacityNetwork, Answers] | None = None
        by_film = dict(zip(films, fold.tolist(), strict=True))
        self.fold = np.array([by_film[sample.film] for sample in self.samples])
        self.sources = np.array([sample.film.source for sample in self.samples])
        self.learns = np.isin(self.sources, (SIIM, IEEE8023, NIH)) | np.array(
            [sample.film.label == REJECTION for sample in self.samples]
        )

    def answers(self, network: OpacityNetwork) -> Answers:
        """What the network says of all samples; kept until another is asked."""
        if self._last is None or self._last[0] is not network:
            self._last = (network, self._answers(network))
        return self._last[1]

    def _answers(self, network: OpacityNetwork) -> Answers:
        found = [answers(network, part.features) for part in self._parts]
        return Answers(
            film=np.concatenate([part.film for part in found]),
            places=np.concatenate([part.places for part in found]),
            pooled=np.concatenate([part.pooled for part in found]),
        )

    def rejection(self, network: OpacityNetwork, out: int | None, without: str = "") -> torch.nn.Linear:
        """The rejection, learnt from the collections of the training without fold ``out`` and one source."""
        chosen = self.learns & (self.fold != (-1 if out is None else out)) & (self.sources != without)
        values = self.answers(network).pooled
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
            [
                f == out and xray_measures.chooses(film)
                for f, film in zip(self.siim_fold, self.siim, strict=True)
            ]
        )
        inputs = Inputs(self.inputs.features[chosen], self.inputs.masks[chosen])
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
            refused = refusal(network.reject, found.pooled)
            covid[own], rejection[own] = (opacity * (1 - refused))[own], refused[own]
        samples = [sample for sample, wanted in zip(self.samples, chosen, strict=True) if wanted]
        return xray_measures.Answered(samples, covid[chosen], rejection[chosen])

    def places(self, networks: dict[int, OpacityNetwork], command: str) -> list[Figure]:
        """Where: the attention of the left-out siim films against the boxes."""
        evidence = np.zeros(self.inputs.masks.shape, np.float32)
        for run, network in networks.items():
            own = np.flatnonzero(self.siim_fold == run)
            found = answers(network, self.inputs.features[own])
            evidence[own] = found.places - float(network.floor)
        chosen = np.isin(self.siim_fold, list(networks))
        films = [film for film, wanted in zip(self.siim, chosen, strict=True) if wanted]
        masks = self.inputs.masks[chosen]
        return xray_measures.place_figures(films, evidence[chosen], masks, command)

    def unseen_rejection(
        self, network: OpacityNetwork, out: int, threshold: float, command: str
    ) -> list[Figure]:
        """Frontal films rejected of each collection by a rejection that learnt nothing of it."""
        pooled, found = self.answers(network).pooled, []
        for source in (SIIM, IEEE8023, NIH):
            layer = self.rejection(network, out, without=source)
            scores = refusal(layer, pooled)
            answered = xray_measures.Answered(self.samples, scores, scores)
            own = answered.where(source, COVID, NON_COVID, UNSURE)
            name = f"frontal films rejected, {source} in no training of the rejection"
            figures = xray_measures.Figures(answered, command)
            found.append(figures.refused(name, own, threshold, f"{source}, all frontal films"))
        return found

    def blackouts(self, network: OpacityNetwork, out: int, spec: ModelInput, command: str) -> list[Figure]:
        """AUC of some left-out siim films with the lungs, or all else, blacked out."""
        sure = [f.label != UNSURE and n == out for f, n in zip(self.siim, self.siim_fold, strict=True)]
        films = [film for film, wanted in zip(self.siim, sure, strict=True) if wanted][:_BLACKED_OUT]

        def covid_of(pictures: list[Picture]) -> Array:
            features = np.stack([self.reader.features(picture) for picture in pictures])
            return answers(network, features).film

        everything = list(dict.fromkeys(sample.film for sample in self.samples))
        return xray_shortcuts.blackout_figures(films, everything, spec, covid_of, command)

    def source_told(self, network: OpacityNetwork, out: int, command: str) -> Figure:
        """Does the network's inner know siim from rsna?"""
        own = np.array(
            [
                sample.film.label == NON_COVID
                and sample.kind == FILM
                and (sample.film.source == "rsna" or (sample.film.source == SIIM and fold == out))
                for sample, fold in zip(self.samples, self.fold, strict=True)
            ]
        )
        films = [sample.film for sample, wanted in zip(self.samples, own, strict=True) if wanted]
        return xray_shortcuts.source_figure(films, self.answers(network).pooled[own], command)
