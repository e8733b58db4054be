"""Networks: found by their cards, checked by SHA-256 and self-test, run by ONNX Runtime."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from plugin.analysis import preprocess
from plugin.domain.codes import Role
from plugin.domain.errors import ModelError
from plugin.domain.findings import Algorithm
from plugin.models.cards import (
    Card,
    Equalise,
    HuWindow,
    ModelInput,
    ModelOutput,
    OutputClass,
    Percentiles,
    read_card,
    self_test_picture,
)

log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A network's answer to a batch of n inputs.

    ``probabilities``: float32 (n, classes) or (n, classes, H, W), after temperature and activation.
    ``attention``: float32 (n, classes, h, w), or None where the network gives none.
    """

    probabilities: FloatArray
    attention: FloatArray | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded network with its card. Safe to run from several threads."""

    card: Card
    session: onnxruntime.InferenceSession

    @property
    def provider(self) -> str:
        """The execution provider that the session really got."""
        return str(self.session.get_providers()[0])

    @property
    def classes(self) -> tuple[OutputClass, ...]:
        """The classes of the network's logits, in their order."""
        return self._logits.classes

    def class_index(self, role: Role) -> int | None:
        """The place of the class of that role among the logits, or None."""
        return next((number for number, c in enumerate(self.classes) if c.role == role), None)

    @property
    def batch(self) -> int:
        """The fixed number of inputs in one run."""
        return self.card.input.shape[0]

    @property
    def algorithm(self) -> Algorithm:
        """How results name this network."""
        card = self.card
        return Algorithm(
            name=card.name,
            version=card.version,
            title=card.title,
            manufacturer=card.manufacturer,
            sha256=card.sha256,
            provider=self.provider,
        )

    def prepare(self, *pictures: preprocess.NumberArray) -> FloatArray:
        """A (rows, columns) picture for all channels, or one for each, as the card's (channels, H, W)."""
        return prepare(self.card.input, *pictures)

    def predict(self, inputs: FloatArray) -> Prediction:
        """Run n <= batch prepared inputs of shape (n, channels, H, W); the rest is padded with zeros."""
        count = len(inputs)
        if count < self.batch:
            padding = np.zeros((self.batch - count, *inputs.shape[1:]), dtype=np.float32)
            inputs = np.concatenate([inputs, padding])
        wanted = [output.name for output in self.card.outputs]
        answers = self.session.run(wanted, {self.card.input.name: inputs})
        by_name = dict(zip(wanted, answers, strict=True))
        attention = self.card.output("attention")
        return Prediction(
            probabilities=_activate(by_name[self._logits.name][:count], self._logits),
            attention=None if attention is None else by_name[attention.name][:count],
        )

    @property
    def _logits(self) -> ModelOutput:
        output = self.card.output("logits")
        if output is None:
            raise ModelError(f"{self.card.name} has no logits")
        return output


def prepare(spec: ModelInput, *pictures: preprocess.NumberArray) -> FloatArray:
    """One (rows, columns) picture for all channels, or one for each, as (channels, H, W).

    Intensity rule, resize and crop picture by picture, then normalisation.
    """
    return preprocess.normalise(np.stack([_fit(spec, p) for p in pictures]), spec.mean, spec.std)


def _fit(spec: ModelInput, picture: preprocess.NumberArray) -> FloatArray:
    """A picture in [0, 1] at the network's size."""
    match spec.intensity:
        case HuWindow(low=low, high=high):
            scaled = preprocess.window(picture, low, high)
        case Percentiles(low=low, high=high):
            scaled = preprocess.percentile_window(picture, low, high)
        case Equalise():
            scaled = preprocess.equalise(picture)
    rows, columns = spec.shape[2:]
    if spec.resize.mode == "stretch" or spec.resize.size is None:
        return preprocess.resize(scaled, rows, columns)
    shape = preprocess.short_side_shape(scaled.shape[0], scaled.shape[1], spec.resize.size)
    return preprocess.central_crop(preprocess.resize(scaled, *shape), rows, columns)


def load_models(
    folder: Path,
    *,
    names: Iterable[str],
    thresholds: Mapping[str, Mapping[str, float]],
    provider: str,
    threads: int,
) -> tuple[dict[str, Model], list[str]]:
    """Load the named models of a folder; those that fail are left out and their reasons returned."""
    providers = available_providers(provider)
    models: dict[str, Model] = {}
    problems: list[str] = []
    for name in dict.fromkeys(names):
        try:
            models[name] = load_model(
                folder / name,
                thresholds=thresholds.get(name, {}),
                providers=providers,
                threads=threads,
            )
        except (ModelError, OSError, ValueError) as error:
            problems.append(f"model {name}: {_first_line(error)}")
            log.error("model %s is left out: %s", name, error)
    return models, problems


