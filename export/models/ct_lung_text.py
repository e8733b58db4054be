"""What the cards of the networks on projections over the lungs say in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from export.models.ct_projection import LICENCE, TRAINING_LICENCE
from plugin.models.cards import OutputClass


class Words(TypedDict):
    """The keys of a card that hold words."""

    title: str
    architecture: str
    training_data: str
    training_licence: str
    intended_use: str
    limits: str
    licence: str


def classes(thresholds: Mapping[str, float]) -> tuple[OutputClass, OutputClass]:
    """The two classes in the network's order."""
    return (
        OutputClass(name="NO-FINDINGS", meaning="No opacity as in COVID-19 pneumonia"),
        OutputClass(
            name="FINDINGS",
            meaning="Opacity consistent with COVID-19 pneumonia",
            role="finding",
            threshold=thresholds["FINDINGS"],
        ),
    )


def card(axis: str) -> Words:
    """The words for the ``axis`` projection."""
    return Words(
        title=f"CT findings on the {axis} projection of the lungs",
        architecture=(
            "EfficientNet-Lite0 (ImageNet, frozen) to /8 and /16, a two-layer reading of both at each place, "
            "the picture's logit from the mean share of opacity that they tell; 128 x 128"
        ),
        training_data=(
            "15 COVID-19 CTs (COVID-19-CT-Seg) and six chest CTs without COVID-19, projected over the lungs "
            "that ct-segment-compact marks: whole, and as blocks of slices or of columns. Experts' masks "
            "tell the share of each ray's lung that is lesion. A block is positive from 2 % of its lung and "
            "3 mL on, negative without any. Also the same volumes with the findings digitally filled by "
            "healthy lung, and all volumes with made-up opacities, so that every collection has both "
            "classes. PROD: "
            "trained on all patients but the DICOM chest of LIDC-IDRI; the figures are those of networks "
            "trained as long without the patient (three folds)."
        ),
        training_licence=TRAINING_LICENCE,
        intended_use=(
            "Research: whether a chest CT holds opacities as in COVID-19 pneumonia, and where on the "
            "projection. It is no test for COVID-19."
        ),
        limits=(
            "It finds most CTs with clear opacities at hospitals like those it learnt from, misses small or "
            "faint ones (below about 2 % of the lungs), and calls other dense lung as well: other "
            "pneumonias, atelectasis, tumours, shallow breath. Very small evidence: 15 patients with "
            "findings from two collections and seven without from others. The lungs of the training "
            "and of most figures come from a segmenter that had seen these patients; over lungs of one that "
            "had not the whole volumes are told as well. At another hospital it may miss dense lung, and "
            "what it misses is not read. Lungs of which nine tenths are dense "
            "have no aerated lung to compare with."
        ),
        licence=LICENCE,
    )
