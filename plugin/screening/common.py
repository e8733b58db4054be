"""What the rules for X-ray and for CT share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.dataset import Dataset

from plugin.dicom import body_parts, headers
from plugin.domain.findings import Remark, Severity
from plugin.domain.kinds import RemarkCode


def reject(code: RemarkCode, message: str, **values: object) -> Remark:
    """A rule that ends the reading. ``values``: what the message says of this series, by name."""
    return _remark(Severity.REJECT, code, message, values)


def warn(code: RemarkCode, message: str, **values: object) -> Remark:
    """A rule that is said in the results."""
    return _remark(Severity.WARN, code, message, values)


def _remark(severity: Severity, code: RemarkCode, message: str, values: Mapping[str, object]) -> Remark:
    said = tuple((name, str(value)) for name, value in values.items())
    return Remark(code=code, severity=severity, message=message, values=said)


def shown(value: str) -> str:
    """A header's value as a message quotes it: printable and short."""
    return "".join(c if c.isprintable() else " " for c in value)[:64]


def body_part(header: Dataset) -> Iterator[Remark]:
    """Body Part Examined or Anatomic Region: clearly another part rejects; missing or unknown passes."""
    named = body_parts.body_part(header)
    if body_parts.region_of(named) is body_parts.Region.OTHER:
        part = shown(named)
        yield reject(RemarkCode.BODY_PART, f"the body part is {part}, not the chest", part=part)


def grey_image(header: Dataset) -> Iterator[Remark]:
    """One grey sample per pixel (DICOM PS3.3 C.7.6.3.1.2)."""
    samples = headers.number(header, "SamplesPerPixel")
    if samples is not None and samples != 1:
        message = f"the image is in colour (SamplesPerPixel is {samples:g})"
        yield reject(RemarkCode.SAMPLES_PER_PIXEL, message, value=f"{samples:g}")
    photometric = headers.text(header, "PhotometricInterpretation")
    if photometric and photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        value = shown(photometric)
        message = f"the image is not in shades of grey (PhotometricInterpretation is {value})"
        yield reject(RemarkCode.PHOTOMETRIC_INTERPRETATION, message, value=value)


def least_size(header: Dataset, min_pixels: int) -> Iterator[Remark]:
    """Rows and Columns against their limit."""
    for keyword, code in (("Rows", RemarkCode.FEW_ROWS), ("Columns", RemarkCode.FEW_COLUMNS)):
        size = headers.number(header, keyword)
        if size is not None and size < min_pixels:
            message = f"the image has {size:g} {keyword.lower()}: at least {min_pixels} are needed"
            yield reject(code, message, count=f"{size:g}", least=min_pixels)


def greatest_size(header: Dataset, max_pixels: int) -> Iterator[Remark]:
    """Rows and Columns against what is read into memory."""
    rows, columns = (headers.number(header, keyword) or 0 for keyword in ("Rows", "Columns"))
    if max(rows, columns) > max_pixels:
        message = f"the image has {rows:g} x {columns:g} pixels: at most {max_pixels} x {max_pixels} are read"
        size = {"rows": f"{rows:g}", "columns": f"{columns:g}"}
        yield reject(RemarkCode.MANY_PIXELS, message, most=max_pixels, **size)
