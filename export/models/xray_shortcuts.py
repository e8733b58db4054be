"""What an X-ray network could know without looking at the lungs: blackout, brightness and source tests.

Results that stay when the lungs are blacked out are shortcuts (Maguolo and Nanni 2021); so are
features that tell from which collection a film came (DeGrave et al. 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import binary_dilation
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from export.data.cxr import COVID, IEEE8023, NON_COVID, SIIM, Film, Picture, read_lung_masks, read_picture
from export.data.cxr_variants import with_lungs_only, without_lungs
from export.figures import auc, figure
from export.models.xray_measures import LEFT_OUT, Answered, Figures
from export.networks.lite import LiteTrunk
from plugin.analysis.preprocess import resize
from plugin.models.cards import Figure
from plugin.models.inputs import ModelInput
from plugin.models.network import prepare

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
_GRID = 32


class LungFinder:
    """Lung masks for films that have none: a logistic regression on each place's Lite0 features.

    Only the COVID films of ieee8023 have masks. Blacking out needs masks of one kind for both
    classes, or their outlines would tell the classes apart; so this finds them for all. It learns
    from four fifths of the patients with masks; ``dice`` (films,) is measured on the others.
    """

    def __init__(self, films: list[Film], spec: ModelInput) -> None:
        self.spec = spec
        self.trunk = LiteTrunk(0, (spec.shape[2], spec.shape[3])).eval()
        masks = read_lung_masks(films)
        marked = [film for film in films if film.path in masks]
        patients = [film.patient for film in marked]
        learn, check = next(GroupKFold(5).split(marked, groups=patients))
        self._learn([marked[i] for i in learn], masks)
        self.checked = [marked[i] for i in check]
        self.dice = np.array([_dice(self.find(f.path), masks[f.path]) for f in self.checked])

    def _learn(self, films: list[Film], masks: dict[Path, Mask]) -> None:
        draw, places, labels = np.random.default_rng(0), [], []
        for film in films:
            chosen = draw.choice(_GRID * _GRID, 256, replace=False)
            mask = resize(masks[film.path].astype(np.float32), _GRID, _GRID).ravel() > 0.5
            places.append(self._places(read_picture(film.path))[chosen])
            labels.append(mask[chosen])
        regression = LogisticRegression(C=1e-2, max_iter=200)
        self.regression = make_pipeline(StandardScaler(), regression)
        self.regression.fit(np.concatenate(places), np.concatenate(labels))

    def _places(self, picture: Picture) -> npt.NDArray[np.float32]:
        """(1024, features): the maps at strides 8, 16 and 32, and where the place is."""
        with torch.inference_mode():
            stages = self.trunk.stages(torch.from_numpy(prepare(self.spec, picture)[None]))[2:]
            maps = [functional.interpolate(s, (_GRID, _GRID), mode="bilinear") for s in stages]
        row, column = np.mgrid[:_GRID, :_GRID] / _GRID
        where = np.stack([row, column, (row - 0.5) ** 2, (column - 0.5) ** 2]).reshape(4, -1)
        features = torch.cat(maps, dim=1)[0].flatten(1).numpy()
        return np.concatenate([features, where]).T.astype(np.float32)

    def find(self, path: Path) -> Mask:
        """The lungs of the frontal film in ``path``, (rows, columns)."""
        picture = read_picture(path)
        probability = self.regression.predict_proba(self._places(picture))[:, 1]
        grid = probability.reshape(_GRID, _GRID).astype(np.float32)
        return np.asarray(resize(grid, *picture.shape) > 0.5)


def _dice(found: Mask, expected: Mask) -> float:
    return 2 * float((found & expected).sum()) / float(found.sum() + expected.sum())


def _with_margin(mask: Mask) -> Mask:
    return np.asarray(binary_dilation(mask, iterations=round(0.01 * max(mask.shape))))


def blackout_figures(
    films: list[Film],
    everything: list[Film],
    spec: ModelInput,
    covid_of: Callable[[list[Picture]], Array],
    command: str,
) -> list[Figure]:
    """AUC of the siim ``films`` with the lungs blacked out, and with everything else blacked out.

    ``covid_of`` gives the COVID probability of pictures of the ``films``, in their order, by networks
    that did not see the patient. The lungs' masks are learnt from those among ``everything``.
    """
    finder = LungFinder(everything, spec)
    pictures = [read_picture(film.path) for film in films]
    masks = [_with_margin(finder.find(film.path)) for film in films]
    labels = np.array([film.label == COVID for film in films], dtype=np.int64)
    found = [
        figure(
            "Dice of the lung masks for the blackout",
            lambda _labels, dice: float(dice.mean()),
            np.ones(len(finder.dice), dtype=np.int64),
            finder.dice,
            [film.patient for film in finder.checked],
            measured_on=f"films of ieee8023 with masks of V7 Labs, {LEFT_OUT}",
            command=command,
        )
    ]
    for name, scores in (
        ("AUC of the same films as they are, siim", covid_of(pictures)),
        (
            "AUC with the lungs blacked out, siim",
            covid_of([without_lungs(p, m) for p, m in zip(pictures, masks, strict=True)]),
        ),
        (
            "AUC with all but the lungs blacked out, siim",
            covid_of([with_lungs_only(p, m) for p, m in zip(pictures, masks, strict=True)]),
        ),
    ):
        found.append(
            figure(
                name,
                auc,
                labels,
                scores,
                [film.patient for film in films],
                measured_on=f"some films of siim-covid19, {LEFT_OUT}",
                command=command,
                remark="lung masks found by a classifier trained on those of V7 Labs",
            )
        )
    return found


def floor_figures(answered: Answered, command: str) -> list[Figure]:
    """What is no finding, and still tells something: mean brightness, the projection, the collection."""
    make, where = Figures(answered, command), answered.where
    covid, clear = where(SIIM, COVID), where(SIIM, NON_COVID)
    chosen = np.flatnonzero(covid | clear)
    brightness = np.zeros(len(answered.films))
    for place in chosen:
        brightness[place] = read_picture(answered.films[place].path).mean()
    own = where(IEEE8023, COVID, NON_COVID)
    view = np.array([film.view for film in answered.films])
    portable, standing = own & np.char.startswith(view, "AP"), own & (view == "PA")
    ieee = np.array([film.label == COVID for film in answered.films])
    on = f"siim-covid19, {LEFT_OUT}"
    return [
        make.of("AUC of mean brightness alone, siim", auc, covid | clear, brightness, on=on, labels=covid),
        make.area(
            "AUC COVID-19 against other pneumonias, PA films alone",
            standing & ieee,
            standing & ~ieee,
            "ieee8023, a source in no training of the class",
        ),
        make.area(
            "AUC of telling AP from PA, COVID-19 films",
            portable & ieee,
            standing & ieee,
            "ieee8023, a source in no training of the class",
            "the ill lie in bed, so that some of it is illness",
        ),
        make.area(
            "AUC of telling siim from rsna among films without pneumonia",
            clear,
            where("rsna", NON_COVID),
            f"siim-covid19 and rsna, {LEFT_OUT}",
            "by the COVID probability; 0.5 = it does not know the source",
        ),
    ]


def source_figure(films: Sequence[Film], pooled: npt.NDArray[np.float32], command: str) -> Figure:
    """How well the pooled features (films, channels) of films without pneumonia tell siim from rsna.

    By logistic regression, patients left out; 0.5 would be blind to it.
    """
    source = np.array([film.source == SIIM for film in films], dtype=np.int64)
    patients = np.array([film.patient for film in films])
    regression = LogisticRegression(C=1e-3, max_iter=300, class_weight="balanced")
    scores = cross_val_predict(
        make_pipeline(StandardScaler(), regression),
        pooled,
        source,
        groups=patients,
        cv=GroupKFold(3),
        method="predict_proba",
    )[:, 1]
    return figure(
        "AUC of telling the source from the features",
        auc,
        source,
        scores,
        patients.tolist(),
        measured_on="NON-COVID films of siim-covid19 and rsna, patients left out",
        command=command,
        remark="1 = the features know the collection; the class never learns from rsna",
    )
