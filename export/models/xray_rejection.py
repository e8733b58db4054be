"""The rejection of X-ray networks: what teaches it, and how it does on sources that did not teach it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import nn

from export.data.cxr import REJECTION, SIIM, Film
from export.models.xray_fits import Array, Mask, fit_rejection, refusal
from export.models.xray_samples import Sample, to_reject, view

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

    def refusals(self, pooled: npt.NDArray[np.float32]) -> tuple[Array, Array]:
        """Refusals (n,) by rejections that learnt nothing of the sample's source; of its fold's patients.

        Pictures to reject are too few to leave out a source of them: both are of their fold's patients.
        """
        known = self._without_each(self.fold, pooled, np.ones(len(self.samples), bool))
        others = self._without_each(self.sources, pooled, ~self.to_reject)
        return np.where(self.to_reject, known, others), known

    def _without_each(
        self, groups: npt.NDArray[np.generic], pooled: npt.NDArray[np.float32], measured: Mask
    ) -> Array:
        """The refusal of the ``measured`` samples by rejections without their group; 0 for others."""
        found = np.zeros(len(self.samples))
        for group in set(groups[measured].tolist()):
            layer, own = self.learn(pooled, groups != group), measured & (groups == group)
            found[own] = refusal(layer, pooled[own])
        return found
