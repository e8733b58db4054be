"""The order of the steps of a reading, for X-ray and CT, and nothing else."""

from plugin.domain.kinds import Modality
from plugin.pipelines import ct, xray
from plugin.pipelines.reading import Reading, Request


def read(modality: Modality, request: Request) -> Reading:
    """Read one series of modality ``xray`` or ``ct``."""
    return {Modality.XRAY: xray.read, Modality.CT: ct.read}[modality](request)
