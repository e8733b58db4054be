"""What was found in one series, in plain types that every result is made from.

No pixel arrays and no DICOM here: everything is JSON-ready through :func:`as_json`, which is also what
the status route answers and the ledger keeps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from plugin.domain.codes import Code, Role
from plugin.domain.kinds import Modality, RemarkCode
from plugin.domain.volume_errors import Drawn, VolumeErrors


class Severity(StrEnum):
    """What a remark does: ``reject`` ends the reading, ``warn`` is said in the results."""

    REJECT = "reject"
    WARN = "warn"


@dataclass(frozen=True, kw_only=True)
class Remark:
    """One thing to say about a series: a machine-readable code and a sentence a reader understands.

    ``values``: what the sentence says of this series, by name, for the same sentence in other languages.
    """

    code: RemarkCode
    severity: Severity
    message: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a series is read, and every rule it failed. ``accepted`` has no ``reject`` remark."""

    remarks: tuple[Remark, ...] = ()

    @property
    def accepted(self) -> bool:
        """True when nothing rejects the series."""
        return all(remark.severity is not Severity.REJECT for remark in self.remarks)

    def joined(self, other: Verdict) -> Verdict:
        """This verdict and a later one together."""
        return Verdict(remarks=self.remarks + other.remarks)


BORDERLINE = 0.05
"""A probability nearer than this to its operating point is borderline."""


def near(probability: float, threshold: float) -> bool:
    """Whether a probability is so near to its operating point that it could tip."""
    return abs(probability - threshold) < BORDERLINE


class FigureKind(StrEnum):
    """What a measured figure of a network tells a reader of its results."""

    SENSITIVITY = "sensitivity"
    SPECIFICITY = "specificity"
    FALSELY_REJECTED = "falsely_rejected"
    """The share of suitable images that are rejected, 0 to 1."""
    VOLUME_BIAS_ML = "volume_bias_ml"
    """Mean error of the findings' volume in mL, below 0 where they are measured too small."""
    VOLUME_BIAS_POINTS = "volume_bias_points"
    """The same in percentage points of the lung."""
    OVERLAP = "overlap"
    """Mean Dice coefficient of the findings with experts' outlines, 0 to 1."""
    POINTED = "pointed"
    """The share of films with opacities on which the map is strongest inside a radiologist's box, 0 to 1."""
    BOXES = "boxes"
    """Mean Dice coefficient of the map's regions with radiologists' boxes, 0 to 1."""
    FALSE_SHARE = "false_share"
    """Percentage of the lung that is marked on average where no findings are expected."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A figure from a network's card: its value, its 95 % interval where there is one, on how many."""

    kind: FigureKind
    value: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """Which network said something: DICOM TID 4019 Algorithm Identification, and the file behind it.

    ``measured``, ``volume_errors``: what its card measured of it at the operating points in use.
    """

    name: str
    version: str
    title: str
    manufacturer: str
    sha256: str
    provider: str
    """ONNX Runtime's execution provider that ran it, such as ``CPUExecutionProvider``."""
    operating_points: tuple[tuple[str, float], ...] = ()
    """Each class that is called, and the probability from which on it is, in the network's order."""
    measured: tuple[Measured, ...] = ()
    volume_errors: VolumeErrors | None = None

    def figure(self, kind: FigureKind) -> Measured | None:
        """The measured figure of that kind, or None."""
        return next((figure for figure in self.measured if figure.kind == kind), None)


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """One class of a classifier with its calibrated probability and its operating point."""

    name: str
    meaning: str
    code: Code | None
    role: Role
    probability: float
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Classification:
    """What one classifier said. ``called`` is the name of the class that the operating points give."""

    algorithm: Algorithm
    projection: str | None
    """``axial`` or ``sagittal`` for a CT classifier, ``volume`` for one of the segmented volume, ``joined``
    for what all parts of a CT's reading come to together, None for an X-ray."""
    classes: tuple[ClassProbability, ...]
    called: str

    @property
    def finding(self) -> ClassProbability:
        """The class that the network looks for."""
        return next(c for c in self.classes if c.role == "finding")

    @property
    def others(self) -> tuple[ClassProbability, ...]:
        """Every class but the finding, in the network's order."""
        return tuple(c for c in self.classes if c is not self.finding)

    @property
    def positive(self) -> bool:
        """True when the finding was called."""
        return self.called == self.finding.name

    @property
    def borderline(self) -> bool:
        """True when the finding's probability is so near to its operating point that it could tip."""
        return near(self.finding.probability, self.finding.threshold)


class Side(StrEnum):
    """The patient's side, from patient coordinates."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, kw_only=True)
class LungMeasurement:
    """One lung: its volume (findings included), the findings in it, both in mL."""

    side: Side
    volume_ml: float
    findings_ml: float

    @property
    def percent(self) -> float:
        """Percentage of the lung's volume that the findings take, 0 to 100."""
        return _percent(self.findings_ml, self.volume_ml)


