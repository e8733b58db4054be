"""What the segmentation network is worth: whole volumes read as the plugin reads them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.data import ct
from export.figures import Array, Labels, figure
from export.measured import Measured
from export.models.ct_segment_errors import errors_figure, volume_errors
from plugin.analysis import preprocess
from plugin.analysis.lungs import LEFT, RIGHT, body_midline, separate
from plugin.analysis.segmentation import segment
from plugin.models.cards import Figure

_log = logging.getLogger(__name__)
Mask = npt.NDArray[np.bool_]

THRESHOLD = 0.5
#: Lower for findings: the networks draw rather too little in patients whom they never saw.
FINDINGS_THRESHOLD = 0.3
BATCH = 8
#: Below this a Dice of findings says nothing: a single voxel decides.
SMALLEST_FINDINGS_ML = 1.0
#: Lung farther than this from the body's midline is surely of that side.
SURE_SIDE_MM = 30.0


@dataclass(frozen=True)
class Reader:
    """A network with its preprocessing: HU slices to lung and findings masks."""

    network: nn.Module
    size: int
    low: float
    high: float
    mean: float
    std: float

    def prepare(self, plane: preprocess.NumberArray) -> npt.NDArray[np.float32]:
        """A slice in HU as the network's input (3, size, size)."""
        windowed = preprocess.window(plane, self.low, self.high)
        resized = preprocess.resize(windowed, self.size, self.size)
        return preprocess.normalise(resized, [self.mean] * 3, [self.std] * 3)

    def predict(self, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n, 3, size, size) to probabilities (n, 2, size, size)."""
        inputs = torch.from_numpy(pictures).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            return np.asarray(torch.sigmoid(self.network(inputs)))

    def read(self, hu: npt.NDArray[np.int16], spacing: tuple[float, float, float]) -> tuple[Mask, Mask]:
        """(k, j, i) HU to lungs and findings as the plugin makes them."""
        return segment(
            hu,
            prepare=self.prepare,
            predict=self.predict,
            batch=BATCH,
            lung=(0, THRESHOLD),
            findings=(1, FINDINGS_THRESHOLD),
            spacing=spacing,
        )

    def lung_of_slice(self, hu: npt.NDArray[np.float32]) -> Mask:
        """The lungs of a single slice, without post-processing."""
        found = self.predict(self.prepare(hu)[None])[0, 0]
        return preprocess.resize(found, *hu.shape) >= THRESHOLD


def dice(a: Mask, b: Mask) -> float:
    """Twice the overlap over the sum; 1 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


@dataclass(frozen=True)
class Result:
    """One volume: Dice of lungs and (where there are any) findings, volumes in mL and % of lung.

    ``sides``: see :func:`proper_sides`; ``side_ml``: the right and the left lung as the plugin tells them.
    """

    name: str
    source: str
    covid: bool
    expert_lungs: bool
    lung_dice: float
    findings_dice: float | None
    lung_ml: float
    true_lung_ml: float
    findings_ml: float
    true_findings_ml: float
    sides: float
    side_ml: tuple[float, float]

    @property
    def percent_error(self) -> float:
        """Error of the findings' share of the lungs in percentage points."""
        marked, drawn = self.shares
        return marked - drawn

    @property
    def shares(self) -> tuple[float, float]:
        """The percentage of the lungs that is marked, and that which the expert drew."""
        return 100 * self.findings_ml / self.lung_ml, 100 * self.true_findings_ml / self.true_lung_ml


def proper_sides(lungs: npt.NDArray[np.uint8], true_lung: Mask, midline: float, column_mm: float) -> float:
    """The share of the true lung, far enough from the midline to be sure of its side, that has that side.

    The worse of both sides: about 0 where they are swapped, where both are one, or where one is lost.
    """
    from_middle = (np.arange(true_lung.shape[2]) - midline) * column_mm
    shares = []
    for side, sure in ((RIGHT, from_middle < -SURE_SIDE_MM), (LEFT, from_middle > SURE_SIDE_MM)):
        inside = true_lung & sure & (lungs > 0)
        shares.append(float((lungs[inside] == side).mean()) if inside.any() else 0.0)
    return min(shares)


def read_volume(reader: Reader, name: str) -> Result:
    """Read one volume and compare it with its masks."""
    volume = ct.load_volume(name)
    return compare(volume, *reader.read(volume.hu, volume.spacing), low=reader.low, high=reader.high)


def compare(volume: ct.Volume, lung: Mask, findings: Mask, *, low: float, high: float) -> Result:
    """What a network drew in a volume beside its masks; the midline is told in the window [low, high] HU."""
    true_ml = volume.millilitres(volume.lesion)
    measurable = true_ml >= SMALLEST_FINDINGS_ML
    axial = np.clip(volume.hu, low, high).mean(axis=0, dtype=np.float32)
    midline = body_midline(axial)
    lungs = separate(lung, spacing=volume.spacing, midline=midline)
    result = Result(
        name=volume.name,
        source=volume.source,
        covid=volume.covid,
        expert_lungs=volume.expert_lungs,
        lung_dice=dice(lung, volume.lung),
        findings_dice=dice(findings, volume.lesion) if measurable else None,
        lung_ml=volume.millilitres(lung),
        true_lung_ml=volume.millilitres(volume.lung),
        findings_ml=volume.millilitres(findings),
        true_findings_ml=true_ml,
        sides=proper_sides(lungs, volume.lung, midline, volume.spacing[2]),
        side_ml=(volume.millilitres(lungs == RIGHT), volume.millilitres(lungs == LEFT)),
    )
    _log.info("%s", result)
    return result


