"""What a volumetric segmenter is worth: whole volumes read patch by patch, beside the slice-wise network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy.special import expit

from export.data import ct
from export.data.ct_lungs import derive_lungs
from export.data.ct_patches import Triple, lattice_of
from export.figures import Array, Labels, figure
from export.measured import Measured, read_measured
from export.models.ct_segment_measure import (
    SMALLEST_FINDINGS_ML,
    Result,
    compare,
    dice,
    findings_figures,
    volume_figures,
)
from plugin.analysis import preprocess
from plugin.analysis.resampling import Lattice
from plugin.analysis.segmentation import refine
from plugin.analysis.volumetric import slide
from plugin.models.cards import Figure

_log = logging.getLogger(__name__)
Mask = npt.NDArray[np.bool_]
Patches = npt.NDArray[np.float32]
#: Normalised patches (n, 1, depth, rows, columns) to probabilities likewise.
Predict = Callable[[Patches], Patches]

#: As for the slice-wise networks, where no others can choose.
FINDINGS_THRESHOLD = 0.3
#: What patients of other folds choose from.
THRESHOLDS = (0.1, 0.15, 0.2, FINDINGS_THRESHOLD, 0.4, 0.5)
OVERLAP = 0.25
_DICE = "findings Dice, mean over volumes"


@dataclass(frozen=True)
class Reading:
    """What a network found in a volume: a mask on its grid for each of ``THRESHOLDS``.

    ``fits``: their Dice on the grid, inside the lungs; none where the expert drew next to nothing.
    """

    name: str
    lungs: Mask
    lattice: Lattice
    found: list[Mask]
    fits: list[float]


@dataclass(frozen=True)
class VolumeReader:
    """A network with its preprocessing: HU volumes and their lungs to findings, as the plugin reads them."""

    predict: Predict
    spacing: Triple
    patch: tuple[int, int, int]
    margin: float
    low: float
    high: float
    mean: float
    std: float

    def read(self, volume: ct.Volume, lungs: Mask) -> Reading:
        """What the network finds in the box of lungs that another network or method found."""
        lattice = lattice_of(volume, lungs, spacing=self.spacing, margin=self.margin)
        scaled = preprocess.window(lattice.resample(volume.hu), self.low, self.high)
        found = slide(
            ((scaled - np.float32(self.mean)) / np.float32(self.std))[None],
            predict=self.predict,
            patch=self.patch,
            batch=1,
            overlap=OVERLAP,
            outside=[-self.mean / self.std],
            classes=[(0, threshold) for threshold in THRESHOLDS],
        )
        inside, lesion = (lattice.resample(mask.astype(np.int16) * 2) > 1 for mask in (lungs, volume.lesion))
        measurable = volume.millilitres(volume.lesion) >= SMALLEST_FINDINGS_ML
        fits = [dice(mask & inside, lesion) for mask in found] if measurable else []
        return Reading(volume.name, lungs, lattice, found, fits)


def in_onnx_runtime(path: Path) -> Predict:
    """The probabilities of a graph's logits, by ONNX Runtime on the CPU, as the plugin has them."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(patches: Patches) -> Patches:
        return np.asarray(expit(session.run(None, {"image": patches})[0]))

    return predict


def lungs_without_findings(volume: ct.Volume) -> Mask:
    """Lungs that know nothing of the expert's findings: air inside the body, closed."""
    return derive_lungs(volume.hu, volume.spacing, np.zeros_like(volume.lesion))


def read_volume(reader: VolumeReader, name: str) -> Reading:
    """Read one volume."""
    volume = ct.load_volume(name)
    reading = reader.read(volume, lungs_without_findings(volume))
    _log.info("%s: %s", name, [round(fit, 3) for fit in reading.fits])
    return reading


def finished(reading: Reading, threshold: float, *, low: float, high: float) -> Result:
    """A volume's findings from ``threshold`` on as the plugin has them, compared with its masks."""
    volume = ct.load_volume(reading.name)
    lung = reading.lungs.copy()
    findings = reading.lattice.restore(reading.found[THRESHOLDS.index(threshold)])
    refine(lung, findings, spacing=volume.spacing)
    return compare(volume, lung, findings, low=low, high=high)


def chosen(readings: Sequence[Reading]) -> float:
    """The threshold with the best mean Dice over these volumes; without any that of slice-wise networks."""
    fits = [reading.fits for reading in readings if reading.fits]
    return THRESHOLDS[int(np.argmax(np.mean(fits, axis=0)))] if fits else FINDINGS_THRESHOLD


def beside(figures: list[Figure], other: str, command: str) -> Figure:
    """The findings' Dice less that of another model, volume by volume on those that both left out."""
    own, others = (_cases(each) for each in (figures, list(read_measured(other).figures)))
    shared = [name for name in own if name in others]
    scores = np.array([own[name] - others[name] for name in shared])
    mean = float(np.mean([others[name] for name in shared]))
    return figure(
        f"findings Dice less that of {other}, mean over volumes",
        _mean,
        np.zeros(len(shared), dtype=np.int64),
        scores,
        shared,
        measured_on=f"{len(shared)} volumes that both networks left out; {other} has {mean:.3f} there",
        command=command,
        remark="; ".join(f"{name} {score:+.3f}" for name, score in zip(shared, scores, strict=True)),
    )


def _cases(figures: list[Figure]) -> dict[str, float]:
    """The Dice of each volume, as the figure lists them."""
    listed = next(each.remark for each in figures if each.name == _DICE)
    return {name: float(value) for name, value in (case.split() for case in listed.split("; "))}


def _mean(_labels: Labels, scores: Array) -> float:
    return float(scores.mean())


def measure(readers: Mapping[int, VolumeReader], other: str, command: str) -> Measured:
    """All figures: each fold's TRAIN network on the fold's patients; the first also on the DICOM chest.

    The patients of the other folds choose a fold's threshold, and all of them that of PROD.
    """
    readings = {f: [read_volume(reader, name) for name in ct.held_out(f)] for f, reader in readers.items()}
    thresholds = {f: chosen([r for g, others in readings.items() if g != f for r in others]) for f in readers}
    first = next(iter(readers))
    readings[first].append(read_volume(readers[first], ct.DICOM_CHEST))
    results = [
        finished(reading, thresholds[fold], low=reader.low, high=reader.high)
        for fold, reader in readers.items()
        for reading in readings[fold]
    ]
    findings = findings_figures(results, command)
    return Measured(
        figures=(*findings, beside(findings, other, command), *volume_figures(results, command)),
        thresholds={"findings": chosen([reading for fold in readings.values() for reading in fold])},
    )
