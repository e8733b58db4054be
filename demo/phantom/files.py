"""The phantom's pictures as DICOM files, labelled synthetic."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from demo.phantom import ct, xray

WHEN = datetime(2024, 1, 15, 10, 30)
LABEL = "SYNTHETIC - made by a program, no patient"


def write_studies(folder: Path, seed: int = 7) -> int:
    """Write one chest CT and one chest X-ray of the same synthetic patient; returns how many files."""
    return write_ct(folder / "ct", seed) + write_xray(folder / "xray", seed)


def write_ct(folder: Path, seed: int) -> int:
    """Write the CT as CT Image Storage, one file a slice (DICOM PS3.3 Section A.3)."""
    folder.mkdir(parents=True, exist_ok=True)
    corner = float(ct.pixel_centres()[0])
    frame = _uid(seed, "ct frame")
    for index, (hu, z) in enumerate(zip(ct.scan(seed), ct.positions(), strict=True)):
        image = _image(seed, "ct", CTImageStorage, index + 1)
        image.Modality = "CT"
        image.StudyDescription = "SYNTHETIC CT chest"
        image.SeriesDescription = "SYNTHETIC chest 2.5 mm"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.BodyPartExamined = "CHEST"
        image.PatientPosition = "HFS"
        image.FrameOfReferenceUID = frame
        image.PositionReferenceIndicator = ""
        image.ImagePositionPatient = [corner, corner, float(z)]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing = [ct.PIXEL_MM, ct.PIXEL_MM]
        image.SliceThickness = ct.SLICE_MM
        image.SpacingBetweenSlices = ct.SLICE_MM
        image.SliceLocation = float(z)
        image.KVP = 120
        image.XRayTubeCurrent = 200
        image.ConvolutionKernel = "STANDARD"
        image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, -1024, "HU"
        image.WindowCenter, image.WindowWidth = [-500, 40], [1500, 400]
        image.WindowCenterWidthExplanation = ["LUNG", "MEDIASTINUM"]
        _add_pixels(image, (hu.astype(np.int32) + 1024).astype(np.uint16))
        image.save_as(folder / f"ct{index + 1:03d}.dcm", enforce_file_format=True)
    return ct.SLICES


def write_xray(folder: Path, seed: int) -> int:
    """Write the film as Digital X-Ray Image Storage - For Presentation (PS3.3 Section A.26)."""
    folder.mkdir(parents=True, exist_ok=True)
    image = _image(seed, "xray", DigitalXRayImageStorageForPresentation, 1)
    image.Modality = "DX"
    image.StudyDescription = "SYNTHETIC X-ray chest"
    image.SeriesDescription = "SYNTHETIC chest PA"
    image.ImageType = ["ORIGINAL", "PRIMARY", ""]
    image.PresentationIntentType = "FOR PRESENTATION"
    image.BodyPartExamined = "CHEST"
    image.AnatomicRegionSequence = Sequence([_code("51185008", "SCT", "Chest")])
    image.ViewPosition = "PA"
    image.ViewCodeSequence = Sequence([_code("272479007", "SCT", "postero-anterior")])
    image.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence([])
    image.PatientOrientation = ["L", "F"]
    image.PatientOrientationCodeSequence = Sequence([_code("10904000", "SCT", "erect")])
    image.ImageLaterality = "U"
    image.ImagerPixelSpacing = [xray.PIXEL_MM, xray.PIXEL_MM]
    image.DetectorType = "DIRECT"
    image.PositionerType = ""
    image.KVP = 125
    image.PixelIntensityRelationship = "LOG"
    image.PixelIntensityRelationshipSign = 1
    image.RescaleSlope, image.RescaleIntercept, image.RescaleType = 1, 0, "US"
    image.PresentationLUTShape = "IDENTITY"
    image.LossyImageCompression = "00"
    image.BurnedInAnnotation = "NO"
    image.AcquisitionContextSequence = Sequence([])
    image.WindowCenter, image.WindowWidth = 2048, 4096
    _add_pixels(image, xray.film(seed))
    image.save_as(folder / "xray.dcm", enforce_file_format=True)
    return 1


def _image(seed: int, study: str, sop_class: UID, number: int) -> Dataset:
    """What every image of a synthetic study says of its patient, study, series and maker."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = sop_class
    image.SOPInstanceUID = _uid(seed, f"{study} {number}")
    image.StudyInstanceUID = _uid(seed, f"{study} study")
    image.SeriesInstanceUID = _uid(seed, f"{study} series")
    image.PatientName, image.PatientID = "SYNTHETIC^Phantom", f"SYNTHETIC-{seed}"
    image.PatientBirthDate, image.PatientSex, image.PatientAge = "19640101", "O", "060Y"
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", "", ""
    image.SeriesNumber, image.InstanceNumber, image.AcquisitionNumber = 1, number, 1
    for moment in ("Study", "Series", "Acquisition", "Content"):
        setattr(image, f"{moment}Date", f"{WHEN:%Y%m%d}")
        setattr(image, f"{moment}Time", f"{WHEN:%H%M%S}")
    image.Manufacturer, image.ManufacturerModelName = "orthanc-chest-ai", "Chest phantom"
    image.DeviceSerialNumber, image.SoftwareVersions, image.InstitutionName = "0", "1", "SYNTHETIC"
    image.ImageComments = LABEL
    image.PatientOrientation = ""
    return image


def _add_pixels(image: Dataset, pixels: npt.NDArray[np.uint16]) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = pixels.astype("<u2").tobytes()


def _uid(seed: int, what: str) -> UID:
    return generate_uid(entropy_srcs=["orthanc-chest-ai phantom", str(seed), what])


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
