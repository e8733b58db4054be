"""A classifier of the segmented volume in the pipeline: what it is given, what it says, what is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_factory import IDENTITY
from test_pipelines_ct_segment import (
    AIR,
    BROAD,
    NARROW,
    RADIUS,
    SOLID,
    STACKS,
    TISSUE,
    VOLUME,
    phantom,
    phantom_files,
)

from plugin.analysis.attention import log_odds
from plugin.domain.findings import as_json
from plugin.domain.kinds import RemarkCode
from plugin.models.lineup import Lineup, load_lineup
from plugin.models.loading import load_model
from plugin.models.network import Model
from plugin.models.session import CPU
from plugin.pipelines.ct import read
from plugin.pipelines.ct_lesions import Lesions, ask_segmented
from plugin.pipelines.reading import Reading, Request, Stages
from plugin.settings import SettingsError, read_settings
from tests.tiny_models import HIGH, LOW, lineup, write_segmenter, write_volume_classifier

PATCH, SPACING = (40, 40, 64), (5.0, 4.0, 4.0)
GAIN, BIAS = 400.0, 1.0
READS = {"spacing": list(SPACING), "margin": 6.0, "context": 6.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A slice-wise and a volumetric segmenter, and the classifier in two orientations."""
    folder = tmp_path_factory.mktemp("models")
    made = [
        write_segmenter(folder, "slices", shape=(4, 3, 64, 96), bands=BROAD),
        write_segmenter(folder, "volumes", shape=(1, 1, 24, 40, 48), bands=NARROW, volume=VOLUME),
        write_volume_classifier(folder, "lesions", patch=PATCH, volume=READS, gain=GAIN, bias=BIAS),
        write_volume_classifier(
            folder,
            "lesions-ras",
            patch=PATCH[::-1],
            volume=READS | {"orientation": "RAS", "spacing": list(SPACING[::-1])},
            gain=GAIN,
            bias=BIAS,
        ),
    ]
    return {path.name: path for path in made}


def loaded(folder: Path) -> Model:
    return load_model(folder, thresholds={}, providers=[CPU], threads=1)


def using(models: dict[str, Path], classifier: str, *segmenters: str) -> Lineup:
    """These segmenters, the first leading, and the classifier."""
    reader = loaded(models[classifier])
    if not segmenters:
        return Lineup(ct_classifiers=(reader,))
    return replace(lineup(*(models[name] for name in segmenters)), ct_classifiers=(reader,))


def reading(chosen: Lineup, solid: int = SOLID, stack: str = "oblique", language: str = "en") -> Reading:
    settings = {"Ct": {"MinPixels": 64}, "Language": language}
    made = read(
        Request(
            source=phantom_files(*STACKS[stack], solid=solid),
            identity=IDENTITY,
            lineup=chosen,
            settings=read_settings({"ChestAI": settings}),
            stages=Stages(lambda _stage, _progress: None),
        )
    )
    assert made.verdict.accepted, made.verdict
    return made


