"""Does a chest CT hold opacities as in COVID-19 pneumonia? On its axial (AX) or sagittal (SG) mean, as
published: of the whole body."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from export.data import ct
from export.data.ct_projections import Axis, Sample, slabs
from export.data.ct_segment import deform, vary_intensity
from export.figures import auc, calibration_error, figure, fit_temperature, rate_at_least, rate_below
from export.measured import Measured
from export.models.ct_finetune import Plan
from export.models.ct_projection import B4, CardText, OutOfFold, ProjectionModel, b4
from export.networks.published import UNFINISHED
from plugin.models.cards import Figure, OutputClass
from plugin.models.inputs import Projection

COUNT = 240
MARGIN = 0.05
"""Room above the highest volume without findings, for what a network trained on all volumes says."""
CLASSES = (
    OutputClass(name="NO-FINDINGS", meaning="No opacity as in COVID-19 pneumonia"),
    OutputClass(name="FINDINGS", meaning="Opacity consistent with COVID-19 pneumonia", role="finding"),
)


def volumes() -> list[str]:
    """All chests."""
    return [*ct.chest_names(), ct.DICOM_CHEST]


def text(words: str) -> CardText:
    """The card's words for the ``words`` (axial or sagittal) projection."""
    return CardText(
        title=f"CT findings on the {words} mean projection",
        training_data=(
            f"Random {words} slabs (8 mm to all of the lungs) and whole {words} mean projections of 15 "
            "COVID-19 CTs (COVID-19-CT-Seg) and six chest CTs without COVID-19, labelled by experts' "
            "masks: positive from 2 % of the slab's lung and 3 mL on, negative without any. In training "
            "also the same volumes with the findings digitally filled by healthy lung, as negatives."
        ),
        intended_use=(
            "Research: evidence in the mean projection for opacities as in COVID-19 pneumonia. It tells "
            "slabs with findings from slabs without, within patients; it is no test for COVID-19."
        ),
        limits=(
            "Very small evidence: 15 patients with findings from two collections, six without from "
            "others. Whole-volume figures are confounded by the source, and only six volumes are "
            "negative. Whole chests with and without findings of one patient are told apart poorly: slight "
            "or small opacities vanish in a mean over the whole chest. The segmentation's share of lung "
            "is the firmer evidence. Other "
            "consolidation, tumours and atelectasis are not told apart."
        ),
    )


def sampler(axis: Axis) -> Callable[[str, int], Iterator[Sample]]:
    """(volume name, seed) to slabs and whole projections along ``axis``."""

    def samples(name: str, seed: int) -> Iterator[Sample]:
        draw = np.random.default_rng(seed)
        return slabs(ct.load_volume(name), axis, COUNT, draw, training=True)

    return samples


def varied(axis: Axis) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Geometry (flips only where left and right are the columns) and grey values."""

    def vary(values: Tensor, draw: torch.Generator) -> Tensor:
        return vary_intensity(deform(values, draw, flip=axis == "axial"), draw, 0.02)

    return vary


def _area(found: OutOfFold, chosen: np.ndarray, title: str, command: str, remark: str = "") -> Figure:
    table = found.table.at(chosen)
    positive = int(table.label.sum())
    return figure(
        title,
        auc,
        table.label,
        found.logit[chosen],
        list(table.name),
        measured_on=(
            f"{positive} with and {len(table.label) - positive} without findings, from "
            f"{len(set(table.name))} patients left out"
        ),
        command=command,
        remark=remark,
    )


def operating_point(negatives: np.ndarray) -> float:
    """The threshold, at least 0.5, that lies ``MARGIN`` above every whole volume without findings.

    A whole chest that is called without reason costs a reader more than one that is not called: the
    segmentation shows small findings more surely.
    """
    return round(max(0.5, float(negatives.max()) + MARGIN), 2)


def measure(found: OutOfFold, command: str) -> Measured:
    """AUC of slabs, in all and within COVID-19 patients; whole volumes by name; calibration."""
    table = found.table
    slab, whole = table.kind == "slab", table.kind == "whole"
    most = whole | (table.kind == "most")
    covid = np.isin(table.name, ct.covid_names())
    two = np.stack([-found.logit / 2, found.logit / 2], axis=1)
    weight = np.where(table.label == 1, 0.5 / table.label.mean(), 0.5 / (1 - table.label.mean()))
    temperature = fit_temperature(two[slab], table.label[slab], weight[slab])
    scores = 1 / (1 + np.exp(-found.logit / temperature))
    rows = zip(table.name[whole], scores[whole], strict=True)
    listed = "probability of FINDINGS: " + "; ".join(f"{n} {p:.2f}" for n, p in rows)
    threshold = operating_point(scores[whole & (table.label == 0)])
    figures = [
        _area(found, slab, "slab AUC", command),
        _area(found, slab & covid, "slab AUC within COVID-19 patients", command),
    ]
    for source in ("coronacases", "radiopaedia"):
        own = slab & np.array([ct.source_of(n) == source for n in table.name])
        figures.append(_area(found, own, f"slab AUC, {source}", command))
    figures.append(_area(found, whole, "whole-volume AUC (confounded by source)", command, listed))
    figures.append(
        _area(found, most & covid, "AUC of nearly whole volumes within COVID-19 patients", command)
    )
    for title, rate in (
        ("whole volumes with findings called", rate_at_least(threshold, 1)),
        ("whole volumes without findings not called", rate_below(threshold, 0)),
    ):
        figures.append(
            figure(
                title,
                rate,
                table.label[whole],
                scores[whole],
                list(table.name[whole]),
                measured_on=f"{int(whole.sum())} whole volumes of patients left out",
                command=command,
                remark=f"operating point {threshold} chosen on the same volumes",
            )
        )
    probabilities = np.stack([1 - scores, scores], axis=1)
    error = figure(
        "expected calibration error of slabs",
        calibration_error,
        table.label[slab],
        probabilities[slab],
        list(table.name[slab]),
        measured_on=f"{int(slab.sum())} slabs of patients left out",
        command=command,
        remark="temperature fitted on the same slabs",
    )
    return Measured(figures=(*figures, error), temperature=temperature, thresholds={"FINDINGS": threshold})


def _published(name: str, axis: Axis, words: str) -> ProjectionModel:
    """The large network, trained and measured for what a machine without a GPU can give it."""
    told = text(words)
    return ProjectionModel(
        name=name,
        task="classify",
        projection=Projection(axis=axis),
        size=128,
        plan=Plan(steps=120, rate=5e-4),
        vary=varied(axis),
        volumes=volumes,
        samples=sampler(axis),
        measure=measure,
        classes=CLASSES,
        text=dataclasses.replace(told, limits=UNFINISHED + told.limits),
        default_rank=50,
        architecture=B4,
        build=b4,
    )


MODELS = (
    _published("ct-class-ax-b4", "axial", "axial"),
    _published("ct-class-sg-b4", "sagittal", "sagittal"),
)
