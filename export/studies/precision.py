"""Is a smaller or faster graph worth it? The TRAIN networks in several precisions on held-out cases.

Each precision is written with a card and loaded as the plugin loads it; all read the same inputs.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from export import host
from export.figures import Array, Labels, Statistic, bootstrap
from export.onnx_writer import described, self_test_input, store_as_float16, write_card, write_graph
from export.studies.precision_report import PRECISIONS, Compared, Cost, Precision, Report, Value
from export.studies.quantise import quantise
from plugin.models.cards import Card
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import CPU, FloatArray

_log = logging.getLogger(__name__)
#: ONNX Runtime then works in the calling thread, whose time is taken; so it is on a host of two cores.
THREADS = 1
LOG_EVERY = 200
_SEED = 1
#: A protocol buffer holds no more.
_ONNX_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Cases:
    """One figure's cases, read in every precision: ``statistic`` of ``labels`` (n,) and ``scores`` (n,)."""

    name: str
    statistic: Statistic
    labels: Labels
    patients: Sequence[str]
    scores: Mapping[Precision, Array]
    measured_on: str

    def compared(self) -> Compared:
        """The figure in every precision, with the interval of its difference to float32."""
        whole = self.scores["float32"]
        values = []
        for precision in PRECISIONS:
            scores = self.scores[precision]
            pairs = np.stack([whole, scores], axis=1)
            interval = None
            if precision != "float32":
                interval = bootstrap(self._difference, self.labels, pairs, self.patients)
            value = round(self.statistic(self.labels, scores), 5)
            values.append(Value(precision=precision, value=value, interval=interval))
        return Compared(
            name=self.name, n=len(self.labels), measured_on=self.measured_on, values=tuple(values)
        )

    def _difference(self, labels: Labels, pairs: Array) -> float:
        return self.statistic(labels, pairs[:, 1]) - self.statistic(labels, pairs[:, 0])


class Study(Protocol):
    """One model's TRAIN networks, what they are calibrated on and what they are asked to read."""

    @property
    def card(self) -> Card:
        """The card of the shipped model: how pictures are prepared, temperature, operating points."""

    @property
    def parts(self) -> Sequence[int]:
        """The folds whose networks are measured."""

    def network(self, part: int) -> nn.Module:
        """The network that never saw the fold ``part``."""

    def calibration(self, part: int) -> FloatArray:
        """Prepared training pictures (n, C, H, W), none of the fold ``part``."""

    def read(self, part: int, bench: Bench) -> None:
        """Read what the fold holds."""

    def figures(self) -> list[Cases]:
        """What was read, figure by figure."""


class Bench:
    """Reads every input in all precisions, in an order that is drawn, and keeps times and differences.

    Times are those of the processor, which hold beside other work.
    """

    def __init__(self) -> None:
        self._draw = np.random.default_rng(0)
        self.models: dict[Precision, Model] = {}
        self.sizes: dict[Precision, int] = {}
        self.seconds: dict[Precision, list[float]] = {p: [] for p in PRECISIONS}
        self.changes: dict[Precision, list[tuple[float, float]]] = {p: [] for p in PRECISIONS}

    def load(self, folders: Mapping[Precision, Path]) -> None:
        """The next network in every precision."""
        for precision, folder in folders.items():
            model = load_model(folder, thresholds={}, providers=[CPU], threads=THREADS)
            self.models[precision] = model
            self.sizes[precision] = (folder / model.card.file).stat().st_size

    def predict(self, inputs: FloatArray) -> dict[Precision, FloatArray]:
        """(n, C, H, W), at most a batch, to probabilities (n, classes, ...) in each precision."""
        answers: dict[Precision, FloatArray] = {}
        for place in self._draw.permutation(len(PRECISIONS)):
            precision = PRECISIONS[place]
            model = self.models[precision]
            begun = time.thread_time()
            answers[precision] = model.predict(inputs).probabilities
            self.seconds[precision].append((time.thread_time() - begun) / model.batch)
        for precision, answer in answers.items():
            change = np.abs(answer - answers["float32"])
            self.changes[precision].append((float(change.mean()), float(change.max())))
        runs = len(self.seconds["float32"])
        if runs % LOG_EVERY == 0:
            medians = (f"{p} {1e3 * float(np.median(s)):.1f} ms" for p, s in self.seconds.items())
            _log.info("%d runs: %s", runs, ", ".join(medians))
        return answers

    def cost(self, precision: Precision) -> Cost:
        """Of all runs so far, and of the file that was loaded last."""
        means, largest = zip(*self.changes[precision], strict=True)
        return Cost(
            precision=precision,
            size=self.sizes[precision],
            seconds=round(float(np.median(self.seconds[precision])), 5),
            mean_change=round(float(np.mean(means)), 6),
            largest_change=round(max(largest), 4),
        )


def write_precisions(card: Card, network: nn.Module, inputs: FloatArray, root: Path) -> dict[Precision, Path]:
    """Graph and card of ``network`` in every precision, each in a folder of ``root``.

    ``inputs`` (n, C, H, W) are the prepared pictures that int8 is calibrated on.
    """
    folders = {precision: root / str(place) for place, precision in enumerate(PRECISIONS)}
    spec = card.input
    outputs = [output.name for output in card.outputs]
    whole = folders["float32"]
    write_graph(
        network,
        whole,
        shape=spec.shape,
        outputs=outputs,
        mean=spec.mean,
        std=spec.std,
        largest=_ONNX_LARGEST,  # float32 is written to be measured, not to be shipped
    )
    source = whole / card.file
    for precision, folder in folders.items():
        folder.mkdir(exist_ok=True)
        if precision == "float16 storage":
            shutil.copy(source, folder)
            store_as_float16(folder / card.file)
        elif precision != "float32":
            quantise(source, folder / card.file, inputs, seven_bits=precision != "int8")
        picture = self_test_input(_SEED, spec.shape, spec.mean, spec.std)
        exported = described(folder / card.file, picture, _SEED)
        changes = {"sha256": exported.sha256, "self_test": exported.self_test}
        write_card(card.model_copy(update=changes), folder)
    return folders


def measure(study: Study) -> Report:
    """Every fold's network in every precision on the cases that it did not see."""
    bench, calibrated = Bench(), 0
    for part in study.parts:
        with tempfile.TemporaryDirectory() as folder:
            inputs = study.calibration(part)
            calibrated = len(inputs)
            _log.info("%s: fold %d, calibrated on %d pictures", study.card.name, part, calibrated)
            bench.load(write_precisions(study.card, study.network(part), inputs, Path(folder)))
            study.read(part, bench)
    return Report(
        model=study.card.name,
        host=host.described(THREADS),
        networks=len(study.parts),
        inputs=len(bench.seconds["float32"]) * study.card.input.shape[0],
        calibrated_on=calibrated,
        costs=tuple(bench.cost(precision) for precision in PRECISIONS),
        figures=tuple(cases.compared() for cases in study.figures()),
    )