@dataclass(frozen=True, kw_only=True)
class LungMeasurements:
    """Both lungs, measured with one mask each (the same that the SEG holds)."""

    algorithm: Algorithm
    left: LungMeasurement
    right: LungMeasurement
    outline: Algorithm | None = None
    """The network that found the lungs, where that was not ``algorithm``."""
    agreement: float | None = None
    """Of a network beside the leading one: the Dice coefficient, 0 to 1, of the findings of both; None for
    the leading one, and where neither found any."""

    @property
    def outlined_by(self) -> Algorithm:
        """The network that found the lungs."""
        return self.outline or self.algorithm

    @property
    def volume_ml(self) -> float:
        """Both lungs together, in mL."""
        return self.left.volume_ml + self.right.volume_ml

    @property
    def findings_ml(self) -> float:
        """Findings in both lungs, in mL."""
        return self.left.findings_ml + self.right.findings_ml

    @property
    def percent(self) -> float:
        """Percentage of both lungs that the findings take, 0 to 100."""
        return _percent(self.findings_ml, self.volume_ml)

    @property
    def drawn(self) -> Drawn | None:
        """How much experts outline where the network marks as much; None where that was not measured."""
        errors = self.algorithm.volume_errors
        if errors is None:
            return None
        return errors.drawn(findings_ml=self.findings_ml, lungs_ml=self.volume_ml)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that was found in one series.

    ``lungs`` is None for an X-ray, for a CT that no network segmented, and for one in which no lungs were
    found (a remark says so). ``beside`` are the measurements of further segmenters of the same lungs.
    ``joined`` is what classifiers and segmentation come to together, None where a part of it is missing.
    ``screening`` is the network that accepted or rejected the series, None where none was asked.
    """

    modality: Modality
    classifications: tuple[Classification, ...] = ()
    joined: Classification | None = None
    lungs: LungMeasurements | None = None
    beside: tuple[LungMeasurements, ...] = ()
    remarks: tuple[Remark, ...] = field(default=())
    screening: Algorithm | None = None

    @property
    def opinions(self) -> tuple[Classification, ...]:
        """What all parts come to together, where they are joined; then what each classifier said."""
        return (*(() if self.joined is None else (self.joined,)), *self.classifications)

    @property
    def deciding(self) -> tuple[Classification, ...]:
        """What decides the answer of the classifiers: the joined statement alone where there is one."""
        return self.classifications if self.joined is None else (self.joined,)

    @property
    def codes(self) -> frozenset[RemarkCode]:
        """The codes of all remarks."""
        return frozenset(remark.code for remark in self.remarks)

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """Every network that contributed, once, in the order of use."""
        used = [self.screening] if self.screening is not None else []
        used += [c.algorithm for c in self.classifications]
        for lungs in (self.lungs, *self.beside):
            if lungs is not None:
                used += [lungs.outlined_by, lungs.algorithm]
        if self.joined is not None:
            used.append(self.joined.algorithm)
        return tuple(dict.fromkeys(used))


def as_json(findings: Findings) -> dict[str, Any]:
    """The findings as the status route answers them: probabilities 0 to 1, volumes in mL, percentages."""
    return {
        "joined": None if findings.joined is None else _classification_json(findings.joined),
        "classifications": [_classification_json(c) for c in findings.classifications],
        "lungs": None if findings.lungs is None else _lungs_json(findings.lungs),
        "beside": [_lungs_json(lungs) | {"agreement": lungs.agreement} for lungs in findings.beside],
        "remarks": [asdict(remark) for remark in findings.remarks],
    }


def _classification_json(classification: Classification) -> dict[str, Any]:
    return {
        "model": classification.algorithm.name,
        "version": classification.algorithm.version,
        "projection": classification.projection,
        "finding": classification.finding.name,
        "called": classification.called,
        "positive": classification.positive,
        "borderline": classification.borderline,
        "probabilities": {c.name: round(c.probability, 4) for c in classification.classes},
        "thresholds": {c.name: c.threshold for c in classification.classes},
    }


def _lungs_json(lungs: LungMeasurements) -> dict[str, Any]:
    both = (lungs.left, lungs.right)
    sides = {lung.side.value: volumes_json(lung.volume_ml, lung.findings_ml) for lung in both}
    total = volumes_json(lungs.volume_ml, lungs.findings_ml)
    drawn = None if lungs.drawn is None else asdict(lungs.drawn)
    return {"model": lungs.algorithm.name, **sides, "both": total, "drawn": drawn}


def volumes_json(volume_ml: float, findings_ml: float) -> dict[str, float]:
    """A lung's volume, the findings in it and their share, as the status route answers them.

    The share has four decimals: whoever shows one of them would else round twice, and contradict the report.
    """
    return {
        "volume_ml": round(volume_ml, 1),
        "findings_ml": round(findings_ml, 1),
        "percent": round(_percent(findings_ml, volume_ml), 4),
    }


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0
