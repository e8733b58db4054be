"""The rejection of X-ray networks: what teaches it, and how it does on sources that did not teach it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from export.data.cxr import REJECTION, SIIM, Film
from export.models.xray_fits import Array, Mask, fit_rejection, refusal
from export.models.xray_samples import FILM, Sample, to_reject, view

#: How much each kind of picture weighs, whatever its number.
_WEIGHTS = {"frontal": 2.0, "reject": 0.5, "spoiled": 1.0}
#: Chosen on sources left out: 0.01 and 0.1 let more inverted films through.
_REGULARISATION = 3e-2


class Rejection:
    """All films, pictures to reject and spoiled films as samples, with the fold of each one's patient (n,).

    Every source weighs alike among the frontal films and among the spoiled ones, so that a large one does
    not tell what a frontal film looks like. ``pooled`` are a network's features of the samples (n, channels).
    """

    def __init__(self, films: list[Film], fold: npt.NDArray[np.int64]) -> None:
        self.siim = [film for film in films if film.source == SIIM]
        others = [film for film in films if film.source != SIIM]
        self.samples: list[Sample] = [*view(self.siim, 0), *view(others, 0), *to_reject(films)]
        by_film = dict(zip(films, fold.tolist(), strict=True))
        self.fold = np.array([by_film[sample.film] for sample in self.samples])
        self.sources = np.array([sample.film.source for sample in self.samples])
        self.refused = np.array([sample.rejected for sample in self.samples])
        self.as_it_is = np.array([sample.kind == FILM for sample in self.samples])
        self.to_reject = np.array([sample.film.label == REJECTION for sample in self.samples])

    def learn(self, pooled: npt.NDArray[np.float32], chosen: Mask) -> nn.Linear:
        """The rejection that the ``chosen`` samples (n,) teach."""
        weights = np.zeros(len(self.samples))
        kinds = {
            "frontal": ~self.refused,
            "reject": self.to_reject,
            "spoiled": self.refused & ~self.to_reject,
        }
        for name, kind in kinds.items():
            own = kind & chosen
            sources = (
                [own] if name == "reject" else [own & (self.sources == s) for s in set(self.sources[own])]
            )
            for source in sources:
                weights[source] = _WEIGHTS[name] / len(sources) / max(int(source.sum()), 1)
        weights *= chosen.sum() / weights.sum()
        return fit_rejection(pooled[chosen], self.refused[chosen], weights[chosen], _REGULARISATION)

    def by_others(self, pooled: npt.NDArray[np.float32]) -> Array:
        """Each sample's refusal (n,) by a rejection that learnt nothing of its source.

        Pictures to reject are too few for that: theirs are by rejections without their patients.
        """
        found = self.by_other_patients(pooled)
        for source in set(self.sources[~self.to_reject]):
            layer = self.learn(pooled, self.sources != source)
            own = (self.sources == source) & ~self.to_reject
            found[own] = refusal(layer, pooled[own])
        return found

    def by_other_patients(self, pooled: npt.NDArray[np.float32]) -> Array:
        """Each sample's refusal (n,) by a rejection that learnt nothing of its fold's patients."""
        found = np.zeros(len(self.samples))
        for fold in set(self.fold.tolist()):
            layer = self.learn(pooled, self.fold != fold)
            own = self.fold == fold
            found[own] = refusal(layer, pooled[own])
        return found
