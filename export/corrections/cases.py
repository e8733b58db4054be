"""Assessed series as training cases, in the layout that ``export.data`` reads, without names or dates.

Films become rows and pictures of ``cxr_sites``, CTs volumes and masks of ``ct_covid``. A case and its patient
are named by keyed hashes (HMAC-SHA256): whoever has the key can find the series again, nobody else.
"""

from __future__ import annotations

import csv
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset

from plugin.dicom.imaging import CtVolume, SeriesSource, read_ct, read_instances, read_xray
from plugin.results import concepts
from plugin.results.seg.edited import FINDINGS, NotOurs, Unmeasurable, labels, read_masks

_LONGEST_SIDE = 400
SOURCE = "site"
_FILMS = ("file", "label", "finding", "reject_reason", "source", "patient", "view", "licence")
_VOLUMES = ("volume", "slices", "rows", "columns", "lesion_slices", "lesion_voxels")


class LeftOut(Exception):
    """Why an assessed series becomes no training case."""


class Pseudonyms:
    """Names that only the holder of a key can find again."""

    def __init__(self, key: Path) -> None:
        """The key is made where there is none, readable by its owner alone."""
        if not key.exists():
            with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
        self._key = key.read_bytes()

    def of(self, kind: str, value: str) -> str:
        """The name of a value, 16 hexadecimal digits."""
        return hmac.digest(self._key, f"{kind}:{value}".encode(), "sha256").hex()[:16]


class Cases:
    """A folder of training cases."""

    def __init__(self, folder: Path, names: Pseudonyms) -> None:
        """Makes the folders and the empty lists that the readers expect."""
        self._names = names
        self._films, self._volumes = folder / "cxr_sites", folder / "ct_covid"
        (self._films / SOURCE).mkdir(parents=True, exist_ok=True)
        self._volumes.mkdir(parents=True, exist_ok=True)
        (folder / "cxr").mkdir(exist_ok=True)
        for path, heads in (
            (folder / "cxr" / "manifest.csv", _FILMS),
            (self._films / "boxes.csv", ("file", "left", "top", "right", "bottom")),
            (self._films / "manifest.csv", _FILMS),
            (self._volumes / "volumes.csv", _VOLUMES),
        ):
            _write(path, [heads])

    def film(self, source: SeriesSource, *, label: str, finding: str) -> None:
        """A film with its label. Raises LeftOut."""
        image = read_instances(source)[0]
        if str(image.header.get("BurnedInAnnotation", "")).upper() == "YES":
            raise LeftOut("the film says that it has burnt-in annotations")
        name = f"{SOURCE}/{self._names.of('series', str(image.header.SeriesInstanceUID))}.jpg"
        pixels = Image.fromarray(np.rint(read_xray(source, image).pixels * 255).astype(np.uint8))
        pixels.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
        pixels.save(self._films / name, quality=95)
        view = str(image.header.get("ViewPosition", ""))
        patient = self._patient(image.header)
        row = (name, label, finding, "", SOURCE, patient, view, "the site's own")
        _write(self._films / "manifest.csv", [row], "a")

    def volume(self, source: SeriesSource, segmentation: Dataset) -> None:
        """A CT with the findings of a Segmentation. Raises LeftOut."""
        volume = read_ct(source, read_instances(source))
        lesion = lesions(volume, segmentation)
        name = f"{SOURCE}_{self._names.of('series', str(volume.sources[0].header.SeriesInstanceUID))}"
        down, back, across = volume.spacing
        affine = np.diag([-across, -back, down, 1.0])  # columns to the left, rows to posterior
        for suffix, values in (("", volume.hu), ("_lesion", lesion.astype(np.uint8))):
            image = nib.Nifti1Image(values.transpose(2, 1, 0), affine)
            nib.save(image, self._volumes / f"{name}{suffix}.nii.gz")
        shape = lesion.shape
        counts = (int(lesion.any(axis=(1, 2)).sum()), int(lesion.sum()))
        _write(self._volumes / "volumes.csv", [(name, *shape, *counts)], "a")

    def _patient(self, header: Dataset) -> str:
        who = f"{header.get('IssuerOfPatientID', '')}:{header.get('PatientID', '')}"
        return f"{SOURCE}:{self._names.of('patient', who)}"


def lesions(volume: CtVolume, segmentation: Dataset) -> npt.NDArray[np.bool_]:
    """The findings of a Segmentation on a volume: bool, its shape. Raises LeftOut where it has none."""
    numbers = findings_in(segmentation)
    if not numbers:
        raise LeftOut("the segmentation has no segment of the findings")
    try:
        read_masks(segmentation)
    except NotOurs:
        pass  # told by its codes instead of our labels
    except Unmeasurable as error:  # such as OHIF's frames on slices that are not their own
        raise LeftOut(f"the segmentation cannot be used: {error}") from error
    read = hd.seg.Segmentation.from_dataset(segmentation)
    uids = [str(instance.header.SOPInstanceUID) for instance in volume.sources]
    try:
        frames = read.get_pixels_by_source_instance(
            uids, segment_numbers=numbers, assert_missing_frames_are_empty=True
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise LeftOut("the segmentation does not lie on the slices of the series") from error
    marked = frames.any(axis=-1)
    turned = np.swapaxes(marked, 1, 2) if volume.transposed else marked
    turned = turned[:, ::-1] if volume.flip_rows else turned
    turned = turned[:, :, ::-1] if volume.flip_columns else turned
    return np.ascontiguousarray(turned)


def findings_in(segmentation: Dataset) -> list[int]:
    """The segments of the findings: by our label, which viewers keep, or by the code, which OHIF does not."""
    called = labels(segmentation)
    return [
        int(one.SegmentNumber)
        for one in segmentation.SegmentSequence
        if called.get(int(one.SegmentNumber), ("", False))[0] == FINDINGS
        or hd.sr.CodedConcept.from_dataset(one.SegmentedPropertyTypeCodeSequence[0]) == concepts.OPACITY
    ]


def _write(path: Path, rows: Sequence[Sequence[object]], mode: str = "w") -> None:
    with path.open(mode, newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
