"""Which software and which networks made a result, as every kind of result says it.

Contributing Equipment Sequence (DICOM PS3.3 Section C.12.1.1.5): one item for the plugin, one for each
network, as IHE AI Results asks. The networks' Device UID is derived from the very file that ran.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime

from highdicom import ContributingEquipment
from pydicom.sr.codedict import codes

from plugin.domain.findings import Algorithm

_NAMESPACE = uuid.UUID("0c2f5b9e-6f0a-5a0c-9a39-6f7c5bb4d1a2")


def parameters(algorithm: Algorithm) -> dict[str, str]:
    """What identifies the file that ran, where it ran, and at which operating points."""
    said = {"sha256": algorithm.sha256, "provider": algorithm.provider}
    return said | {f"threshold {name}": f"{value:g}" for name, value in algorithm.operating_points}


def in_words(said: Mapping[str, str]) -> str:
    """Parameters in one text: readers such as dcmqi keep only one of several."""
    return "; ".join(f"{key}={value}" for key, value in said.items())


def device_uid(*parts: str) -> str:
    """A UID for what these words identify (PS3.5 Section B.2): the same words give the same UID."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(10).join(parts)).int}"


def equipment(
    *,
    manufacturer: str,
    model_name: str,
    software_version: str,
    device_serial: str,
    warning: str,
    algorithms: Iterable[Algorithm],
    moment: datetime,
) -> list[ContributingEquipment]:
    """The items of the Contributing Equipment Sequence: the plugin first, then each network.

    IHE's trial code for "Processing Algorithm" has no value yet, so that the standard's "Processing
    Equipment" says the purpose of all.
    """
    software = ContributingEquipment(
        manufacturer=manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=model_name,
        software_versions=software_version,
        device_serial_number=device_serial,
        contribution_datetime=_moment(moment),
        contribution_description=warning,
    )
    software.DeviceUID = device_uid(manufacturer, model_name, software_version, device_serial)
    return [software, *(_network(algorithm, moment) for algorithm in algorithms)]


def _network(algorithm: Algorithm, moment: datetime) -> ContributingEquipment:
    item = ContributingEquipment(
        manufacturer=algorithm.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        contribution_datetime=_moment(moment),
        contribution_description=in_words(parameters(algorithm)),
    )
    item.DeviceUID = device_uid(algorithm.manufacturer, algorithm.name, algorithm.version, algorithm.sha256)
    return item


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")
