"""Instances to arrays: geometry in patient coordinates, limits, errors with a code."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from plugin.analysis import lungs
from plugin.dicom import headers, imaging
from plugin.domain import errors
from plugin.screening import gate
from tests.dicom_factory import MemorySource, as_file, canonical_body, ct_series, source, xray_dataset

SHAPE, SPACING = (40, 48), (6.0, 7.0)
POSITIONS = tuple(np.arange(-97.5, 100, 5.0))

DIRECTIONS = [
    (row, column)
    for row, column in itertools.permutations([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)], 2)
    if np.dot(row, column) == 0
]


def read(datasets: list[Any], **options: Any) -> imaging.CtVolume:
    series = source(*datasets)
    return imaging.read_ct(series, imaging.read_instances(series), **options)


@pytest.mark.parametrize(("row", "column"), DIRECTIONS)
@pytest.mark.parametrize("feet_first", [False, True])
def test_every_orientation_becomes_canonical(
    row: tuple[float, float, float], column: tuple[float, float, float], feet_first: bool
) -> None:
    transposed = row[0] == 0
    shape, spacing = (SHAPE[::-1], SPACING[::-1]) if transposed else (SHAPE, SPACING)
    positions = POSITIONS[::-1] if feet_first else POSITIONS
    datasets = ct_series(row=row, column=column, positions=positions, shape=shape, spacing=spacing)
    volume = read(datasets)
    np.testing.assert_array_equal(volume.hu, canonical_body(POSITIONS, SHAPE, SPACING))
    assert volume.spacing == pytest.approx((5.0, *SPACING))
    heights = [float(instance.header.ImagePositionPatient[2]) for instance in volume.sources]
    assert heights == sorted(heights)
    # back to the frames as the source stores them, slice by slice
    by_height = sorted(datasets, key=lambda d: float(d.ImagePositionPatient[2]))
    frames = np.stack([d.pixel_array.astype(np.int32) - 1024 for d in by_height])
    np.testing.assert_array_equal(volume.to_frame(volume.hu), frames)
    np.testing.assert_array_equal(volume.to_frame(volume.hu[3]), frames[3])


def test_order_of_the_instances_and_their_numbers_do_not_matter() -> None:
    datasets = ct_series()
    shuffled = [datasets[n] for n in np.random.default_rng(3).permutation(len(datasets))]
    for number, dataset in enumerate(shuffled):
        dataset.InstanceNumber = number
        dataset.SliceLocation = 0
        dataset.PatientPosition = "FFP"
    np.testing.assert_array_equal(read(shuffled).hu, canonical_body(POSITIONS, SHAPE, SPACING))


def test_thickness_follows_the_positions() -> None:
    positions = [0.0, 5.0, 10.2, 15.0]
    volume = read(ct_series(positions=positions, SliceThickness=9))
    np.testing.assert_allclose(volume.thickness, [5.0, 5.1, 5.0, 4.8])
    assert volume.spacing[0] == pytest.approx(5.0)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_slices_read_the_same(syntax: str) -> None:
    datasets = ct_series(positions=POSITIONS[:4])
    for dataset in datasets:
        dataset.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read(datasets).hu, canonical_body(POSITIONS[:4], SHAPE, SPACING))


@pytest.mark.parametrize(
    ("slope", "intercept", "signed"), [(1, 0, True), (2.5, -1024, False), (0.5, -1500.25, False)]
)
def test_rescale(slope: float, intercept: float, signed: bool) -> None:
    volume = read(ct_series(positions=POSITIONS[:4], slope=slope, intercept=intercept, signed=signed))
    expected = canonical_body(POSITIONS[:4], SHAPE, SPACING)
    assert np.abs(volume.hu.astype(int) - expected).max() <= slope / 2 + 0.5


def test_padding_is_air_even_where_it_is_written_unsigned() -> None:
    datasets = ct_series(signed=True)
    for dataset in datasets:
        dataset.add_new("PixelPaddingValue", "US", 63536)
        pixels = dataset.pixel_array.copy()
        pixels[:3] = -2000
        dataset.PixelData = pixels.tobytes()
    volume = read(datasets)
    assert (volume.hu[:, :3] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, 3:], canonical_body(POSITIONS, SHAPE, SPACING)[:, 3:])


def test_bits_beyond_bits_stored_are_not_pixels() -> None:
    datasets = ct_series(BitsStored=12, HighBit=11)
    for dataset in datasets:
        overlay = np.zeros(SHAPE, dtype=np.uint16)
        overlay[5:9] = 1 << 14
        dataset.PixelData = (dataset.pixel_array | overlay).tobytes()
    np.testing.assert_array_equal(read(datasets).hu, canonical_body(POSITIONS, SHAPE, SPACING))


def test_slices_are_told_while_decoding_and_may_stop_it() -> None:
    told: list[int] = []

    def on_slice(k: int, slice_: Any) -> None:
        np.testing.assert_array_equal(slice_, canonical_body(POSITIONS, SHAPE, SPACING)[k])
        told.append(k)
        if k == 5:
            raise InterruptedError

    series = source(*ct_series())
    instances = imaging.read_instances(series)
    reads = series.reads
    with pytest.raises(InterruptedError):
        imaging.read_ct(series, instances, on_slice=on_slice)
    assert told == [0, 1, 2, 3, 4, 5]
    assert series.reads == reads + 6


def test_memory_holds_one_volume_of_int16() -> None:
    flat = np.zeros((512, 512), dtype=np.uint16)
    flat[:, ::2] = 1000
    datasets = ct_series(positions=[0.0, 1.0], shape=(512, 512), spacing=(0.7, 0.7))
    files = {}
    for n in range(60):
        datasets[0].PixelData = flat.tobytes()
        datasets[0].ImagePositionPatient = [0, 0, n]
        files[f"i{n}"] = as_file(datasets[0])
    series = MemorySource(files)
    instances = imaging.read_instances(series)
    tracemalloc.start()
    volume = imaging.read_ct(series, instances)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < volume.hu.nbytes + 12 * flat.nbytes


def test_headers_are_kept_without_pixels_private_and_large_elements() -> None:
    dataset = xray_dataset(np.zeros((600, 600), np.uint16), SpecificCharacterSet="ISO_IR 100")
    dataset.PatientName = "Müller^José"
    dataset.add_new(0x00091010, "LO", "private")
    dataset.add_new(0x00091011, "OB", bytes(200_000))
    dataset.add_new("EncapsulatedDocument", "OB", bytes(70_000))
    (instance,) = imaging.read_instances(source(dataset))
    assert instance.has_pixels
    assert instance.header.BodyPartExamined == "CHEST"
    assert instance.header.PatientName.family_name == "Müller"
    assert instance.header.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    assert "PixelData" not in instance.header
    assert "EncapsulatedDocument" not in instance.header
    assert not any(element.tag.is_private for element in instance.header)


def test_headers_do_not_hold_on_to_their_files() -> None:
    data = as_file(xray_dataset(np.zeros((1000, 1000), np.uint16)))

    class FreshCopies(MemorySource):
        def read(self, instance_id: str) -> bytes:
            return bytes(bytearray(super().read(instance_id)))

    files = FreshCopies({f"i{n}": data for n in range(20)})
    tracemalloc.start()
    instances = imaging.read_instances(files)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(instances) == 20
    assert kept < len(data)


def test_a_broken_element_counts_as_missing() -> None:
    dataset = xray_dataset(np.zeros((600, 600), np.uint16), PatientAge="040Y")
    dataset.add_new("SliceThickness", "DS", "2.5")
    data = as_file(dataset).replace(b"DS\x04\x002.5 ", b"DS\x04\x00a.5 ")
    (instance,) = imaging.read_instances(MemorySource({"a": data}))
    assert headers.number(instance.header, "SliceThickness") is None
    assert headers.text(instance.header, "PatientAge") == "040Y"


def test_only_the_source_limits_the_size_of_a_file() -> None:
    """The setting MaxInstanceMb may be above 1024."""

    class Large(bytes):
        def __len__(self) -> int:
            return 2 << 30

    data = Large(as_file(xray_dataset(np.zeros((600, 600), np.uint16))))
    (instance,) = imaging.read_instances(MemorySource({"large": data}))
    assert instance.has_pixels


@pytest.mark.parametrize("data", [b"", b"not dicom at all" * 40])
def test_what_is_not_dicom_says_so(data: bytes) -> None:
    with pytest.raises(errors.UnreadableInstance, match="cannot be read as DICOM") as caught:
        imaging.read_instances(MemorySource({"broken": data}))
    assert caught.value.code == "unreadable_instance"
    assert caught.value.instance_id == "broken"


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "no UID"])
@pytest.mark.filterwarnings("ignore")
def test_what_does_not_say_which_object_it_is_is_refused(keyword: str, value: str | None) -> None:
    dataset = ct_series(positions=[0.0], **{keyword: value})[0]
    with pytest.raises(errors.UnreadableInstance, match=f"no valid {keyword}"):
        imaging.read_instances(source(dataset))


def test_truncated_pixels_say_so() -> None:
    data = as_file(ct_series(positions=[0.0])[0])[:-1000]
    series = MemorySource({"cut": data})
    with pytest.raises(errors.ImagingError) as caught:
        imaging.read_ct(series, imaging.read_instances(series))
    assert caught.value.code in {"undecodable", "unreadable_instance"}


def test_garbage_in_a_compressed_frame_says_so() -> None:
    dataset = ct_series(positions=[0.0])[0]
    dataset.compress(JPEGLSLossless)
    dataset.PixelData = dataset.PixelData[:90] + bytes(len(dataset.PixelData) - 90)
    with pytest.raises(errors.UndecodablePixels, match="JPEG-LS") as caught:
        read([dataset])
    assert caught.value.code == "undecodable"


def test_a_compressed_frame_larger_than_declared_is_refused_before_decoding() -> None:
    large = ct_series(positions=[0.0], shape=(80, 96))[0]
    large.compress(JPEG2000Lossless)
    large.Rows, large.Columns = 40, 48
    with pytest.raises(errors.InconsistentPixels, match=r"\(80, 96\), the header declares \(40, 48\)"):
        read([large])


def test_declared_size_over_the_limit_is_refused_before_decoding() -> None:
    dataset = xray_dataset(np.zeros((600, 600), np.uint16), Rows=60_000, Columns=60_000)
    series = source(dataset)
    (instance,) = imaging.read_instances(series)
    with pytest.raises(errors.TooLarge, match="60000 x 60000 pixels are 3600000000: limit 37748736"):
        imaging.read_xray(series, instance)
    with pytest.raises(errors.TooLarge, match="76800 voxels: limit 1000"):
        read(ct_series(), max_voxels=1000)


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"PixelData": None}, errors.UndecodablePixels),
        ({"NumberOfFrames": 2}, errors.InconsistentPixels),
        ({"SamplesPerPixel": 3}, errors.InconsistentPixels),
        ({"Rows": 0}, errors.InconsistentPixels),
        ({"Rows": None}, errors.InconsistentPixels),
        ({"BitsAllocated": None}, errors.InconsistentPixels),
    ],
)
def test_headers_that_are_no_image(attributes: dict[str, Any], error: type[Exception]) -> None:
    series = source(xray_dataset(np.zeros((600, 600), np.uint16), **attributes))
    (instance,) = imaging.read_instances(series)
    with pytest.raises(error):
        imaging.read_xray(series, instance)


def test_a_series_without_contrast_is_refused() -> None:
    datasets = ct_series()
    for dataset in datasets:
        dataset.PixelData = np.full(SHAPE, 1000, np.uint16).tobytes()
    with pytest.raises(errors.NoContrast, match="span 0 HU: at least 100"):
        read(datasets)


def test_slices_of_another_size_or_without_a_position_are_refused() -> None:
    other = ct_series(positions=[500.0], shape=(30, 48))
    with pytest.raises(errors.InconsistentPixels, match=r"\(30, 48\) pixels in a series of \(40, 48\)"):
        read([*ct_series(), *other])
    with pytest.raises(errors.TooLarge, match="50 x 48 pixels are 2400: limit 1920"):
        read([*ct_series(), *ct_series(positions=[500.0], shape=(50, 48))])
    with pytest.raises(errors.UnusableGeometry):
        read(ct_series(ImagePositionPatient=None))


def test_an_instance_that_has_gone_is_a_lookup_error() -> None:
    series = source(*ct_series(positions=POSITIONS[:3]))
    instances = imaging.read_instances(series)
    with pytest.raises(LookupError):
        imaging.read_ct(MemorySource({}), instances)


def test_the_real_ct_lies_right_in_the_patient(data: Path) -> None:
    """Liver to the right, spine behind, neck above."""
    folder = data / "dicom" / "lidc_idri_0001"
    series = MemorySource({path.name: path.read_bytes() for path in folder.glob("*.dcm")})
    volume = imaging.read_ct(series, imaging.read_instances(series))
    assert volume.hu.shape == (133, 512, 512)
    assert volume.spacing == pytest.approx((2.5, 0.703125, 0.703125))
    middle = round(lungs.body_midline(volume.hu.mean(axis=0, dtype=np.float32)))
    soft = (volume.hu > 40) & (volume.hu < 200)
    below_lungs = soft[30:48, 120:256]
    liver, opposite = below_lungs[..., :middle].mean(), below_lungs[..., middle:].mean()
    assert liver > 1.5 * opposite
    bone = volume.hu > 300
    assert bone[:, 256:, middle - 30 : middle + 30].sum() > bone[:, :256, middle - 30 : middle + 30].sum()
    body_area = (volume.hu > -300).sum(axis=(1, 2))
    assert body_area[-5:].mean() < body_area[20:60].mean()


def test_every_odd_file_is_read_or_refused_with_a_reason(data: Path) -> None:
    refused = {}
    for path in sorted((data / "dicom" / "odd").glob("*/*.dcm")):
        series = MemorySource({path.name: path.read_bytes()})
        (instance,) = imaging.read_instances(series)
        try:
            picture = imaging.read_xray(series, instance).pixels
        except errors.ImagingError as error:
            refused[path.name] = error.code
            continue
        assert picture.shape == (instance.header.Rows, instance.header.Columns)
        assert 0 <= picture.min() < picture.max() <= 1, path.name
    assert refused == {
        "CTImage.dcm_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": "undecodable",
        "waveform_ecg.dcm": "undecodable",
        "1.2.840.10008.1.2.1.dcm": "inconsistent_pixels",
        "1.2.840.10008.1.2.4.50.dcm": "inconsistent_pixels",
        "eCT_Supplemental.dcm": "inconsistent_pixels",
        "rtdose_rle.dcm": "inconsistent_pixels",
    }


def test_one_ct_slice_in_every_syntax_has_the_same_hounsfield_units(data: Path) -> None:
    folder = data / "dicom" / "odd" / "ct_chest_slice_all_syntaxes"
    plain = read_single(folder / "CTImage.dcm")
    for path in folder.glob("*.dcm"):
        if "Process6_8" in path.name:
            continue
        losses = {"JPEG2000": 2, "Lossy": 1, "Process1T": 64}  # the last: 8 bits in steps of 32 HU
        limit = next((loss for name, loss in losses.items() if name in path.name), 0)
        difference = np.abs(read_single(path).astype(int) - plain)
        assert np.percentile(difference, 99) <= limit, path.name


def read_single(path: Path) -> Any:
    series = MemorySource({path.name: path.read_bytes()})
    return imaging.read_ct(series, imaging.read_instances(series)).hu[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("syntax", [None, JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_damaged_files_are_read_or_refused_but_never_crash(syntax: str | None) -> None:
    """Random bytes of the first file are changed: headers, screening and decoding stand it."""
    datasets = ct_series(positions=[0.0, 5.0, 10.0])
    if syntax is not None:
        for dataset in datasets:
            dataset.compress(syntax)
    whole = [as_file(dataset) for dataset in datasets]
    draw = np.random.default_rng(7)
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(whole[0])
        end = draw.choice([1400, len(damaged)])
        for at in draw.integers(132, end, size=draw.integers(1, 12)):
            damaged[at] = draw.integers(256)
        series = MemorySource({"a": bytes(damaged), "b": whole[1], "c": whole[2]})
        try:
            instances = imaging.read_instances(series)
            gate.screen_ct(instances)
            gate.screen_xray(instances)
            imaging.read_ct(series, instances, min_hu_range=0)
            outcomes.add("read")
        except errors.ImagingError as error:
            outcomes.add(error.code)
    assert len(outcomes) > 1
