"""What slice-wise and volumetric segmenters of CT share: folds, PROD, resumable training, the card."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from export.data import ct
from export.data.ct_segment import Batch
from export.measured import Measured
from export.model_folder import write_model
from export.models import ct_segment_text
from export.models.ct_segment_train import SegmentTrainer
from export.training import PROD, Batches, Plan, checkpoint_of
from plugin.domain.kinds import Modality
from plugin.models.cards import ModelOutput
from plugin.models.inputs import ModelInput

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CtSegmenter(ABC):
    """A segmentation network of one architecture.

    ``folds``: those of which a network without their patients is trained and measured (TRAIN); PROD is
    trained on all patients for as many steps.
    """

    SEED: ClassVar[int]
    VERSION: ClassVar[str]

    name: str
    title: str
    architecture: str
    build: Callable[[], nn.Module]
    plan: Plan
    default_rank: int
    folds: tuple[int, ...] = tuple(range(ct.FOLDS))

    @property
    @abstractmethod
    def input(self) -> ModelInput:
        """How slices or volumes come to the network."""

    @abstractmethod
    def begun(self, checkpoint: Path) -> SegmentTrainer:
        """A trainer of a network that is built now, from its checkpoint on where there is one."""

    @abstractmethod
    def sampler(self, names: Sequence[str], seed: int) -> Batches[Batch]:
        """Training cases of these volumes."""

    @abstractmethod
    def outputs(self, thresholds: Mapping[str, float]) -> tuple[ModelOutput, ...]:
        """What the network gives, with its operating points."""

    @abstractmethod
    def words(self, measured: Measured, /) -> dict[str, str]:
        """What the card says besides: training data, intended use, limits, licence."""

    def trainer(self, part: int | str) -> SegmentTrainer:
        """The trainer of a fold or of PROD."""
        torch.manual_seed(self.SEED)
        return self.begun(checkpoint_of(self.name, part))

    def trained(self, part: int | str) -> nn.Module:
        """The averaged network of a fold or of PROD.

        Raises FileNotFoundError where it is not trained to the end.
        """
        return self.trainer(part).trained()

    def train(self) -> None:
        """TRAIN on the patients outside each fold, then PROD on all but the DICOM chest; resumable."""
        parts: list[int | str] = [*self.folds, PROD]
        for part in parts:
            trainer = self.trainer(part)
            if not trainer.finished:
                _log.info("%s: training %s", self.name, part)
                trainer.run(self.sampler(self.taught(part), self.SEED))

    def taught(self, part: int | str) -> list[str]:
        """The volumes that the network of a fold or PROD learns from."""
        return [n for n in ct.chest_names() if part == PROD or ct.fold_of(n) != part]

    def onnx(self, measured: Measured) -> Path:
        """Write PROD to ``onnx_models``."""
        return write_model(
            self.trained(PROD),
            name=self.name,
            version=self.VERSION,
            task="segment",
            modality=Modality.CT,
            default_rank=self.default_rank,
            spec=self.input,
            outputs=self.outputs(measured.thresholds),
            measured=measured,
            words={
                "title": self.title,
                "architecture": self.architecture,
                "training_licence": ct_segment_text.TRAINING_LICENCE,
                **self.words(measured),
            },
        )

    def trained_on(self, data: str) -> str:
        """``data`` and how TRAIN and PROD share it, for the card."""
        return data + ct_segment_text.PROD.format(count=len(self.folds), folds=ct.FOLDS)
