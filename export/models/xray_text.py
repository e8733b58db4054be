"""The words on the cards of the X-ray networks."""

from __future__ import annotations

from typing import Any

from plugin.domain.codes import Code, Role

#: What each class means, what it is for, and its code where DICOM or SNOMED CT has one that fits.
MEANINGS = {
    "COVID": "Opacities of a pneumonia as in COVID-19",
    "NON-COVID": "No opacities of a pneumonia as in COVID-19",
    "REJECTION": "Not a readable frontal chest X-ray",
}
ROLES: dict[str, Role] = {"COVID": "finding", "NON-COVID": "other", "REJECTION": "reject"}
CODES = {"COVID": Code(value="112033", scheme="DCM", meaning="Abnormal opacity")}
#: What follows the architecture's name on the card.
HEADS = (
    "a map of opacities at /16 learnt from readers' boxes; the film's logit from the whole picture and the "
    "map; rejection by a linear reading of pooled features, which has no say in the class"
)

#: What is added where the rejection was learnt anew on the shipped network.
REFITTED = (
    "The rejection was learnt anew on the shipped network, and is measured with it: the class of that "
    "network, not the rejection, has seen the films of siim-covid19 on which it is measured."
)

#: The keys of a card that hold prose.
_CARD: dict[str, Any] = {
    "title": "Chest X-ray: opacities of a pneumonia as in COVID-19",
    "training_data": (
        "The class: 5,335 frontal films of siim-covid19 (2,541 typical COVID-19, 1,450 without pneumonia "
        "from the same hospitals, 1,344 indeterminate or atypical as soft labels) with 6,721 boxes that "
        "radiologists drew, and everyday variants of them (position, zoom, aspect, mirroring, gamma, "
        "sharpness, noise, patches, compression, frames). No other collection has a say in the class. The "
        "rejection: 8,927 frontal films of seven collections, each weighing alike: these, "
        "covid-chestxray-dataset (ieee8023), NIH ChestX-ray, rsna, covid-cxnet, hannover, and kermany "
        "(children); 282 pictures to reject (laterals, CT pictures, hands and bones), and frontal films "
        "spoiled on purpose (cropped, blurred, wrongly exposed, noisy, turned, upside down, inverted). Its "
        "figures come from rejections that learnt nothing of the film's source, or nothing of its "
        "patients where other patients of the source are said to be known. The shipped network (PROD) was "
        "trained on all of it; the figures are those of TRAIN, trained alike, measured on patients that it "
        "did not see: "
    ),
    "training_licence": (
        "SIIM-FISABIO-RSNA COVID-19 (BIMCV, MIDRC-RICORD): academic, non-commercial; "
        "covid-chestxray-dataset: licence per image, often unstated or non-commercial; NIH ChestX-ray: free"
        " use with attribution; RSNA bone age and Radiopaedia bone films: CC BY-NC-SA. Therefore for "
        "research only."
    ),
    "intended_use": (
        "Research: a second look at frontal chest X-rays of adults for opacities of a pneumonia as in "
        "COVID-19; it refuses pictures that are not frontal chest X-rays. Not for diagnosis, not for triage."
    ),
    "limits": (
        "At another hospital it can be expected to find opacities of a pneumonia, less surely than at home,"
        " and it cannot say which pneumonia it is: within ieee8023 it hardly tells COVID-19 from others. It"
        " learnt what radiologists call typical for COVID-19 on a film, not a PCR test: a patient with "
        "COVID-19 and a clear film is called negative. Its threshold was chosen on siim-covid19; elsewhere "
        "more or fewer clear films are called positive (the figures say how many of NIH and of rsna), so "
        "set it on films of your own. It is made for adults: no film of a child taught it opacities, and it "
        "calls few films of children with pneumonia. "
        "Part of what it goes by lies outside the lungs, as the shortcut checks tell. Probabilities are "
        "those at equal numbers with and without opacities, which is no hospital's prevalence. Collections "
        "with one class alone (covid-cxnet, hannover, rsna) show what is called there, no AUC. Films after "
        "treatment or with many devices are hardly represented. It reads 256 pixels: small findings are not"
        " seen. Trained on reduced 8-bit pictures, not on originals of a PACS."
    ),
    "licence": "AGPL-3.0-or-later for the weights as far as the training data allows; research only",
}


def card(folds: int, of: int) -> dict[str, Any]:
    """The prose of a card; ``folds`` of ``of`` parts of the patients were measured."""
    return {**_CARD, "training_data": f"{_CARD['training_data']}{folds} of {of} parts of them."}
