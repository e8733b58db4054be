"""Who observed, as every document says it (DICOM PS3.16 TID 1002 and 1004): this installation."""

from __future__ import annotations

from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
from pydicom.sr.codedict import codes

from plugin.results.common import SeriesLabel


def device(label: SeriesLabel) -> ObserverContext:
    """The device that observed: this installation of the software in this version."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=label.device_uid,
            name=label.model_name,
            manufacturer_name=label.manufacturer,
            model_name=f"{label.model_name} {label.software_version}",
            serial_number=label.device_serial,
        ),
    )
