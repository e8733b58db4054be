"""Is the series a whole chest? On the axial, sagittal and coronal mean projection, a channel each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from export.data import ct
from export.data.ct_projections import Sample
from export.data.ct_segment import bend, deform, vary_intensity
from export.data.ct_spoiled import SPOILED, chest_samples, other_samples
from export.figures import auc, figure, fit_temperature, rate_at_least
from export.measured import Measured
from export.models.ct_finetune import Plan
from export.models.ct_projection import B4, CardText, OutOfFold, ProjectionModel, b4
from export.networks.published import UNFINISHED
from plugin.models.cards import Figure, OutputClass
from plugin.models.inputs import Projection

COUNT = 60
#: The share of whole chests that may be rejected; the operating point follows from it.
FALSE_REJECTIONS = 0.02
LOWEST_THRESHOLD, HIGHEST_THRESHOLD = 0.5, 0.95

TEXT = CardText(
    title="CT accept or reject",
    training_data=(
        "21 chest CTs (15 of COVID-19-CT-Seg; LIDC-IDRI, Lung-PET-CT-Dx, COPDGene, LungSeg3D), parts cut "
        "from them digitally (apex, base or one lung missing, few slices, turned), one CT of head and "
        "neck and one of the abdomen. In training every third chest had made-up opacities in its lungs."
    ),
    intended_use="Research: keeps CT series that do not show a whole chest from being read.",
    limits=(
        "The projection is stretched to a square, so that the extent in mm is not seen but only what "
        "lies within it; training varied the field of view and the coverage. One series each of head "
        "and neck and of the abdomen, real partial scans none: those were cut digitally. Scans that go "
        "on into the abdomen were imitated by mirroring. Left-right swaps are not "
        "recognised."
    ),
)


def volumes() -> list[str]:
    """All chests and all that is none."""
    return [*ct.chest_names(), ct.DICOM_CHEST, *ct.NOT_CHESTS]


def samples(name: str, seed: int) -> Iterator[Sample]:
    """Labelled projections of one volume."""
    draw = np.random.default_rng(seed)
    if name in ct.NOT_CHESTS:
        return other_samples(name, 2 * COUNT, draw)
    return chest_samples(ct.load_volume(name), COUNT, draw)


def vary(values: Tensor, draw: torch.Generator) -> Tensor:
    """Columns and grey values; never the rows, whose extent is what is judged."""
    moved = bend(deform(values, draw, flip=False, vertical=False), draw)
    return vary_intensity(moved, draw, 0.02)


def measure(found: OutOfFold, command: str) -> Measured:
    """AUC, false rejections of whole chests, and what is rejected of each kind."""
    table, logits = found.table, found.logit
    two = np.stack([-logits / 2, logits / 2], axis=1)
    temperature = fit_temperature(two, table.label)
    scores = 1 / (1 + np.exp(-logits / temperature))
    limit = float(np.quantile(scores[table.label == 0], 1 - FALSE_REJECTIONS))
    threshold = round(min(max(limit, LOWEST_THRESHOLD), HIGHEST_THRESHOLD), 3)
    everything = f"{len(table.label)} projections of {len(set(table.name))} volumes, patients left out"

    def of(kinds: tuple[str, ...], title: str, remark: str = "") -> Figure:
        chosen = np.isin(table.kind, kinds)
        label = int(table.label[chosen][0])
        return figure(
            title,
            rate_at_least(threshold, label),
            table.label[chosen],
            scores[chosen],
            list(table.name[chosen]),
            measured_on=f"{int(chosen.sum())} projections of {len(set(table.name[chosen]))} volumes",
            command=command,
            remark=remark,
        )

    stored = table.kind == "as stored"
    pairs = zip(table.name[stored], scores[stored], strict=True)
    listed = "probability of reject: " + "; ".join(f"{n} {p:.3f}" for n, p in pairs)
    chosen = f"operating point {threshold} chosen on the same pictures"
    area = figure(
        "AUC accept against reject",
        auc,
        table.label,
        scores,
        list(table.name),
        measured_on=everything,
        command=command,
    )
    kinds = [k for k in (*SPOILED, *ct.NOT_CHESTS.values()) if (table.kind == k).any()]
    return Measured(
        figures=(
            area,
            of(("as stored",), "whole chests falsely rejected, as stored", listed),
            of(("as stored", "whole"), "whole chests falsely rejected, with varied coverage", chosen),
            *(of((kind,), f"rejected of: {kind}") for kind in kinds),
        ),
        temperature=temperature,
        thresholds={"accept": round(1 - threshold, 3), "reject": threshold},
    )


COMPACT = ProjectionModel(
    name="ct-reject-compact",
    task="reject",
    projection=Projection(axis="orthogonal"),
    size=128,
    plan=Plan(steps=200),
    vary=vary,
    volumes=volumes,
    samples=samples,
    measure=measure,
    classes=(
        OutputClass(name="accept", meaning="A whole chest"),
        OutputClass(name="reject", meaning="No chest, or not all of it", role="reject"),
    ),
    text=TEXT,
    default_rank=10,
)
PUBLISHED = dataclasses.replace(
    COMPACT,
    name="ct-reject-b4",
    plan=Plan(steps=120, rate=5e-4),
    architecture=B4,
    build=b4,
    text=dataclasses.replace(TEXT, limits=UNFINISHED + TEXT.limits),
    default_rank=50,
)
MODELS = (COMPACT, PUBLISHED)
