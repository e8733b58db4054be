"""``python -m export.models.xray_trials``: what was tried for the X-ray network, as a table.

Every row is measured on the same films with the same patients left out: linear classifiers on frozen
features of several networks, sizes, intensity rules and depths, with several weights of the groups, then
with the variants.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from scipy.special import softmax

from export.data.cxr import CLASSES, COVID, REJECTION
from export.data.cxr_variants import SPOILED
from export.figures import auc, rate_at_least
from export.models import xray_measures
from export.models.xray import FOLDS, MODELS, XrayModel
from export.models.xray_samples import GROUP_WEIGHTS, Sample, weights
from export.models.xray_training import Array, Examples, Probe, fit, predict
from export.networks.lite import TwoScaleTrunk, Variant, lite_classifier
from plugin.models.cards import Equalise, Intensity, Percentiles

_SHIPPED = MODELS[0]
#: In place of the weight of "NON-COVID elsewhere" in GROUP_WEIGHTS.
_OTHER_WEIGHTS = {"NIH weighs 2": 2.0, "NIH weighs 0.1": 0.1}


def _films_only(name: str, **changes: Any) -> XrayModel:
    """The shipped network with ``changes``, learnt from the films as they are."""
    return dataclasses.replace(_SHIPPED, name=f"trial-{name}", variants=0, spoiled=0, **changes)


def _one_scale(variant: Variant, size: int, intensity: Intensity) -> XrayModel:
    """A linear classifier on the last features of a Lite."""
    return _films_only(
        f"lite{variant}-{size}-{intensity.rule}",
        architecture=f"Lite{variant}",
        build=partial(lite_classifier, variant, (size, size), len(CLASSES)),
        size=(size, size),
        intensity=intensity,
        training=Probe(),
    )


def _out_of_fold(model: XrayModel, samples: list[Sample], examples: Examples) -> Array:
    """Probabilities (samples, classes) by networks that did not see the patient."""
    out = xray_measures.fold_of(samples, FOLDS)
    logits = np.zeros((len(samples), len(CLASSES)))
    for run in range(FOLDS):
        network = fit(model.start(), examples.only(out != run), model.training, seed=0)
        logits[out == run] = predict(network, examples.inputs[out == run])
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


def _measure(name: str, model: XrayModel, groups: Mapping[str, float] = GROUP_WEIGHTS) -> None:
    """Print a row of the table."""
    samples = model.samples()
    examples = dataclasses.replace(model.examples(samples), weights=weights(samples, groups))
    print(_row(name, samples, _out_of_fold(model, samples, examples)), flush=True)


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
        _measure(f"Lite{variant} {size}, {intensity.rule}", _one_scale(variant, size, intensity))
    for name, weight in _OTHER_WEIGHTS.items():
        groups = {**GROUP_WEIGHTS, "NON-COVID elsewhere": weight}
        _measure(f"Lite0 256, equalise, {name}", _one_scale(0, 256, Equalise()), groups)
    _measure("Lite0 256, two depths and mirrored", _films_only("two-scales", training=Probe()))
    alike = Probe(groups=TwoScaleTrunk.GROUPS)
    _measure("the same, depths weighing alike", _films_only("two-scales", training=alike))
    _measure("the same, with variants and spoiled films (shipped)", _SHIPPED)


if __name__ == "__main__":
    main()
