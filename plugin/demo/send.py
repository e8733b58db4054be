"""DICOM files to a PACS as they are: by C-STORE, each in the transfer syntax that it is stored in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.status import code_to_category

MAX_CONTEXTS = 128
"""Presentation contexts in one association: odd numbers up to 255 (DICOM PS3.8 Section 9.3.2.2)."""

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
    files: Iterable[DicomFile], port: int, *, host: str = "127.0.0.1", sent: Callable[[], None] = lambda: None
) -> dict[Path, str]:
    """Send files to the AE on ``port``; ``sent`` is called after each one that arrived.

    Returns the files that did not arrive, with the reason. Every file is sent in its own transfer
    syntax or not at all: each pair of SOP class and transfer syntax is proposed in a context of its
    own, because in a context with several the acceptor chooses one (DICOM PS3.8 Section 9.3.3.2).
    """
    by_context: defaultdict[tuple[str, str], list[DicomFile]] = defaultdict(list)
    for file in files:
        by_context[file.sop_class, file.transfer_syntax].append(file)
    contexts = list(by_context)
    unsent: dict[Path, str] = {}
    for first in range(0, len(contexts), MAX_CONTEXTS):
        batch = {context: by_context[context] for context in contexts[first : first + MAX_CONTEXTS]}
        unsent |= _send_batch(batch, host, port, sent)
    return unsent


def _send_batch(
    batch: Mapping[tuple[str, str], list[DicomFile]], host: str, port: int, sent: Callable[[], None]
) -> dict[Path, str]:
    ae = AE(ae_title="CHESTAIDEMO")
    for sop_class, transfer_syntax in batch:
        ae.add_requested_context(sop_class, transfer_syntax)
    association = ae.associate(host, port)
    unsent: dict[Path, str] = {}
    for file in (file for files in batch.values() for file in files):
        problem = _send_one(association, file)
        if problem:
            unsent[file.path] = problem
        else:
            sent()
    if association.is_established:
        association.release()
    return unsent


def _send_one(association: Association, file: DicomFile) -> str:
    """Empty where the file arrived, else why not."""
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
