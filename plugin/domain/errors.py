"""What can go wrong with a series or a network, as errors of the project's own."""

from __future__ import annotations

from typing import ClassVar

from plugin.domain.kinds import RemarkCode


class Refused(Exception):
    """Why a request for another version of a model cannot be met."""


class NotHeld(Exception):
    """What Orthanc does not hold (any more)."""


class NoRoom(OSError):
    """Orthanc cannot keep anything now: a disk of its is full, or it has reached a limit of its own."""


class NoCandidate(Exception):
    """A series that the plugin does not read, with the reason."""


class SourceChanged(Exception):
    """A series that got or lost instances while it was read: what was made of it is of yesterday."""


class ModelError(Exception):
    """A model that cannot be used, with the reason that an administrator reads on the status route."""


class ImagingError(Exception):
    """Instances that cannot be read: a property of the content, so that trying again is no help.

    ``code`` is the machine-readable reason, ``instance_id`` the instance it was found in (None for the
    series), ``str()`` the sentence a reader understands, which names that instance.
    """

    code: ClassVar[RemarkCode] = RemarkCode.UNREADABLE

    def __init__(self, message: str, *, instance_id: str | None = None) -> None:
        super().__init__(message)
        self.instance_id = instance_id

    def __str__(self) -> str:
        said = super().__str__()
        return said if self.instance_id is None else f"{said} (instance {self.instance_id})"


class UnreadableInstance(ImagingError):
    """Not a DICOM file, or one that breaks off."""

    code = RemarkCode.UNREADABLE_INSTANCE


class UndecodablePixels(ImagingError):
    """The decoders refuse the pixel data, or there is none."""

    code = RemarkCode.UNDECODABLE


class InconsistentPixels(ImagingError):
    """The pixel data is not what the header declares."""

    code = RemarkCode.INCONSISTENT_PIXELS


class TooLarge(ImagingError):
    """More than a limit allows."""

    code = RemarkCode.TOO_LARGE


class TooSlow(ImagingError):
    """More computing time than a file or a series may take."""

    code = RemarkCode.TOO_SLOW


class UnusableGeometry(ImagingError):
    """Slices without a usable position, orientation or pixel spacing."""

    code = RemarkCode.UNUSABLE_GEOMETRY


class NoContrast(ImagingError):
    """A CT whose Hounsfield units hardly differ."""

    code = RemarkCode.HU_RANGE


def first_line(error: Exception) -> str:
    """The first line of what an error says, for a status; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
