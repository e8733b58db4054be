"""What the rules for X-ray and for CT share."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from plugin.dicom import body_parts, headers
from plugin.domain.findings import Remark, Severity
from plugin.domain.kinds import RemarkCode


def reject(code: RemarkCode, message: str) -> Remark:
    """A rule that ends the reading."""
    return Remark(code=code, severity=Severity.REJECT, message=message)


def warn(code: RemarkCode, message: str) -> Remark:
    """A rule that is said in the results."""
    return Remark(code=code, severity=Severity.WARN, message=message)


def shown(value: str) -> str:
    """A header's value as a message quotes it: printable and short."""
    return "".join(c if c.isprintable() else " " for c in value)[:64]


def body_part(header: Dataset) -> Iterator[Remark]:
    """Body Part Examined or Anatomic Region: clearly another part rejects; missing or unknown passes."""
    named = body_parts.body_part(header)
    if body_parts.region_of(named) is body_parts.Region.OTHER:
        yield reject(RemarkCode.BODY_PART, f"the body part is {shown(named)}, not the chest")


def grey_image(header: Dataset) -> Iterator[Remark]:
    """One grey sample per pixel (DICOM PS3.3 C.7.6.3.1.2)."""
    samples = headers.number(header, "SamplesPerPixel")
    if samples is not None and samples != 1:
        yield reject(RemarkCode.SAMPLES_PER_PIXEL, f"SamplesPerPixel is {samples:g}: 1 is needed")
    photometric = headers.text(header, "PhotometricInterpretation")
    if photometric and photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        yield reject(
            RemarkCode.PHOTOMETRIC_INTERPRETATION,
            f"PhotometricInterpretation is {shown(photometric)}: MONOCHROME1 or MONOCHROME2 is needed",
        )


def least_size(header: Dataset, min_pixels: int) -> Iterator[Remark]:
    """Rows and Columns against their limit."""
    for keyword, code in (("Rows", RemarkCode.FEW_ROWS), ("Columns", RemarkCode.FEW_COLUMNS)):
        size = headers.number(header, keyword)
        if size is not None and size < min_pixels:
            yield reject(code, f"{keyword} is {size:g}: at least {min_pixels} are needed")


def greatest_size(header: Dataset, max_pixels: int) -> Iterator[Remark]:
    """Rows and Columns against what is read into memory."""
    rows, columns = (headers.number(header, keyword) or 0 for keyword in ("Rows", "Columns"))
    if max(rows, columns) > max_pixels:
        message = f"{rows:g} x {columns:g} pixels: at most {max_pixels} x {max_pixels} are read"
        yield reject(RemarkCode.MANY_PIXELS, message)
