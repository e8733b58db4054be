"""The words on the cards of the X-ray networks."""

from __future__ import annotations

from typing import Any

from plugin.domain.codes import Role

#: What each class means, and what it is for.
MEANINGS = {
    "COVID": "Opacities as in COVID-19 pneumonia",
    "NON-COVID": "No opacities as in COVID-19 pneumonia",
    "REJECTION": "Not a readable frontal chest X-ray",
}
ROLES: dict[str, Role] = {"COVID": "finding", "NON-COVID": "other", "REJECTION": "reject"}

#: The keys of a card that hold prose.
_CARD: dict[str, Any] = {
    "title": "Chest X-ray: COVID-19, other, or rejected",
    "training_data": (
        "1,777 X-rays of 8 bits, at most 400 pixels wide or high: 400 COVID-19 and 95 other frontal films "
        "of covid-chestxray-dataset (ieee8023), 1,000 of NIH ChestX-ray (half pneumonia, half no finding), "
        "282 to reject (laterals, CT pictures, hands and bones; seven more that plainly show a frontal "
        "chest were left out). Everyday variants of them (position, zoom, gamma, sharpness, compression, "
        "frames, mirroring), and frontal films spoiled on purpose (cropped, blurred, wrongly exposed, "
        "noisy, turned, upside down, inverted). The groups are weighted: the 95 weigh as much as the 400. "
        "The shipped network (PROD) was trained on all of it; the figures are those of TRAIN, trained "
        "alike, measured on patients that it did not see: "
    ),
    "training_licence": (
        "covid-chestxray-dataset: licence per image, often unstated or non-commercial; NIH ChestX-ray: "
        "free use with attribution; RSNA bone age and Radiopaedia bone films: CC BY-NC-SA. Therefore "
        "for research only."
    ),
    "intended_use": (
        "Research: a second look at frontal chest X-rays of adults for opacities as in COVID-19 "
        "pneumonia, and a screen against pictures that are none. Not for diagnosis, not for triage."
    ),
    "limits": (
        "COVID-19 films come from one collection and nearly all others from another, so the pooled "
        "figures are confounded with the source; the figures within ieee8023 are the honest ones, on 95 "
        "films of 57 patients without COVID-19. Part of what it goes by lies outside the lungs, as the "
        "shortcut checks tell. Other pneumonias look alike. Children, portable films "
        "with many devices and films after treatment are hardly represented. Films read at 256 pixels "
        "or so: small findings are not seen. Trained on pictures from publications and web pages, not "
        "on originals from a PACS. Prevalence in the training data is not that of any hospital."
    ),
    "licence": "AGPL-3.0-or-later for the weights as far as the training data allows; research only",
}


def card(folds: int, of: int, limits: str) -> dict[str, Any]:
    """The prose of a card; ``folds`` of ``of`` parts of the patients were measured, ``limits`` come first."""
    data = f"{_CARD['training_data']}{folds} of {of} parts of them."
    return {**_CARD, "training_data": data, "limits": limits + _CARD["limits"]}
