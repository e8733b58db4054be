"""Films with what a network's first part gave of them; what is fitted to that and measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from export.data.cxr import COVID, NON_COVID, SIIM, UNSURE, Film, Picture
from export.models import xray_measures, xray_shortcuts
from export.models.xray_fits import Answers, Array, answers, fit_calibration, fit_floor
from export.models.xray_rejection import Rejection
from export.models.xray_samples import FILM, Inputs, Reader
from export.networks.opacity import OpacityNetwork
from plugin.models.cards import Figure
from plugin.models.inputs import ModelInput

#: Films of siim-covid19 that are read again with the lungs blacked out.
_BLACKED_OUT = 300


class XrayData:
    """All films, their folds (n,), and what the first part of a trained network gave of them."""

    def __init__(self, films: list[Film], fold: npt.NDArray[np.int64], reader: Reader) -> None:
        self.reader, self.rejects = reader, Rejection(films, fold)
        self.siim, self.samples = self.rejects.siim, self.rejects.samples
        self.siim_fold = self.rejects.fold[: len(self.siim)]
        self.inputs = reader.inputs("siim", self.samples[: len(self.siim)])
        self._parts = (self.inputs, reader.inputs("rest", self.samples[len(self.siim) :]))
        self._last: tuple[OpacityNetwork, Answers] | None = None

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

    def rejection(self, network: OpacityNetwork, out: int | None) -> torch.nn.Linear:
        """The rejection, learnt from all collections without the patients of fold ``out``."""
        chosen = self.rejects.fold != (-1 if out is None else out)
        return self.rejects.learn(self.answers(network).pooled, chosen)

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

    def left_out(self, networks: dict[int, OpacityNetwork]) -> tuple[xray_measures.Answered, Array]:
        """Films of siim by the network that left out their fold, all others by the first; and refusals (n,).

        What is answered comes with a rejection that learnt nothing of the film's source; the refusals beside
        it are by one that learnt nothing of its fold's patients.
        """
        by = np.where(self.rejects.sources == SIIM, self.rejects.fold, next(iter(networks)))
        chosen = np.isin(by, list(networks))
        covid, refused, known = (np.zeros(len(by)) for _ in range(3))
        for run, network in networks.items():
            found, own = self.answers(network), by == run
            opacity = expit(found.film * float(network.scale) + float(network.offset))
            refused[own], known[own] = (each[own] for each in self.rejects.refusals(found.pooled))
            covid[own] = (opacity * (1 - refused))[own]
        samples = [sample for sample, wanted in zip(self.samples, chosen, strict=True) if wanted]
        return xray_measures.Answered(samples, covid[chosen], refused[chosen]), known[chosen]

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
                for sample, fold in zip(self.samples, self.rejects.fold, strict=True)
            ]
        )
        films = [sample.film for sample, wanted in zip(self.samples, own, strict=True) if wanted]
        return xray_shortcuts.source_figure(films, self.answers(network).pooled[own], command)
