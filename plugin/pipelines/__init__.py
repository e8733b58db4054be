"""The order of the steps of a reading, for X-ray and CT, and nothing else."""

from plugin.pipelines import ct, xray
from plugin.pipelines.reading import Reading, Request


def read(modality: str, request: Request) -> Reading:
    """Read one series of modality ``xray`` or ``ct``."""
    return {"xray": xray.read, "ct": ct.read}[modality](request)
