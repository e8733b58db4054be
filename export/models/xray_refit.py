"""The rejection of shipped X-ray networks learnt anew, without a GPU: ``python -m export refit``.

Class and map stay as they are, to the last weight, so that pictures to reject can be added in minutes. The
figures of the rejection are measured with the shipped network: its class learnt from siim-covid19 alone, and
the rejections that are measured learnt nothing of the film's source. The other figures stay; those that are
new to the card are of sources that the class never learnt from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper
from scipy.special import expit
from torch import nn

from export.data.cxr import folds, read_films
from export.measured import log_figures, read_measured, write_measured
from export.models import xray_measures, xray_text
from export.models.xray import FOLDS, MODELS, VERSION
from export.models.xray_fits import Array
from export.models.xray_rejection import Rejection
from export.models.xray_samples import Sample
from export.onnx_writer import described, self_test_input, write_card
from export.paths import ONNX_MODELS
from plugin.models.cards import read_card
from plugin.models.inputs import ModelInput
from plugin.models.loading import with_thresholds
from plugin.models.network import prepare

_log = logging.getLogger(__name__)
#: The models that have such a rejection.
NAMES = tuple(model.name for model in MODELS)
_LAYER = ("reject.weight", "reject.bias")
#: How the names of the rejection's figures begin.
_FIGURES = ("REJECTION rejected", "frontal films rejected", "rejected of")


def refit(name: str) -> None:
    """Learn the rejection of the shipped ``name``, measure it, write it into graph, card and figures."""
    (model,) = (each for each in MODELS if each.name == name)
    films, folder = read_films(), ONNX_MODELS / model.name
    rejects, path = Rejection(films, folds(films, FOLDS)), folder / "model.onnx"
    said = read_all(path, model.input, rejects.samples)
    refused, known = rejects.refusals(said.pooled)
    answered = xray_measures.Answered(rejects.samples, said.opacity * (1 - refused), refused)
    before, command = read_measured(name), f"./run export refit {name}"
    limits = {**before.thresholds, "REJECTION": xray_measures.refused_from(answered)}
    kept = [figure for figure in before.figures if not figure.name.startswith(_FIGURES)]
    names = {figure.name for figure in kept}
    new = [
        *(each for each in xray_measures.class_figures(answered, limits, command) if each.name not in names),
        *xray_measures.rejection_figures(answered, known, limits["REJECTION"], command),
    ]
    log_figures(name, new)
    measured = before.model_copy(update={"figures": (*kept, *new), "thresholds": limits})
    write_measured(name, measured)
    graph = onnx.load(path)
    put_rejection(graph, rejects.learn(said.pooled, np.ones(len(rejects.samples), bool)))
    onnx.save(graph, path)
    exported = described(path, self_test_input(1, model.input.shape, model.input.mean, model.input.std), 1)
    words = xray_text.card(len(model.folds), FOLDS)
    changed = {
        "version": VERSION,
        "sha256": exported.sha256,
        "self_test": exported.self_test,
        "figures": measured.figures,
        **words,
        "training_data": f"{words['training_data']} {xray_text.REFITTED}",
    }
    card = with_thresholds(read_card(folder), {"REJECTION": limits["REJECTION"]})
    write_card(card.model_copy(update=changed), folder)


@dataclass(frozen=True)
class Said:
    """Of n pictures: what the rejection reads (n, channels), and the probability of opacities (n,)."""

    pooled: npt.NDArray[np.float32]
    opacity: Array


def read_all(path: Path, spec: ModelInput, samples: Sequence[Sample]) -> Said:
    """What the graph ``path`` says of the samples."""
    _log.info("%s: reading %d pictures", path.parent.name, len(samples))
    with ProcessPoolExecutor() as workers:
        found = list(workers.map(partial(_read, path, spec), samples, chunksize=32))
    logits = np.stack([logits for _, logits in found]).astype(np.float64)
    return Said(np.stack([pooled for pooled, _ in found]), expit(logits[:, 0] - logits[:, 1]))


def _read(path: Path, spec: ModelInput, sample: Sample) -> tuple[npt.NDArray[np.float32], ...]:
    picture, _ = sample.picture(spec.shape[2])
    session, pooled = _session(path)
    answers = session.run([pooled, "logits"], {spec.name: prepare(spec, picture)[None]})
    return tuple(answer[0] for answer in answers)


@cache
def _session(path: Path) -> tuple[onnxruntime.InferenceSession, str]:
    """The graph with what its rejection reads as one more output, and that output's name."""
    model = onnx.load(path)
    (pooled,) = [node.input[0] for node in model.graph.node if set(_LAYER) <= set(node.input)]
    model.graph.output.append(helper.make_tensor_value_info(pooled, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session, pooled


def put_rejection(model: ModelProto, layer: nn.Linear) -> None:
    """Put the layer's weights in the place of the graph's rejection, stored as those were."""
    values = dict(zip(_LAYER, (layer.weight, layer.bias), strict=True))
    for stored in model.graph.initializer:
        value = values.pop(stored.name.removesuffix(".float16"), None)
        if value is not None:
            kind = numpy_helper.to_array(stored).dtype
            stored.CopyFrom(numpy_helper.from_array(value.detach().numpy().astype(kind), stored.name))
    if values:
        raise ValueError(f"the graph has no {' and no '.join(values)}")
