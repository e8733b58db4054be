"""Segmenters of a CT, slice-wise and volumetric: a known solid is found where it is, whatever the slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_factory import IDENTITY

from plugin.dicom.imaging import CtVolume, read_ct, read_instances
from plugin.domain.errors import ModelError
from plugin.models.lineup import load_lineup
from plugin.pipelines.ct import read
from plugin.pipelines.ct_segment import Segmented, measure, segment_all
from plugin.pipelines.reading import Request, Stages
from plugin.settings import read_settings
from tests.dicom_factory import MemorySource, Points, ct_series, source
from tests.tiny_models import FINDINGS, LUNG, lineup, write_segmenter

AIR, TISSUE, SOLID = -800, 40, 1240
"""A threshold half-way between lung and solid (220) bounds it without bias, and takes no other tissue."""
CENTRE, RADIUS = np.array([-52.0, 7.0, 96.0]), 24.0
VOLUME: dict[str, Any] = {"spacing": [2.5, 2.0, 2.0], "margin": 8.0}
NARROW = [(FINDINGS, 220.0, 3000.0)]
BROAD = [(LUNG, -2000.0, -400.0), (FINDINGS, 220.0, 3000.0)]


def _hu(points: Points, solid: int) -> np.ndarray:
    hu = np.full(points.shape[:-1], TISSUE, dtype=np.int16)
    for x in (-55.0, 60.0):
        hu[(((points - [x, 0, 95]) / [42, 55, 80]) ** 2).sum(axis=-1) <= 1] = AIR
    hu[((points - CENTRE) ** 2).sum(axis=-1) <= RADIUS**2] = solid
    return hu


def phantom(positions: np.ndarray, degrees: float = 0.0) -> CtVolume:
    """The phantom as the plugin reads it from slices that lean in the patient."""
    files = phantom_files(positions, degrees)
    return read_ct(files, read_instances(files))


def phantom_files(
    positions: np.ndarray, degrees: float = 0.0, *, series: str = "1.2.3.4", solid: int = SOLID
) -> MemorySource:
    """The phantom cut into slices at these distances along a normal that leans in the patient."""
    lean = np.deg2rad(degrees)
    row, column = np.array([np.cos(lean), 0, np.sin(lean)]), np.array([0.0, 1, 0])
    normal = np.cross(row, column)
    slices = []
    for along in positions:
        offset = along * normal
        (dataset,) = ct_series(
            row=tuple(row),
            column=tuple(column),
            positions=[0.0],
            shape=(80, 130),
            spacing=(1.7, 1.9),
            hu=lambda points, offset=offset: _hu(points + offset, solid),
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID=series,
            FrameOfReferenceUID="1.2.3.5",
        )
        dataset.ImagePositionPatient = [float(v) for v in np.array(dataset.ImagePositionPatient) + offset]
        slices.append(dataset)
    return source(*slices)


UNEVEN = np.cumsum(np.r_[0.0, np.tile([2.0, 3.0, 2.5], 25)])
STACKS = {
    "thin": (np.arange(0, 190, 1.25), 0.0),
    "thick": (np.arange(0, 190, 5.0), 0.0),
    "uneven": (UNEVEN, 0.0),
    "oblique": (np.arange(0, 190, 2.5), 7.0),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of segmenters: of slices, of volumes in two orientations, of volumes with lungs of its own."""
    folder = tmp_path_factory.mktemp("models")
    made = [
        write_segmenter(folder, "slices", shape=(4, 3, 64, 96), bands=BROAD),
        write_segmenter(folder, "volumes", shape=(1, 1, 24, 40, 48), bands=NARROW, volume=VOLUME),
        write_segmenter(
            folder,
            "volumes-ras",
            shape=(2, 1, 48, 40, 24),
            bands=NARROW,
            volume=VOLUME | {"orientation": "RAS", "spacing": [2.0, 2.0, 2.5]},
        ),
        write_segmenter(
            folder,
            "volumes-alone",
            shape=(1, 1, 24, 40, 48),
            bands=BROAD,
            volume=VOLUME | {"crop": "body", "overlap": 0.25},
        ),
    ]
    return {path.name: path for path in made}


def _segmented(chosen: Any, volume: CtVolume) -> list[Segmented]:
    return segment_all(chosen, volume, midline=None, progress=lambda _share: None)


@pytest.mark.parametrize("name", ["volumes", "volumes-ras", "volumes-alone"])
@pytest.mark.parametrize("stack", STACKS)
def test_a_known_solid_is_found_where_it_is(models: dict[str, Path], name: str, stack: str) -> None:
    volume = phantom(*STACKS[stack])
    truth = volume.hu == SOLID
    lungs = None if name == "volumes-alone" else models["slices"]
    (found,) = _segmented(lineup(models[name], lungs=lungs), volume)

    weights = np.broadcast_to(volume.thickness[:, None, None], truth.shape)
    assert np.average(found.findings, weights=weights) == pytest.approx(
        np.average(truth, weights=weights), rel=0.05
    )
    for axis, spacing in enumerate(volume.spacing):
        places = volume.positions if axis == 0 else np.arange(truth.shape[axis]) * spacing
        profiles = [(mask * weights).sum(axis=tuple({0, 1, 2} - {axis})) for mask in (truth, found.findings)]
        centres = [float(profile @ places / profile.sum()) for profile in profiles]
        # Half a voxel of the network's grid would be 1 mm and more.
        assert abs(centres[1] - centres[0]) < 0.15 * VOLUME["spacing"][axis], (axis, centres)
    assert 2 * (truth & found.findings).sum() / (truth.sum() + found.findings.sum()) > 0.93


