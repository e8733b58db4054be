"""The key images: a Key Object Selection of the images that show what was found.

DICOM PS3.3 Section A.35.4, PS3.16 TID 2010. Its title is "Of Interest": never one that says something of an
image's quality, after which archives hide the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset

from plugin.dicom.imaging import Instance
from plugin.domain.findings import Findings
from plugin.domain.kinds import Modality
from plugin.results import concepts
from plugin.results.common import SeriesLabel, finish, reference_header
from plugin.results.identity import Identity
from plugin.results.request import referenced_requests
from plugin.results.sr.observer import device
from plugin.results.sr.regions import Regions


def build_key_images(
    *,
    findings: Findings,
    sources: Sequence[Instance],
    regions: Regions,
    identity: Identity,
    label: SeriesLabel,
) -> Dataset | None:
    """The Key Object Selection, or None where no image shows a finding.

    Of a CT the slices on which the opacities of ``regions`` are largest, the largest opacity first; of an
    X-ray the film, where a classifier calls its finding. ``sources`` as for the report.
    """
    chosen = _chosen(findings, sources, regions)
    if not chosen:
        return None
    references = [reference_header(instance.header) for instance in chosen]
    texts = label.texts
    words = texts("key_images.ct" if findings.modality == Modality.CT else "key_images.xray")
    document: Any = KeyObjectSelectionDocument(
        evidence=references,
        content=KeyObjectSelection(
            document_title=concepts.OF_INTEREST,
            referenced_objects=references,
            observer_device_context=device(label),
            description=f"{words} {texts('disclaimer')}",
        ),
        series_instance_uid=identity.series_instance_uid("key_images"),
        series_number=label.numbers["key_images"],
        sop_instance_uid=identity.sop_instance_uid("key_images"),
        instance_number=1,
        manufacturer=label.manufacturer,
        requested_procedures=referenced_requests(chosen[0].header) or None,
    )
    return finish(
        document,
        kind="key_images",
        source=chosen[0].header,
        identity=identity,
        label=label,
        algorithms=findings.algorithms,
    )


def _chosen(findings: Findings, sources: Sequence[Instance], regions: Regions) -> list[Instance]:
    if findings.modality == Modality.XRAY:
        called = any(classification.positive for classification in findings.classifications)
        return list(sources) if called else []
    by_uid = {instance.header.SOPInstanceUID: instance for instance in sources}
    shown = dict.fromkeys(opacity.outline.sop_instance_uid for opacity in regions.opacities)
    return [by_uid[uid] for uid in shown]
