"""What the joined statement's file says in words."""

from __future__ import annotations

from typing import Final

from export.models.ct_projection import LICENCE, TRAINING_LICENCE

WORDS: Final[dict[str, str]] = {
    "title": "CT classifiers and segmentation joined",
    "training_data": (
        "15 COVID-19 CTs (COVID-19-CT-Seg) and seven chest CTs without COVID-19: whole, and as blocks of "
        "slices or of columns, counted by how much of the lungs they hold, both classes alike. What the "
        "classifiers say comes from networks that did not see the patient. So does the share of lung "
        "marked, from a smaller segmenter that was trained for minutes, as the shipped one's folds take "
        "hours."
    ),
    "training_licence": TRAINING_LICENCE,
    "intended_use": (
        "Research: one answer to whether a chest CT holds opacities as in COVID-19 pneumonia, from what the "
        "two classifiers and the segmentation say. It is no test for COVID-19."
    ),
    "limits": (
        "It tells CTs with clear opacities from CTs without at hospitals like those it learnt from; of "
        "opacities below about 2 % of the lungs it may say that they are unlikely, and other dense lung "
        "(other pneumonias, atelectasis, tumours) counts as opacity. Very small evidence: 15 patients with "
        "findings from two collections, seven without from others. Its probability is for a CT that is as "
        "often with findings as without. Its parts are not independent: all read the lungs that one "
        "segmenter finds. "
        "The shipped segmenter marks rather more than the one it was fitted with."
    ),
    "licence": LICENCE,
}
