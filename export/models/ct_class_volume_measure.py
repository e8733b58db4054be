"""Figures of the networks that read the segmented volume, from patients left out of their training and of the
segmenter's, and what the score owes to other things than the lesions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from export.data import ct
from export.data.balance import balanced
from export.data.ct_segmented_pool import Pool
from export.figures import Array, auc, calibration_error, figure, fit_temperature
from export.measured import Measured
from export.models.ct_class_volume_train import read
from export.models.ct_lung_checks import source_figure, source_scores
from export.models.ct_lung_measure import area, called_figures, operating_point, thresholds_left_out
from export.networks.volume_classes import VolumeClassifier
from plugin.models.cards import Figure

Mask = npt.NDArray[np.bool_]
_BATCH = 16
#: Every so many cases are read for a check.
_EVERY = 3
WITHIN = "slab AUC within COVID-19 patients"
SHARE_ALONE = f"{WITHIN} of the marked share of the lung alone"
MASK_ALONE = f"{WITHIN} with the lungs blacked out, only the mask left"
_IMAGE_ALONE = f"{WITHIN} without the mask, only the image about the lesions left"


@dataclass(frozen=True)
class LeftOut:
    """Cases with the log odds (n,) of networks that never saw their patients."""

    pool: Pool
    logit: Array

    @property
    def covid(self) -> Mask:
        """Cases of COVID-19 patients."""
        return np.isin(self.pool.name, ct.covid_names())

    @property
    def real(self) -> Mask:
        """Cases as they may come from a scanner."""
        return np.array([not kind.startswith("healed") for kind in self.pool.kind], dtype=np.bool_)

    def of(self, kind: str) -> Mask:
        """Cases of a kind."""
        return np.asarray(self.pool.kind == kind)


def left_out(networks: Mapping[int, nn.Module], pool: Pool, channels: npt.NDArray[np.uint8]) -> Array:
    """The log odds of each case by the network that never saw its patient; the DICOM chest by all (mean).

    ``channels``: those of the pool's cases, or what was made of them.
    """
    logit = np.zeros(len(pool.label))
    for fold, network in networks.items():
        own, last = pool.fold == fold, pool.fold == ct.FOLDS
        for rows, parts in ((own, 1), (last, len(networks))):
            if rows.any():
                logit[rows] += read(network, channels[rows]) / parts
    return logit


def measure(networks: Mapping[int, nn.Module], pool: Pool, command: str) -> Measured:
    """Slabs within COVID-19 patients first, then whole volumes, calibration and checks."""
    found = LeftOut(pool, left_out(networks, pool, pool.channels))
    real = found.real
    own = pool.at(real)
    counts = np.zeros(len(found.logit))
    counts[real] = balanced(own.name, own.label, own.coverage)
    two = np.stack([-found.logit / 2, found.logit / 2], axis=1)
    temperature = fit_temperature(two[real], own.label, counts[real])
    scores = 1 / (1 + np.exp(-found.logit / temperature))
    limits = np.full(len(scores), np.nan)
    limits[real] = thresholds_left_out(own, scores[real], counts[real])
    threshold = round(operating_point(own.label, scores[real], counts[real]), 3)
    whole, slab = found.of("whole"), found.of("slab")
    probabilities = np.stack([1 - scores, scores], axis=1)
    calibration = figure(
        "expected calibration error of slabs",
        calibration_error,
        pool.label[slab],
        probabilities[slab],
        list(pool.name[slab]),
        measured_on=f"{int(slab.sum())} slabs of patients left out",
        command=command,
        remark="temperature fitted on the same patients, all cases weighed by coverage",
    )
    figures = (
        *called_figures(pool, scores - limits, whole, on="whole volumes", command=command),
        *_areas(found, scores, command),
        calibration,
    )
    return Measured(
        figures=figures,
        shortcut_checks=checks(found, networks, command),
        temperature=temperature,
        thresholds={"FINDINGS": min(max(threshold, 0.001), 0.999)},
    )


def _areas(found: LeftOut, scores: Array, command: str) -> list[Figure]:
    pool, slab, whole = found.pool, found.of("slab"), found.of("whole")
    source = np.array([ct.source_of(name) for name in pool.name])
    told = zip(pool.name[whole], scores[whole], strict=True)
    listed = "confounded by the source; probability of FINDINGS: " + "; ".join(
        f"{name} {score:.2f}" for name, score in told
    )
    rows = [
        (WITHIN, slab & found.covid, without_one(pool.at(slab & found.covid), scores[slab & found.covid])),
        ("slab AUC, coronacases", slab & (source == "coronacases"), ""),
        ("slab AUC, radiopaedia", slab & (source == "radiopaedia"), ""),
        ("slab AUC", slab, ""),
        ("whole-volume AUC", whole, listed),
    ]
    return [
        area(pool, scores, chosen, title=title, command=command, remark=remark)
        for title, chosen, remark in rows
    ]


def without_one(pool: Pool, scores: Array) -> str:
    """Which patient costs most of the AUC, and what it is without: a few patients decide such a figure."""
    areas = {
        name: auc(pool.label[pool.name != name], scores[pool.name != name]) for name in sorted(set(pool.name))
    }
    name = max(areas, key=lambda each: areas[each])
    return f"without {name} {areas[name]:.3f}"


def checks(found: LeftOut, networks: Mapping[int, nn.Module], command: str) -> tuple[Figure, ...]:
    """The amount that is marked, alone; the mask without the image and the image without the mask; healed
    lesions; the source told from slabs without lesions."""
    pool, covid = found.pool, found.covid
    within = found.of("slab") & covid
    slabs = pool.at(within)
    share = pool.channels[:, 1].sum(axis=(1, 2, 3), dtype=np.float64) / np.maximum(pool.coverage, 1e-6)
    figures = [
        area(
            slabs,
            share[within],
            np.ones(len(slabs.label), dtype=np.bool_),
            title=SHARE_ALONE,
            command=command,
            remark=f"no network but the segmenter; {without_one(slabs, share[within])}",
        )
    ]
    for title, channel in ((MASK_ALONE, 0), (_IMAGE_ALONE, 1)):
        third = np.arange(len(slabs.label)) % _EVERY == 0
        some, before = slabs.at(third), auc(slabs.label[third], found.logit[within][third])
        changed = some.channels.copy()
        changed[:, channel] = 0
        figures.append(
            area(
                some,
                left_out(networks, some, changed),
                np.ones(len(some.label), dtype=np.bool_),
                title=title,
                command=command,
                remark=f"as they are {before:.3f}",
            )
        )
    pairs = covid & np.isin(pool.kind, ("whole", "healed whole"))
    figures.append(
        area(
            pool,
            found.logit,
            pairs,
            title="AUC of whole COVID-19 volumes against themselves with the lesions digitally healed",
            command=command,
            remark="cases like the healed were seen in training; their masks are what the segmenter marked "
            "beside the lesions",
        )
    )
    return (*figures, _score_tells_source(found, command), _features_tell_source(found, networks, command))


def _score_tells_source(found: LeftOut, command: str) -> Figure:
    pool = found.pool
    clean = found.of("slab") & (pool.label == 0)
    return figure(
        "AUC of telling COVID-19 patients by slabs without findings",
        auc,
        found.covid[clean].astype(np.int64),
        found.logit[clean],
        list(pool.name[clean]),
        measured_on=f"{int(clean.sum())} slabs without findings, patients left out",
        command=command,
        remark="0.5 where the score tells nothing of the source",
    )


def _features_tell_source(found: LeftOut, networks: Mapping[int, nn.Module], command: str) -> Figure:
    """How well a network's pooled features of cases without findings tell the COVID-19 collections."""
    pool = found.pool
    clean = (pool.label == 0) & (pool.fold < ct.FOLDS) & (np.arange(len(pool.label)) % _EVERY == 0)
    fold, source = pool.fold[clean], found.covid[clean].astype(np.int64)
    scores: Array = np.zeros(int(clean.sum()))
    for out, network in networks.items():
        assert isinstance(network, VolumeClassifier)
        scores[fold == out] = source_scores(_pooled(network, pool.channels[clean]), source, fold == out)
    return source_figure(source, scores, list(pool.name[clean]), "cases", command)


def _pooled(network: VolumeClassifier, channels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    pooled: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(channels), _BATCH):
            volumes = torch.from_numpy(channels[start : start + _BATCH]).float() / 255
            pooled.append(network.trunk(volumes).mean(dim=(2, 3, 4)))
    return torch.cat(pooled).numpy()
