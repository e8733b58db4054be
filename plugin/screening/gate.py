"""Header rules: which series are read at all, and which of their instances.

The rules rest on what the DICOM standard makes reliable; what a header lacks never rejects, but passes
to the networks. Every verdict lists all rules that failed, each by its code.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
)

from plugin.dicom import headers
from plugin.dicom.imaging import Instance
from plugin.domain.findings import Remark, Verdict
from plugin.domain.kinds import Modality, RemarkCode
from plugin.screening import ct, xray
from plugin.screening.common import reject, warn
from plugin.screening.limits import CtLimits, XrayLimits

__all__ = ["CtLimits", "XrayLimits", "modality_of", "screen_ct", "screen_xray"]

PRODUCT = "orthanc-chest-ai"
"""Manufacturer's Model Name that this plugin's results carry."""

_BY_SOP_CLASS: dict[str, Modality] = {
    ComputedRadiographyImageStorage: Modality.XRAY,
    DigitalXRayImageStorageForPresentation: Modality.XRAY,
    CTImageStorage: Modality.CT,
    EnhancedCTImageStorage: Modality.CT,
}


def modality_of(header: Dataset, xray_modalities: Sequence[str] = XrayLimits().modalities) -> Modality | None:
    """``xray`` or ``ct`` for an instance of a series that is to be screened, None for any other.

    Modality decides; where it is missing, the SOP Class does. Results of this plugin are never
    candidates.
    """
    if is_own_result(header):
        return None
    modality = headers.text(header, "Modality")
    if modality == "CT":
        return Modality.CT
    if modality:
        return Modality.XRAY if modality in xray_modalities else None
    return _BY_SOP_CLASS.get(headers.text(header, "SOPClassUID"))


def is_own_result(header: Dataset) -> bool:
    """Whether this plugin made the instance, by the equipment that contributed to it."""
    equipment = (header, *headers.items(header, "ContributingEquipmentSequence"))
    return any(headers.text(item, "ManufacturerModelName") == PRODUCT.upper() for item in equipment)


def screen_xray(
    instances: Sequence[Instance], limits: XrayLimits | None = None
) -> tuple[Verdict, tuple[Instance, ...]]:
    """The verdict on an X-ray series, and the one image that is to be read (none when rejected).

    Each image is judged by itself. Of those that pass, one whose header says frontal goes before one
    that does not say, then the lowest Instance Number; the others are named by a warning. When none
    passes, the rules that any of them failed are listed.
    """
    limits = limits or XrayLimits()
    if not instances:
        return Verdict(remarks=(_empty_series(),)), ()
    judged = [(instance, Verdict(remarks=tuple(xray.remarks(instance, limits)))) for instance in instances]
    passed = [(instance, verdict) for instance, verdict in judged if verdict.accepted]
    if not passed:
        every = dict.fromkeys(remark for _, verdict in judged for remark in verdict.remarks)
        return Verdict(remarks=tuple(every)), ()
    instance, verdict = min(passed, key=lambda pair: _reading_order(pair[0]))
    if len(instances) == 1:
        return verdict, (instance,)
    number = headers.text(instance.header, "InstanceNumber") or "?"
    several = warn(
        RemarkCode.SEVERAL_IMAGES,
        f"only one of the {len(instances)} images of the series was read: instance number {number}",
        count=len(instances),
        number=number,
    )
    return verdict.joined(Verdict(remarks=(several,))), (instance,)


def screen_ct(
    instances: Sequence[Instance], limits: CtLimits | None = None
) -> tuple[Verdict, tuple[Instance, ...]]:
    """The verdict on a CT series, and the slices that are to be read (none when rejected).

    Localizers among the slices are left out with a warning.
    """
    limits = limits or CtLimits()
    if not instances:
        return Verdict(remarks=(_empty_series(),)), ()
    slices = tuple(i for i in instances if not ct.is_localizer(i.header))
    if not slices:
        localizer = reject(RemarkCode.LOCALIZER, "the series has only localizer images")
        more = Verdict(remarks=tuple(ct.remarks(instances, limits)))
        return Verdict(remarks=(localizer, *more.remarks)), ()
    verdict = Verdict(remarks=tuple(ct.remarks(slices, limits)))
    if len(slices) < len(instances):
        count = len(instances) - len(slices)
        message = f"localizer images of the series that were left out: {count}"
        left_out = warn(RemarkCode.LOCALIZERS_LEFT_OUT, message, count=count)
        verdict = verdict.joined(Verdict(remarks=(left_out,)))
    return verdict, slices if verdict.accepted else ()


def _empty_series() -> Remark:
    return reject(RemarkCode.NO_INSTANCES, "the series has no images")


def _reading_order(instance: Instance) -> tuple[bool, float, str]:
    number = headers.number(instance.header, "InstanceNumber")
    return (
        xray.view_of(instance.header) is not xray.View.FRONTAL,
        float("inf") if number is None else number,
        instance.instance_id,
    )
