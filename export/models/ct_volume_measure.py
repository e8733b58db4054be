"""What a volumetric segmenter is worth: whole volumes read patch by patch, beside the slice-wise network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy.special import expit

from export.data import ct
from export.data.ct_patches import Triple, lattice_of
from export.figures import Array, Labels, figure
from export.measured import Measured, read_measured
from export.models import ct_joined_share
from export.models.ct_segment_measure import Reader, Result, compare, findings_figures, volume_figures
from plugin.analysis import preprocess
from plugin.analysis.segmentation import refine
from plugin.analysis.volumetric import slide
from plugin.models.cards import Figure

Mask = npt.NDArray[np.bool_]
Patches = npt.NDArray[np.float32]
#: Normalised patches (n, 1, depth, rows, columns) to probabilities likewise.
Predict = Callable[[Patches], Patches]

#: As for the slice-wise networks, chosen before anything was measured.
FINDINGS_THRESHOLD = 0.3
OVERLAP = 0.25
_DICE = "findings Dice, mean over volumes"


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

    def read(self, volume: ct.Volume, lungs: Mask) -> tuple[Mask, Mask]:
        """Lungs and findings of a volume whose lungs another network or method found."""
        lattice = lattice_of(volume, lungs, spacing=self.spacing, margin=self.margin)
        scaled = preprocess.window(lattice.resample(volume.hu), self.low, self.high)
        (found,) = slide(
            ((scaled - np.float32(self.mean)) / np.float32(self.std))[None],
            predict=self.predict,
            patch=self.patch,
            batch=1,
            overlap=OVERLAP,
            outside=[-self.mean / self.std],
            classes=[(0, FINDINGS_THRESHOLD)],
        )
        lung, findings = lungs.copy(), lattice.restore(found)
        refine(lung, findings, spacing=volume.spacing)
        return lung, findings


def in_onnx_runtime(path: Path) -> Predict:
    """The probabilities of a graph's logits, by ONNX Runtime on the CPU, as the plugin has them."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(patches: Patches) -> Patches:
        return np.asarray(expit(session.run(None, {"image": patches})[0]))

    return predict


def read_volume(reader: VolumeReader, name: str, lungs: Mask) -> Result:
    """Read one volume inside these lungs and compare it with its masks."""
    volume = ct.load_volume(name)
    lung, findings = reader.read(volume, lungs)
    return compare(volume, lung, findings, low=reader.low, high=reader.high)


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

    The lungs are those of a small slice-wise network that never saw the patient either.
    """
    slicewise: dict[int, Reader] = {}
    cases = [(reader, name) for fold, reader in readers.items() for name in ct.held_out(fold)]
    cases.append((next(iter(readers.values())), ct.DICOM_CHEST))
    results = [
        read_volume(reader, name, ct_joined_share.marked(name, slicewise).lungs) for reader, name in cases
    ]
    findings = findings_figures(results, command)
    return Measured(
        figures=(*findings, beside(findings, other, command), *volume_figures(results, command)),
        thresholds={"findings": FINDINGS_THRESHOLD},
    )
