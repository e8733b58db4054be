"""DICOM files to a PACS as they are: by C-STORE, each in the transfer syntax that it is stored in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.status import code_to_category

ANSWER_SECONDS = 20
"""How long the PACS may take over one file."""

_config.STORE_SEND_CHUNKED_DATASET = True  # the file's own bytes, never decoded and encoded anew


@dataclass(frozen=True, kw_only=True)
class DicomFile:
    """A file and what an association must be told of it. ``series`` is its Series Instance UID."""

    path: Path
    series: str
    sop_class: str
    transfer_syntax: str


def read_header(path: Path) -> DicomFile | None:
    """What C-STORE needs to know of a file; None where the file is no DICOM file that says it."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
        return DicomFile(
            path=path,
            series=str(header.SeriesInstanceUID),
            sop_class=str(header.file_meta.MediaStorageSOPClassUID),
            transfer_syntax=str(header.file_meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, AttributeError, EOFError, ValueError):
        return None


def c_store(
    files: Iterable[DicomFile], port: int, *, host: str = "127.0.0.1", answer_seconds: float = ANSWER_SECONDS
) -> dict[Path, str]:
    """Send files to the AE on ``port``. Returns those that did not arrive, each with the reason.

    Every file is sent in its own transfer syntax or not at all. Each pair of SOP class and transfer
    syntax has an association of its own: in a presentation context with several syntaxes the acceptor
    chooses one (DICOM PS3.8 Section 9.3.3.2), and what breaks one association leaves the others alone.
    """
    by_context: defaultdict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    for file in files:
        by_context[file.sop_class, file.transfer_syntax].append(file)
    unsent: dict[Path, str] = {}
    for (sop_class, transfer_syntax), group in by_context.items():
        ae = AE(ae_title="CHESTAIDEMO")
        ae.dimse_timeout = answer_seconds
        ae.add_requested_context(sop_class, transfer_syntax)
        association = ae.associate(host, port)
        for file in group:
            problem = _send_one(association, file)
            if problem:
                unsent[file.path] = problem
        if association.is_established:
            association.release()
    return unsent


def _send_one(association: Association, file: DicomFile) -> str:
    """Empty where the file arrived, else why not."""
    if file.path.stat().st_size % 2:
        return "C-STORE carries only an even number of bytes"  # PS3.8 Section 9.3.5.1
    if not association.is_established:
        return "no association with the PACS"
    try:
        status = association.send_c_store(file.path)
    except (ValueError, RuntimeError, AttributeError) as error:
        return str(error)
    if "Status" not in status:
        return "the PACS did not answer"
    if code_to_category(status.Status) not in ("Success", "Warning"):
        return f"the PACS answered with status 0x{status.Status:04X}"
    return ""
