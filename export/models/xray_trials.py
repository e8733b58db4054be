"""``python -m export.models.xray_trials``: what was tried for the X-ray network, as a table.

Every row is measured on the same films with the same patients left out. First linear classifiers on
frozen features: networks, sizes, intensity rules, weights of the groups; then with the variants. What
training the last block and head adds is on the card of the shipped network.
"""

from __future__ import annotations

import dataclasses
import logging
from functools import partial

import numpy as np
from scipy.special import softmax

from export.data.cxr import CLASSES, COVID, REJECTION
from export.data.cxr_variants import SPOILED
from export.figures import auc, rate_at_least
from export.models import xray_measures
from export.models.xray import FOLDS, MODELS, XrayModel
from export.models.xray_samples import GROUP_WEIGHTS, Sample, weights
from export.models.xray_training import Array, Examples, fit, predict
from export.networks.lite import Variant, lite_classifier
from plugin.cards import Equalise, Intensity, Percentiles

_SHIPPED = MODELS[0]
#: In place of the weight of "NON-COVID elsewhere" in GROUP_WEIGHTS.
_OTHER_WEIGHTS = {"NIH weighs 2": 2.0, "NIH weighs 0.1": 0.1}


def _frozen(variant: Variant, size: int, intensity: Intensity) -> XrayModel:
    """A linear classifier on frozen features, learnt from the films as they are."""
    return dataclasses.replace(
        _SHIPPED,
        name=f"trial-lite{variant}-{size}-{intensity.rule}",
        build=partial(lite_classifier, variant, (size, size), len(CLASSES)),
        size=(size, size),
        intensity=intensity,
        schedule=dataclasses.replace(_SHIPPED.schedule, epochs=0),
        variants=0,
        spoiled=0,
    )


def _out_of_fold(model: XrayModel, samples: list[Sample], examples: Examples) -> Array:
    """Probabilities (samples, classes) by networks that did not see the patient."""
    out = xray_measures.fold_of(samples, FOLDS)
    logits = np.zeros((len(samples), len(CLASSES)))
    for run in range(FOLDS):
        network = fit(model.start(), examples.only(out != run), model.schedule, seed=0)
        maps = examples.features.maps[out == run]
        logits[out == run] = predict(network, maps, model.schedule.frozen)
    return softmax(logits, axis=1)


def _row(name: str, samples: list[Sample], probabilities: Array) -> str:
    table = xray_measures.Table(samples, probabilities, "")
    inside = table.frontal & table.ieee8023
    covid, label = probabilities[:, COVID], table.labels == COVID
    rejected = probabilities[:, REJECTION]
    threshold = xray_measures.rejection_threshold(rejected[table.frontal])
    spoiled = np.isin(table.kinds, list(SPOILED))
    values = [
        auc(label[inside].astype(np.int64), covid[inside]),
        auc(label[table.frontal].astype(np.int64), covid[table.frontal]),
        auc((table.labels == REJECTION)[table.films].astype(np.int64), rejected[table.films]),
        rate_at_least(threshold, 1)(spoiled.astype(np.int64), rejected),
    ]
    return f"| {name} | " + " | ".join("" if np.isnan(v) else f"{v:.3f}" for v in values) + " |"


def main() -> None:
    """Print the table row by row."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    print("| Trial | AUC ieee8023 | AUC pooled | AUC rejection | spoiled films rejected |")
    print("|---|---|---|---|---|")
    spread = Percentiles(low=1, high=99)
    settings: list[tuple[Variant, int, Intensity]] = [
        (0, 192, Equalise()),
        (0, 256, Equalise()),
        (0, 256, spread),
        (0, 320, Equalise()),
        (1, 256, Equalise()),
        (2, 288, Equalise()),
    ]
    for variant, size, intensity in settings:
        model = _frozen(variant, size, intensity)
        samples = model.samples()
        found = _out_of_fold(model, samples, model.examples(samples))
        print(_row(f"Lite{variant} {size}, {intensity.rule}, frozen", samples, found), flush=True)
    model = _frozen(0, 256, Equalise())
    samples = model.samples()
    examples = model.examples(samples)
    for name, weight in _OTHER_WEIGHTS.items():
        changed = weights(samples, {**GROUP_WEIGHTS, "NON-COVID elsewhere": weight})
        found = _out_of_fold(model, samples, dataclasses.replace(examples, weights=changed))
        print(_row(f"Lite0 256, equalise, frozen, {name}", samples, found), flush=True)
    probe = dataclasses.replace(_SHIPPED, schedule=dataclasses.replace(_SHIPPED.schedule, epochs=0))
    samples = probe.samples()
    found = _out_of_fold(probe, samples, probe.examples(samples))
    print(_row("Lite0 256, equalise, frozen, with variants and spoiled films", samples, found))


if __name__ == "__main__":
    main()