def load_model(folder: Path, *, thresholds: Mapping[str, float], providers: list[str], threads: int) -> Model:
    """Load one model: card, SHA-256 of the file, session, self-test.

    Raises ModelError where the file is not the card's, the graph cannot be loaded or does not give the
    answer that the card expects; OSError and ValueError (pydantic's included) for a card that cannot
    be read.
    """
    card = _with_thresholds(read_card(folder), thresholds)
    content = (folder / card.file).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.sha256:
        raise ModelError(f"{card.file} has SHA-256 {digest[:12]}…, its card says {card.sha256[:12]}…")
    try:
        session = onnxruntime.InferenceSession(
            content, sess_options=_session_options(threads), providers=providers
        )
    except Exception as error:  # ONNX Runtime raises its own, undocumented exception classes
        raise ModelError(f"ONNX Runtime cannot load it: {_first_line(error)}") from error
    model = Model(card=card, session=session)
    self_test(model)
    return model


def self_test(model: Model) -> None:
    """Run the card's seeded input; raise ModelError unless the first output's first values agree."""
    card = model.card
    spec, test = card.input, card.self_test
    picture = self_test_picture(test.seed, test.pattern, spec.shape, spec.mean, spec.std)
    try:
        answer = model.session.run([card.outputs[0].name], {spec.name: picture})[0]
    except Exception as error:  # as above
        raise ModelError(f"the self-test does not run: {_first_line(error)}") from error
    expected = np.asarray(test.expected)
    got = np.ravel(answer)[: len(expected)]
    worst = float(np.max(np.abs(got - expected), initial=0.0))
    if not len(got) == len(expected) or not worst <= test.tolerance:
        raise ModelError(f"self-test failed: off by {worst:.3g}, tolerance {test.tolerance:.3g}")


def available_providers(wanted: str) -> list[str]:
    """ONNX Runtime's providers for a setting of ``auto``, ``cpu`` or ``cuda``, best first.

    CUDA is offered only where an NVIDIA driver can be loaded: without one ONNX Runtime fills the log
    with errors before it falls back.
    """
    if wanted == "cpu" or CUDA not in onnxruntime.get_available_providers():
        return [CPU]
    if not _nvidia_driver():
        return [CPU]
    onnxruntime.preload_dlls()  # CUDA and cuDNN from their wheels, where the host has none
    return [CUDA, CPU]


def read_cards(folder: Path) -> tuple[dict[str, Card], list[str]]:
    """Every card of a model folder by name, and what is wrong with those that cannot be read.

    A card must carry the name of its folder.
    """
    cards: dict[str, Card] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*/card.json")):
        try:
            card = read_card(path.parent)
        except (OSError, ValueError) as error:
            problems.append(f"model {path.parent.name}: {_first_line(error)}")
            continue
        if card.name != path.parent.name:
            problems.append(f"model {path.parent.name}: its card names it {card.name}")
            continue
        cards[card.name] = card
    return cards, problems


def fingerprint(models: Iterable[Model]) -> str:
    """What identifies a set of models: their files and operating points. Order does not matter."""
    parts = sorted(
        f"{m.card.name} {m.card.version} {m.card.sha256} "
        + " ".join(f"{c.name}={c.threshold:g}" for c in m.classes)
        for m in models
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _with_thresholds(card: Card, thresholds: Mapping[str, float]) -> Card:
    if not thresholds:
        return card
    known = {c.name for output in card.outputs for c in output.classes}
    if unknown := set(thresholds) - known:
        raise ModelError(f"Thresholds names {sorted(unknown)}; the classes are {sorted(known)}")
    outputs = tuple(
        output.model_copy(
            update={
                "classes": tuple(
                    c.model_copy(update={"threshold": thresholds.get(c.name, c.threshold)})
                    for c in output.classes
                )
            }
        )
        for output in card.outputs
    )
    return card.model_copy(update={"outputs": outputs})


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would burn the core that receives images while they wait for the next slice.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def _nvidia_driver() -> bool:
    if not Path("/dev/nvidiactl").exists() and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _activate(values: Any, output: ModelOutput) -> FloatArray:
    scaled = np.asarray(values, dtype=np.float32) / np.float32(output.temperature)
    if output.activation == "softmax":
        shifted = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)
    if output.activation == "sigmoid":
        # exp of a large number overflows to inf, of which the reciprocal is the right zero.
        with np.errstate(over="ignore"):
            return np.asarray(1.0 / (1.0 + np.exp(-scaled)), dtype=np.float32)
    return scaled


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