def test_the_measurements_are_the_solids(models: dict[str, Path]) -> None:
    volume = phantom(UNEVEN)
    leading, beside = _segmented(lineup(models["volumes"], models["slices"]), volume)
    measured = measure(leading, volume)
    ball = 4 / 3 * np.pi * RADIUS**3 / 1000
    assert measured.right.findings_ml == pytest.approx(ball, rel=0.05)
    assert measured.left.findings_ml == 0
    assert measured.algorithm.name == "volumes"
    # A network that finds no lungs has those of the one that does, and says whose they are.
    assert measured.outlined_by.name == "slices"
    assert measured.agreement is None

    other = measure(beside, volume, leading)
    assert (other.algorithm.name, other.outlined_by.name) == ("slices", "slices")
    assert other.volume_ml == pytest.approx(measured.volume_ml, rel=0.02)
    shared, both = leading.findings & beside.findings, (leading.findings, beside.findings)
    parts = [float((mask.sum(axis=(1, 2)) * volume.thickness).sum()) for mask in (shared, *both)]
    assert other.agreement == pytest.approx(2 * parts[0] / (parts[1] + parts[2]), abs=1e-4)
    assert 0.9 < other.agreement < 1


def test_the_first_named_leads(models: dict[str, Path]) -> None:
    volume = phantom(*STACKS["thick"])
    for names in (["slices", "volumes"], ["volumes", "slices"]):
        found = _segmented(lineup(*(models[name] for name in names)), volume)
        assert [one.model.card.name for one in found] == names


def test_a_stop_ends_it_between_patches(models: dict[str, Path]) -> None:
    told: list[float] = []

    def stop(share: float) -> None:
        told.append(share)
        if share > 0.6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        segment_all(
            lineup(models["volumes"], models["slices"]),
            phantom(*STACKS["thick"]),
            midline=None,
            progress=stop,
        )
    assert told == sorted(told)
    # The first half is the slice-wise network's; the stop came between patches of the other.
    assert 0.5 in told
    assert told[-1] < 0.9


def test_without_lungs_there_is_nothing_to_read(models: dict[str, Path]) -> None:
    volume = phantom(*STACKS["thick"])
    with pytest.raises(ModelError, match="no network is loaded that finds the lungs for volumes"):
        _segmented(lineup(models["volumes"]), volume)
    volume.hu[...] = TISSUE
    (found,) = _segmented(lineup(models["volumes"], lungs=models["slices"]), volume)
    assert not found.lungs.any()
    assert not found.findings.any()


def test_a_reading_by_both_has_the_first_ones_masks_and_tells_the_second(models: dict[str, Path]) -> None:
    settings = read_settings({"ChestAI": {"Ct": {"MinPixels": 64}}})
    request = Request(
        source=phantom_files(np.arange(0, 190, 2.5), 7.0),
        identity=IDENTITY,
        lineup=lineup(models["volumes"], models["slices"]),
        settings=settings,
        stages=Stages(lambda _stage, _progress: None),
    )
    made = read(request)
    assert made.verdict.accepted, made.verdict
    (second,) = made.findings.beside
    assert (made.findings.lungs.algorithm.name, second.algorithm.name) == ("volumes", "slices")
    assert second.agreement > 0.9
    assert set(made.results) == {"seg", "pdf", "sr"}
    drawn = made.results["seg"].SegmentSequence
    names = [item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName for item in drawn]
    assert names == ["slices", "slices", "volumes"]


def test_a_grid_that_memory_does_not_hold_is_refused(tmp_path: Path, models: dict[str, Path]) -> None:
    fine = write_segmenter(
        tmp_path, "fine", shape=(1, 1, 24, 40, 48), bands=NARROW, volume={"spacing": [0.2, 0.2, 0.2]}
    )
    with pytest.raises(ModelError, match=r"fine: its spacing would make a grid of .* the limit is 100000000"):
        _segmented(lineup(fine, lungs=models["slices"]), phantom(*STACKS["thick"]))


def _settings(folder: Path, chosen: Any) -> Any:
    models = {"Xray": [], "CtReject": "", "CtAxial": [], "CtSagittal": [], "CtSegmentation": chosen}
    return read_settings({"ChestAI": {"ModelsFolder": str(folder), "Models": models, "Provider": "cpu"}})


@pytest.mark.parametrize(
    ("chosen", "leading", "beside", "lungs"),
    [
        ("volumes", "volumes", [], "slices"),
        (["volumes", "slices"], "volumes", ["slices"], None),
        (["slices", "volumes", "volumes-ras"], "slices", ["volumes", "volumes-ras"], None),
        ("volumes-alone", "volumes-alone", [], None),
        (["volumes-alone", "volumes"], "volumes-alone", ["volumes"], "slices"),
    ],
)
def test_the_settings_name_one_or_several(
    models: dict[str, Path], chosen: Any, leading: str, beside: list[str], lungs: str | None
) -> None:
    lineup_ = load_lineup(_settings(models["slices"].parent, chosen))
    assert lineup_.problems == ()
    assert lineup_.ct_segmentation is not None
    assert lineup_.ct_segmentation.card.name == leading
    assert [model.card.name for model in lineup_.ct_beside] == beside
    assert (lineup_.ct_lungs and lineup_.ct_lungs.card.name) == lungs
    assert len(lineup_.models) == 1 + len(beside) + (lungs is not None)


def test_a_folder_without_a_slice_wise_network_says_what_is_missing(
    models: dict[str, Path], tmp_path: Path
) -> None:
    write_segmenter(tmp_path, "volumes", shape=(1, 1, 24, 40, 48), bands=NARROW, volume=VOLUME)
    lineup_ = load_lineup(_settings(tmp_path, "volumes"))
    assert lineup_.problems == ("volumes: the model folder has no slice-wise segmenter to find the lungs",)