def evidence(radius: float, hu: float) -> float:
    """The mean of image times mask for a ball of that radius in mm: its share of the patch, as bright."""
    bright = (hu - LOW) / (HIGH - LOW)
    return float(bright * 4 / 3 * np.pi * radius**3 / float(np.prod(PATCH) * np.prod(SPACING)))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("solid", [SOLID, SOLID // 2])
def test_the_lesion_reaches_the_network_as_large_and_as_bright_as_it_is(
    models: dict[str, Path], stack: str, solid: int
) -> None:
    volume = phantom(*STACKS[stack])
    volume.hu[volume.hu == SOLID] = solid
    lungs = (volume.hu != TISSUE).astype(np.uint8)
    given = []
    for name in ("lesions", "lesions-ras"):
        found = ask_segmented(loaded(models[name]), volume, Lesions(lungs=lungs, findings=volume.hu == solid))
        assert found is not None
        assert found[0].projection == "volume"
        given.append((log_odds(found[0].finding.probability) / 2 + BIAS) / GAIN)
    assert given[0] == pytest.approx(given[1], rel=1e-3), "it does not matter where the patch's axes run"
    # Less at the rim, where points are half lung: image and mask are both less there.
    assert 0.8 * evidence(RADIUS, solid) < given[0] < evidence(RADIUS, solid)


def test_it_reads_what_the_leading_segmenter_marks(models: dict[str, Path]) -> None:
    """Both segmenters find the same ball; a classifier of either's masks says the same."""
    said = [
        reading(using(models, "lesions", *names)).findings.classifications[0].finding.probability
        for names in (("slices", "volumes"), ("volumes", "slices"))
    ]
    assert log_odds(said[0]) == pytest.approx(log_odds(said[1]), abs=0.3)
    assert said[0] != said[1]


def test_of_an_empty_volume_the_network_says_what_it_says(models: dict[str, Path]) -> None:
    made = reading(using(models, "lesions", "slices"), solid=AIR)
    (said,) = made.findings.classifications
    assert made.findings.lungs is not None
    assert made.findings.lungs.findings_ml == 0
    assert said.finding.probability == pytest.approx(1 / (1 + np.exp(2 * BIAS)), abs=1e-4)
    assert not said.positive


def test_without_a_segmentation_it_says_nothing_and_the_report_says_so(models: dict[str, Path]) -> None:
    made = reading(using(models, "lesions"))
    assert made.findings.classifications == ()
    (remark,) = (r for r in made.findings.remarks if r.code == RemarkCode.NOT_CLASSIFIED)
    assert "lesions" in remark.message


def test_the_evidence_lies_over_the_lesion(models: dict[str, Path]) -> None:
    volume = phantom(*STACKS["thin"])
    lungs = (volume.hu != TISSUE).astype(np.uint8)
    lesions = Lesions(lungs=lungs, findings=volume.hu == SOLID)
    for name in ("lesions", "lesions-ras"):
        found = ask_segmented(loaded(models[name]), volume, lesions)
        assert found is not None
        attention = found[1]
        assert attention is not None
        shades = attention.shades
        assert shades.shape == volume.hu.shape[1:]
        assert not attention.located
        assert not shades[~lungs.any(axis=0)].any()
        # It is called, so all of the lungs glow a little.
        above = np.maximum(shades - np.median(shades[lungs.any(axis=0)]), 0)
        rows, columns = (
            float(above.sum(axis=1 - axis) @ np.arange(above.shape[axis]) / above.sum()) for axis in (0, 1)
        )
        true = [float(v.mean()) for v in np.nonzero(lesions.findings)[1:]]
        # A place of the attention is 16 mm wide.
        assert abs(rows - true[0]) * volume.spacing[1] < 8, name
        assert abs(columns - true[1]) * volume.spacing[2] < 8, name
        assert shades.max() > 0


def test_no_lungs_no_answer(models: dict[str, Path]) -> None:
    volume = phantom(*STACKS["thick"])
    nothing = np.zeros(volume.hu.shape)
    empty = Lesions(lungs=nothing.astype(np.uint8), findings=nothing.astype(np.bool_))
    assert ask_segmented(loaded(models["lesions"]), volume, empty) is None


@pytest.mark.parametrize(("language", "words"), [("en", "segmented volume"), ("pt", "volume segmentado")])
def test_results_tell_of_it_as_of_the_others(models: dict[str, Path], language: str, words: str) -> None:
    made = reading(using(models, "lesions", "slices"), language=language)
    (told,) = as_json(made.findings)["classifications"]
    assert (told["model"], told["projection"], told["positive"]) == ("lesions", "volume", True)
    report = made.results["sr"]
    said = [str(e.value) for e in report.iterall() if e.keyword in {"TextValue", "CodeMeaning"}]
    assert any(words in each for each in said)
    names = [
        item.TextValue
        for item in _items(report)
        if item.get("ConceptNameCodeSequence")
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Algorithm Name"
    ]
    assert "lesions" in names
    assert made.results["pdf"].EncapsulatedDocumentLength > 0


def _items(dataset: Any) -> list[Any]:
    found = list(dataset.get("ContentSequence", []))
    return [*found, *(deeper for item in found for deeper in _items(item))]


def _settings(folder: Path, **models: Any) -> Any:
    chosen = {"Xray": [], "CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": "slices"}
    section = {"ModelsFolder": str(folder), "Models": chosen | models, "Provider": "cpu"}
    return read_settings({"ChestAI": section})


def test_the_settings_choose_it(models: dict[str, Path]) -> None:
    folder = models["slices"].parent
    assert load_lineup(_settings(folder)).ct_classifiers == ()
    for chosen in (["lesions"], ["auto"]):
        found = load_lineup(_settings(folder, CtVolume=chosen))
        assert found.problems == ()
        assert [model.card.name for model in found.ct_classifiers] == ["lesions"]
    with pytest.raises(SettingsError, match="CtVolume: slices is not made for that"):
        load_lineup(_settings(folder, CtVolume=["slices"]))
    with pytest.raises(SettingsError, match="CtAxial: lesions is not made for that"):
        load_lineup(_settings(folder, CtAxial=["lesions"]))
    with pytest.raises(SettingsError, match="CtSegmentation is empty"):
        _settings(folder, CtVolume=["lesions"], CtSegmentation="")
