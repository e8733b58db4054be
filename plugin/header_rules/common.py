"""What the rules for X-ray and for CT share."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from plugin import bodyparts, headers
from plugin.results.findings import Remark, Severity


def reject(code: str, message: str) -> Remark:
    """A rule that ends the reading."""
    return Remark(code=code, severity=Severity.REJECT, message=message)


def warn(code: str, message: str) -> Remark:
    """A rule that is said in the results."""
    return Remark(code=code, severity=Severity.WARN, message=message)


def shown(value: str) -> str:
    """A header's value as a message quotes it: printable and short."""
    return "".join(c if c.isprintable() else " " for c in value)[:64]


def body_part(header: Dataset) -> Iterator[Remark]:
    """Body Part Examined or Anatomic Region: clearly another part rejects; missing or unknown passes."""
    named = bodyparts.body_part(header)
    if bodyparts.region_of(named) is bodyparts.Region.OTHER:
        yield reject("body_part", f"the body part is {shown(named)}, not the chest")


def grey_image(header: Dataset) -> Iterator[Remark]:
    """One grey sample per pixel (DICOM PS3.3 C.7.6.3.1.2)."""
    samples = headers.number(header, "SamplesPerPixel")
    if samples is not None and samples != 1:
        yield reject("samples_per_pixel", f"SamplesPerPixel is {samples:g}: 1 is needed")
    photometric = headers.text(header, "PhotometricInterpretation")
    if photometric and photometric not in {"MONOCHROME1", "MONOCHROME2"}:
        yield reject(
            "photometric_interpretation",
            f"PhotometricInterpretation is {shown(photometric)}: MONOCHROME1 or MONOCHROME2 is needed",
        )


def least_size(header: Dataset, min_pixels: int) -> Iterator[Remark]:
    """Rows and Columns against their limit."""
    for keyword in ("Rows", "Columns"):
        size = headers.number(header, keyword)
        if size is not None and size < min_pixels:
            yield reject(f"few_{keyword.lower()}", f"{keyword} is {size:g}: at least {min_pixels} are needed")
