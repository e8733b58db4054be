"""Header rules of a CT series."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage

from plugin.dicom import geometry, headers
from plugin.dicom.imaging import Instance
from plugin.domain.findings import Remark
from plugin.domain.kinds import RemarkCode
from plugin.screening.common import body_part, grey_image, least_size, reject, shown, warn
from plugin.screening.limits import CtLimits

PIXEL_SPACING_MM = (0.1, 5.0)
"""Between these every CT of a body has its pixels; finer or coarser ones are an error of the header."""
LONGEST_BODY_MM = 3000.0

_REFORMATS = {"MPR", "MIP", "MINIP", "MINMIP", "REFORMATTED", "AVERAGE", "VRT", "VR", "CPR", "SSD"}


def is_localizer(header: Dataset) -> bool:
    """Whether Image Type calls the image a localizer (DICOM PS3.3 C.8.2.1.1.1)."""
    return "LOCALIZER" in headers.texts(header, "ImageType")


def remarks(slices: Sequence[Instance], limits: CtLimits) -> Iterator[Remark]:
    """Every rule that the slices of a series fail."""
    series = [instance.header for instance in slices]
    yield from _kind_of_objects(slices)
    yield from _per_slice(series, limits)
    yield from _number_of_slices(series, limits)
    yield from _in_plane(series)
    yield from _size(series, limits)
    yield from _frame_of_reference(series)
    yield from _rescale(series)
    yield from _thickness(series, limits)
    yield from _geometry(series, limits)


def _share(count: int, series: Sequence[object]) -> str:
    return "the image" if len(series) == 1 else f"{count} of {len(series)} images"


def _kind_of_objects(slices: Sequence[Instance]) -> Iterator[Remark]:
    series = [instance.header for instance in slices]
    classes = {headers.text(header, "SOPClassUID") for header in series} - {CTImageStorage}
    if EnhancedCTImageStorage in classes:
        message = "enhanced (multi-frame) CT is not read, only CT with a file for each slice"
        yield reject(RemarkCode.ENHANCED_CT, message)
    for sop_class in sorted(classes - {EnhancedCTImageStorage}):
        kind = shown(UID(sop_class).name)
        message = f"objects of the kind {kind} are not read: CT Image Storage is needed"
        yield reject(RemarkCode.SOP_CLASS, message, kind=kind)
    without = sum(not instance.has_pixels for instance in slices)
    if without:
        yield reject(RemarkCode.NO_PIXEL_DATA, f"pixel data is missing in {_share(without, slices)}")


def _per_slice(series: Sequence[Dataset], limits: CtLimits) -> Iterator[Remark]:
    """Rules on single slices, each said once with the number of slices it holds for."""
    types = [headers.texts(header, "ImageType") for header in series]
    secondary = sum(t[1:2] == ("SECONDARY",) for t in types)
    if secondary:
        message = f"ImageType says SECONDARY, not PRIMARY, in {_share(secondary, series)}"
        yield reject(RemarkCode.SECONDARY_IMAGE, message)
    derived = [header for header, t in zip(series, types, strict=True) if t[:1] == ("DERIVED",)]
    lossy = [header for header in derived if _derived_by_compression(header)]
    if len(derived) > len(lossy):
        count = _share(len(derived) - len(lossy), series)
        yield reject(RemarkCode.DERIVED_IMAGE, f"ImageType says DERIVED (a reformat) in {count}")
    if lossy:
        yield warn(RemarkCode.LOSSY_COMPRESSION, f"lossy compression in {_share(len(lossy), series)}")
    said = [remark for header in series for remark in _any_image(header, limits)]
    yield from dict.fromkeys(said)  # many slices, few different answers


def _any_image(header: Dataset, limits: CtLimits) -> Iterator[Remark]:
    yield from body_part(header)
    yield from grey_image(header)
    yield from least_size(header, limits.min_pixels)


def _derived_by_compression(header: Dataset) -> bool:
    """DERIVED because of lossy compression alone (DICOM PS3.3 C.7.6.1.1.2), not reformatted."""
    values = headers.texts(header, "ImageType")
    return (
        headers.text(header, "LossyImageCompression") == "01"
        and values[2:3] == ("AXIAL",)
        and not any(set(value.split()) & _REFORMATS for value in values)
    )


def _number_of_slices(series: Sequence[Dataset], limits: CtLimits) -> Iterator[Remark]:
    if len(series) < limits.min_slices:
        message = f"the series has {len(series)} slices: at least {limits.min_slices} are needed"
        yield reject(RemarkCode.FEW_SLICES, message, count=len(series), least=limits.min_slices)
    if len(series) > limits.max_slices:
        message = f"the series has {len(series)} slices: at most {limits.max_slices} are read"
        yield reject(RemarkCode.MANY_SLICES, message, count=len(series), most=limits.max_slices)


def _in_plane(series: Sequence[Dataset]) -> Iterator[Remark]:
    """Pixel Spacing, Rows and Columns must be single-valued over the series."""
    if any(geometry.pixel_spacing(header) is None for header in series):
        yield reject(RemarkCode.NO_PIXEL_SPACING, "an image has no usable PixelSpacing")
    least, greatest = PIXEL_SPACING_MM
    known = [value for header in series for value in geometry.pixel_spacing(header) or ()]
    wrong = next((value for value in known if not least <= value <= greatest), None)
    if wrong is not None:
        message = f"PixelSpacing is {wrong:g} mm: {least:g} to {greatest:g} mm are possible"
        yield reject(RemarkCode.PIXEL_SPACING, message, value=f"{wrong:g}")

    def spacing(header: Dataset) -> Hashable:
        return tuple(round(value, 4) for value in headers.numbers(header, "PixelSpacing"))

    def size(header: Dataset) -> Hashable:
        return headers.number(header, "Rows"), headers.number(header, "Columns")

    rules: tuple[tuple[RemarkCode, str, Callable[[Dataset], Hashable]], ...] = (
        (RemarkCode.PIXEL_SPACING_VARIES, "PixelSpacing", spacing),
        (RemarkCode.SIZE_VARIES, "Rows and Columns", size),
    )
    for code, what, value in rules:
        count = len({value(header) for header in series})
        if count > 1:
            yield reject(code, f"{what} must be the same in the whole series: there are {count} values")


def _size(series: Sequence[Dataset], limits: CtLimits) -> Iterator[Remark]:
    """The memory that the series would take, before any of it is taken."""
    rows, columns = (
        int(max(headers.number(header, keyword) or 0 for header in series)) for keyword in ("Rows", "Columns")
    )
    voxels = len(series) * rows * columns
    if voxels > limits.max_voxels:
        message = f"{len(series)} slices of {rows} x {columns} pixels are {voxels} voxels"
        yield reject(RemarkCode.MANY_VOXELS, f"{message}: at most {limits.max_voxels} are read")


def _frame_of_reference(series: Sequence[Dataset]) -> Iterator[Remark]:
    """Positions can be compared only within one frame of reference (DICOM PS3.3 C.7.4.1.1.1).

    Where no image names any, the series is taken for one.
    """
    named = [headers.text(header, "FrameOfReferenceUID") for header in series]
    without, values = named.count(""), len(set(named) - {""})
    if values > 1:
        message = f"the images lie in {values} different frames of reference: one is needed"
        yield reject(RemarkCode.FRAME_OF_REFERENCE_VARIES, message)
    if values and without:
        message = f"FrameOfReferenceUID is missing in {_share(without, series)}, while the others have one"
        yield reject(RemarkCode.NO_FRAME_OF_REFERENCE, message)


def _rescale(series: Sequence[Dataset]) -> Iterator[Remark]:
    slopes = [headers.number(header, "RescaleSlope") for header in series]
    intercepts = [headers.number(header, "RescaleIntercept") for header in series]
    without = sum(None in pair for pair in zip(slopes, intercepts, strict=True))
    if without:
        message = f"RescaleSlope or RescaleIntercept is missing in {_share(without, series)}"
        yield reject(RemarkCode.NO_RESCALE, message)
    if 0 in slopes:
        yield reject(RemarkCode.RESCALE_SLOPE, "RescaleSlope is 0 in an image")


def _thickness(series: Sequence[Dataset], limits: CtLimits) -> Iterator[Remark]:
    known = [t for t in (headers.number(header, "SliceThickness") for header in series) if t is not None]
    thickest = max(known, default=0.0)
    said = f"the slices are {thickest:g} mm thick"
    if thickest > limits.max_slice_thickness_mm:
        most = f"{limits.max_slice_thickness_mm:g}"
        message = f"{said}: at most {most} mm is accepted"
        yield reject(RemarkCode.SLICE_THICKNESS, message, thickness=f"{thickest:g}", most=most)
    elif thickest > limits.very_thick_slices_mm:
        message = f"{said}: small opacities can be missed, and volumes are coarse"
        yield warn(RemarkCode.VERY_THICK_SLICES, message, thickness=f"{thickest:g}")
    elif thickest > limits.thick_slices_mm:
        yield warn(RemarkCode.THICK_SLICES, said, thickness=f"{thickest:g}")


def _geometry(series: Sequence[Dataset], limits: CtLimits) -> Iterator[Remark]:
    orientations = [geometry.orientation(header) for header in series]
    cosines = [o for o in orientations if o is not None]
    if len(cosines) < len(series):
        yield reject(RemarkCode.NO_ORIENTATION, "an image has no usable ImageOrientationPatient")
    if any(geometry.position(header) is None for header in series):
        yield reject(RemarkCode.NO_POSITION, "an image has no usable ImagePositionPatient")
    if cosines and not all(np.allclose(o, cosines[0], atol=1e-3) for o in cosines):
        message = "ImageOrientationPatient must be the same in the whole series"
        yield reject(RemarkCode.ORIENTATION_VARIES, message)
    if cosines:
        axial = min(abs(float(np.cross(o[0], o[1])[2])) for o in cosines)
        if axial < limits.min_axis_cosine:
            off, most = (f"{np.degrees(np.arccos(c)):.1f}" for c in (axial, limits.min_axis_cosine))
            message = (
                f"the slices lean {off} degrees out of the axial plane: at most {most} degrees are accepted"
            )
            yield reject(RemarkCode.NOT_AXIAL, message, degrees=off, most=most)
    try:
        stack = geometry.stack(series)
    except ValueError:
        return  # said above, by the attribute that is missing
    yield from _positions(stack, limits)


def _positions(stack: geometry.Stack, limits: CtLimits) -> Iterator[Remark]:
    distinct = 1 + int(np.count_nonzero(stack.gaps > limits.even_spacing_mm))
    if distinct < len(stack.positions):
        message = f"several slices lie at one position: {len(stack.positions)} images at {distinct} positions"
        said = {"images": len(stack.positions), "positions": distinct}
        yield reject(RemarkCode.DUPLICATE_POSITIONS, message, **said)
    yield from _shifts(stack, limits)
    yield from _spacing(stack, limits)
    length = f"{stack.extent:.0f}"
    covered = f"the slices cover {length} mm"
    if stack.extent > LONGEST_BODY_MM:
        yield reject(RemarkCode.EXTENT, f"{covered}: no body is that long", length=length)
    elif stack.extent < limits.min_extent_mm:
        least = f"{limits.min_extent_mm:g}"
        message = f"{covered}: at least {least} mm are needed"
        yield reject(RemarkCode.SHORT_EXTENT, message, length=length, least=least)
    elif stack.extent > limits.max_extent_mm:
        yield warn(RemarkCode.LONG_EXTENT, f"{covered}, which is more than a chest", length=length)


def _shifts(stack: geometry.Stack, limits: CtLimits) -> Iterator[Remark]:
    """Slices must lie above each other along their normal, whichever way that points."""
    most = f"{limits.max_shift_mm:g}"
    single, sheared = (float(np.ptp(part, axis=0).max()) for part in (stack.shifts - stack.lean, stack.lean))
    if single > limits.max_shift_mm:
        shift = f"{np.ptp(stack.shifts, axis=0).max():.2f}"
        message = (
            f"the slices are shifted against each other by up to {shift} mm: at most {most} mm is accepted"
        )
        yield reject(RemarkCode.SHIFTED_SLICES, message, shift=shift, most=most)
    elif sheared > limits.max_shift_mm:
        degrees, shear = f"{stack.tilt:.1f}", f"{sheared:.1f}"
        message = f"the gantry was tilted by {degrees} degrees, which shears the series by {shear} mm"
        said = {"degrees": degrees, "shear": shear, "most": most}
        yield reject(RemarkCode.TILTED, f"{message}: at most {most} mm is accepted", **said)


def _spacing(stack: geometry.Stack, limits: CtLimits) -> Iterator[Remark]:
    """Distances of the slices by their positions, never by Slice Thickness."""
    gaps = stack.gaps[stack.gaps > limits.even_spacing_mm]
    if gaps.size == 0:
        return
    median = float(np.median(gaps))
    if median > limits.max_slice_thickness_mm:
        most = f"{limits.max_slice_thickness_mm:g}"
        message = f"the slices lie {median:.1f} mm apart: at most {most} mm is accepted"
        yield reject(RemarkCode.SLICE_DISTANCE, message, distance=f"{median:.1f}", most=most)
    missing = gaps >= limits.missing_slice_gap * median
    usual = f"{median:.2f}"
    if missing.any():
        widest = f"{gaps.max():.2f}"
        message = f"slices are missing: gaps of up to {widest} mm between slices that lie {usual} mm apart"
        yield reject(RemarkCode.MISSING_SLICES, message, widest=widest, median=usual)
        gaps = gaps[~missing]
    spread = float(np.ptp(gaps))
    said = {"spread": f"{spread:.2f}", "median": usual}
    message = f"the distances between slices differ by up to {spread:.2f} mm (median {usual} mm)"
    if spread > limits.max_spacing_spread * median:
        most = f"{limits.max_spacing_spread * median:.2f}"
        message = f"{message}: at most {most} mm is accepted"
        yield reject(RemarkCode.UNEVEN_SPACING, message, most=most, **said)
    elif spread > limits.even_spacing_mm:
        message = f"{message}, which volumes and projections allow for"
        yield warn(RemarkCode.UNEVEN_SPACING_SMALL, message, **said)