def _mean(_labels: Labels, scores: Array) -> float:
    return float(scores.mean()) if scores.size else float("nan")


def _figure(name: str, cases: Mapping[str, float], on: str, command: str, remark: str = "") -> Figure:
    """The mean of one value per case (volume or slice)."""
    scores = np.asarray(list(cases.values()), dtype=np.float64)
    labels = np.zeros(len(cases), dtype=np.int64)
    return figure(name, _mean, labels, scores, list(cases), measured_on=on, command=command, remark=remark)


def _listed(cases: Mapping[str, float], digits: int = 3) -> str:
    return "; ".join(f"{name} {value:.{digits}f}" for name, value in cases.items())


def findings_figures(results: Sequence[Result], command: str) -> list[Figure]:
    """Dice of the findings over all volumes that have them, and by source."""
    figures = []
    for source in [None, *sorted({r.source for r in results if r.findings_dice is not None})]:
        cases = {
            r.name: r.findings_dice
            for r in results
            if r.findings_dice is not None and source in (None, r.source)
        }
        name = "findings Dice, mean over volumes" + (f", {source}" if source else "")
        on = f"{len(cases)} held-out COVID-19 volumes, expert masks"
        figures.append(_figure(name, cases, on, command, _listed(cases)))
    return figures


def lung_figures(results: Sequence[Result], command: str) -> list[Figure]:
    """Dice of the lungs against derived and against experts' masks."""
    figures = []
    for expert, words in ((False, "derived"), (True, "expert")):
        cases = {r.name: r.lung_dice for r in results if r.expert_lungs == expert}
        on = f"{len(cases)} held-out volumes, {words} lung masks"
        title = f"lung Dice, mean over volumes, {words} masks"
        figures.append(_figure(title, cases, on, command, _listed(cases)))
    return figures


def volume_figures(results: Sequence[Result], command: str) -> list[Figure]:
    """Bland-Altman of the findings' volume and share, and what is found where there is nothing."""
    covid = [r for r in results if r.covid]
    on = f"{len(covid)} held-out COVID-19 volumes (Bland-Altman)"
    figures = []
    for unit, errors in (
        ("mL", {r.name: r.findings_ml - r.true_findings_ml for r in covid}),
        ("percentage points of lung", {r.name: r.percent_error for r in covid}),
    ):
        bias = float(np.mean(list(errors.values())))
        spread = 1.96 * float(np.std(list(errors.values()), ddof=1))
        remark = f"limits of agreement {bias - spread:.1f} to {bias + spread:.1f}; "
        title = f"findings volume error, {unit}"
        figures.append(_figure(title, errors, on, command, remark + _listed(errors, 1)))
    shares = {r.name: 100 * r.findings_ml / r.lung_ml for r in results if not r.covid}
    on = f"{len(shares)} held-out chests without COVID-19 (tumours and nodules among them)"
    title = "findings in % of lung where none are expected"
    return [*figures, _figure(title, shares, on, command, _listed(shares, 2))]


def slice_figure(reader: Reader, command: str) -> Figure:
    """Dice of the lungs on single slices with experts' masks."""
    cases = {s.name: dice(reader.lung_of_slice(s.hu), s.mask) for s in ct.lung_slices()}
    return _figure(
        "lung Dice, mean over single slices, expert masks",
        cases,
        f"{len(cases)} slices of LungSegDB, in no training part",
        command,
        "grey values of a soft-tissue window brought back to HU: lung texture is lost",
    )


def side_figure(results: Sequence[Result], command: str) -> Figure:
    """Whether left is left: the lung whose side is sure, on every volume; both lungs' volumes."""
    cases = {r.name: r.sides for r in results}
    listed = "; ".join(
        f"{r.name} {r.sides:.3f} (right {r.side_ml[0]:.0f} mL, left {r.side_ml[1]:.0f} mL)" for r in results
    )
    return _figure(
        f"lung more than {SURE_SIDE_MM:.0f} mm off the midline given its side, worse side, mean",
        cases,
        f"{len(cases)} held-out volumes; the lowest is {min(cases.values()):.3f}",
        command,
        listed,
    )


def measure(readers: Mapping[int, Reader], command: str) -> Measured:
    """All figures: each fold's TRAIN network on the fold's patients; the first also on what is in no fold."""
    results = [read_volume(reader, name) for fold, reader in readers.items() for name in ct.held_out(fold)]
    reader = next(iter(readers.values()))
    results.append(read_volume(reader, ct.DICOM_CHEST))
    shares = {r.name: r.shares for r in results if r.covid}
    return Measured(
        figures=(
            *findings_figures(results, command),
            *lung_figures(results, command),
            slice_figure(reader, command),
            *volume_figures(results, command),
            errors_figure(shares, command),
            side_figure(results, command),
        ),
        thresholds={"lung": THRESHOLD, "findings": FINDINGS_THRESHOLD},
        volume_errors=volume_errors(shares),
    )
