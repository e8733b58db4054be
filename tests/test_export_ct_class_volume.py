"""The classifier of the segmented volume: measured by patients left out, exported, and read by the plugin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is only needed for training and export")
for needed in ("monai", "nibabel", "sklearn", "onnx"):
    pytest.importorskip(needed, reason=f"{needed} is only needed for training and export")

from export import model_folder  # noqa: E402
from export.compare.segmented import TASK  # noqa: E402
from export.compare.task import task_of  # noqa: E402
from export.data import ct, ct_segmented  # noqa: E402
from export.data.ct_segmented_pool import Pool  # noqa: E402
from export.measured import Measured  # noqa: E402
from export.models.ct_class_volume import MODELS  # noqa: E402
from export.models.ct_class_volume_measure import left_out, measure  # noqa: E402
from export.models.ct_class_volume_train import ClassTrainer  # noqa: E402
from export.networks.volume_classes import CLASSES, VolumeClassifier  # noqa: E402
from export.training import checkpoint_of  # noqa: E402
from plugin.models.lineup import CT_VOLUME, same_role  # noqa: E402
from plugin.models.loading import load_model  # noqa: E402
from plugin.models.session import CPU  # noqa: E402

COMPACT = MODELS[0]
pytestmark = pytest.mark.usefixtures("data")
"""The list of COVID-19 volumes lies with the data."""


class Sum(VolumeClassifier):
    """The score is the mean of one channel, times ``factor``."""

    def __init__(self, channel: int, factor: float) -> None:
        super().__init__(torch.nn.AvgPool3d(2), 2)
        with torch.no_grad():
            self.evidence.weight.zero_()
            self.evidence.weight[1, channel] = factor
        assert self.evidence.weight.shape[0] == CLASSES
        self.eval()


def pool() -> Pool:
    """Of each patient a whole chest and three slabs without lesions; of those with COVID-19 three with, and
    the whole chest healed. Lesions are brighter than what is marked falsely, and no larger."""
    rows: list[tuple[str, str, int]] = []
    for name in (*ct.covid_names()[:6], *ct.OTHER_CHESTS, ct.DICOM_CHEST):
        covid = name in ct.covid_names()
        rows.append((name, "whole", int(covid)))
        rows += [(name, "slab", 1)] * 3 * covid + [(name, "slab", 0)] * 3
        rows += [(name, "healed whole", 0)] * covid
    draw = np.random.default_rng(0)
    channels = np.zeros((len(rows), 2, 8, 8, 8), dtype=np.uint8)
    for row, (_, _, label) in enumerate(rows):
        channels[row, 0, 2:6, 2:6, 2:6] = draw.integers(150, 200) if label else draw.integers(40, 100)
        channels[row, 1, 2:6, 2:6, 2:6] = 255
    return Pool(
        channels=channels,
        label=np.array([label for _, _, label in rows]),
        kind=np.array([kind for _, kind, _ in rows]),
        mask=np.full(len(rows), "left-out"),
        coverage=np.ones(len(rows)),
        name=np.array([name for name, _, _ in rows]),
    )


def test_each_case_is_scored_by_the_network_that_left_its_patient_out() -> None:
    given = pool()
    networks = {fold: Sum(1, float(10 ** (fold + 1))) for fold in range(ct.FOLDS)}
    found = left_out(networks, given, given.channels)
    share = given.channels[:, 1].mean(axis=(1, 2, 3)) / 255
    factors = np.array([10.0, 100.0, 1000.0, 370.0])[given.fold]
    np.testing.assert_allclose(found, factors * share, rtol=1e-5)
    assert set(given.fold[given.name == ct.DICOM_CHEST]) == {ct.FOLDS}


def test_figures_tell_what_the_image_adds_to_the_amount() -> None:
    """What is marked is as much with lesions as without: only the image tells, and the checks say so."""
    measured = measure({fold: Sum(0, 20.0) for fold in range(ct.FOLDS)}, pool(), "a command")
    figures = {figure.name: figure for figure in (*measured.figures, *measured.shortcut_checks)}
    within = "slab AUC within COVID-19 patients"
    assert figures[within].value == 1.0
    assert figures[within].n == 36
    assert figures[f"{within} of the marked share of the lung alone"].value == 0.5
    assert figures[f"{within} with the lungs blacked out, only the mask left"].value == 0.5
    assert figures[f"{within} without the mask, only the image about the lesions left"].value == 1.0
    assert figures["whole volumes with findings called"].value == 1.0
    assert figures["whole volumes without findings not called"].value == 1.0
    healed = next(f for name, f in figures.items() if "healed" in name)
    assert (healed.value, healed.n) == (1.0, 12)
    assert "lidc_idri_0001" in figures["whole-volume AUC"].remark
    assert 0 < measured.thresholds["FINDINGS"] < 1
    assert all(figure.command == "a command" for figure in figures.values())


def test_what_is_exported_is_read_by_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEST_AI_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(model_folder, "ONNX_MODELS", tmp_path / "models")
    with pytest.raises(FileNotFoundError, match="ct-class-volume-compact"):
        COMPACT.network("prod")
    torch.manual_seed(0)
    trainer = ClassTrainer(COMPACT.build(), COMPACT.plan, checkpoint_of(COMPACT.name, "prod"))
    trainer.finished = True
    trainer.save()
    measured = Measured(figures=(), temperature=1.5, thresholds={"FINDINGS": 0.4})
    folder = COMPACT.onnx(measured).parent
    model = load_model(folder, thresholds={}, providers=[CPU], threads=1)
    assert CT_VOLUME.fits(model.card)
    assert same_role(model.card, model.card)
    finding = model.card.logits.classes[1]
    assert (finding.role, finding.threshold) == ("finding", 0.4)

    draw = np.random.default_rng(1)
    channels = draw.random((2, *ct_segmented.SHAPE), dtype=np.float32)
    prediction = model.predict(model.prepare_channels(channels)[None])
    with torch.inference_mode():
        logits, attention = COMPACT.network("prod")(torch.from_numpy(channels)[None])
    expected = torch.softmax(logits / 1.5, dim=1)[0].numpy()
    np.testing.assert_allclose(prediction.probabilities[0], expected, atol=0.02)
    assert prediction.attention is not None
    assert prediction.attention.shape == tuple(attention.shape)


def test_the_comparison_has_the_four_of_the_paper_and_the_one_that_ships() -> None:
    assert task_of("class") is TASK
    assert set(TASK.networks) == {"resnet", "inception", "dpn", "attention-resnet", "compact"}
    for fold in range(ct.FOLDS):
        inside = TASK.patients(fold, 4)
        assert TASK.taught(inside) == 4
        assert not {name for name in inside if ct.fold_of(name) == fold}
        assert {ct.source_of(name) for name in inside if name in ct.covid_names()} == {
            *("coronacases", "radiopaedia")
        }
    with pytest.raises(ValueError, match="11 patients asked for"):
        TASK.patients(0, 11)
    assert TASK.statistic(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.9])) == 1.0
