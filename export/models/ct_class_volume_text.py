"""What the cards of the networks that read the segmented volume say in words."""

from __future__ import annotations

from export.measured import Measured
from export.models.ct_class_volume_measure import MASK_ALONE, SHARE_ALONE, WITHIN
from export.models.ct_joined_share import QUICK
from export.models.ct_lung_text import Words
from export.models.ct_projection import LICENCE, TRAINING_LICENCE


def card(title: str, architecture: str, measured: Measured) -> Words:
    """The words of a network's card, with what its figures say against it."""
    return Words(
        title=title,
        architecture=architecture,
        training_data=(
            "15 COVID-19 CTs (COVID-19-CT-Seg) and six chest CTs without COVID-19: whole, nearly whole and "
            "slabs, as they are, with the lesions digitally filled by healthy lung, and with made-up "
            "opacities in all of them, so that every collection has both classes. A case is positive from "
            "2 % of its lung and 3 mL on, negative without any, by experts' masks. The mask that the network "
            f"reads is another: half of the time what {QUICK.name}, a small slice-wise segmenter, marks in "
            "patients whom it never saw; else the expert's, drawn wider or narrower, with parts left out and "
            "other dense lung marked as well, up to 5 % of the lungs. Trained from scratch; flips, pan, zoom "
            "and greys vary. PROD: trained on all patients but the DICOM chest of LIDC-IDRI; the figures are "
            "those of networks trained as long without the patient (three folds)."
        ),
        training_licence=TRAINING_LICENCE,
        intended_use=(
            "Research: whether what a segmenter marks in the lungs of a CT are opacities as in COVID-19 "
            "pneumonia. It is no test for COVID-19."
        ),
        limits=(
            _less_than_the_amount(measured)
            + "It reads nothing but what the segmenter marks and 6 mm around it: what is not marked it "
            "cannot see, and where nothing is marked its answer is the same for every patient. How much is "
            "marked tells most of the answer; the checks say how much. Very small evidence: 15 patients "
            "with findings from two collections and seven without from others; figures of whole volumes are "
            "confounded by the source. Other pneumonias, atelectasis, tumours and shallow breath that is "
            "marked are called as well. Its attention was not measured against experts' outlines: it shows "
            "what moved the score and locates no disease."
        ),
        licence=LICENCE,
    )


def _less_than_the_amount(measured: Measured) -> str:
    """What has to be said first where the amount that is marked tells as much as the network."""
    figures = {each.name: each.value for each in (*measured.figures, *measured.shortcut_checks)}
    network, amount, mask = (figures.get(name) for name in (WITHIN, SHARE_ALONE, MASK_ALONE))
    if network is None or amount is None or network > amount:
        return ""
    shown = f"Shown the mask without the image it has {mask:.3f}. " if mask and mask > network else ""
    return (
        "How much of the lung the segmenter marks tells slabs with lesions better without this network: AUC "
        f"{amount:.3f} against {network:.3f} within COVID-19 patients. {shown}So it is an option, to compare "
        "with and to train on, and is not read unless it is named. "
    )
