"""Orthanc's own SDK. With ``main`` the only module that imports ``orthanc``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orthanc

from plugin.domain.errors import NoRoom
from plugin.orthanc_api import OrthancApi
from plugin.transport import refusal

log = logging.getLogger(__name__)

_RESERVED_BYTES = 16 << 20
_RESERVED_NODES = 64
"""What is left to Orthanc of its disk: what it receives meanwhile must not fill it between look and store."""

_IDENTITY_PROPERTY = 4207
"""Number of the global property in Orthanc's index that tells this Orthanc from others."""


class Sdk:
    """Requests that never leave Orthanc's process (:class:`plugin.transport.Transport`)."""

    def get(self, uri: str) -> bytes:
        """GET."""
        try:
            return bytes(orthanc.RestApiGet(uri))
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error

    def post(self, uri: str, body: bytes) -> bytes:
        """POST."""
        try:
            return bytes(orthanc.RestApiPost(uri, body))
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error

    def put(self, uri: str, body: bytes) -> bytes:
        """PUT."""
        try:
            return bytes(orthanc.RestApiPut(uri, body) or b"")
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error

    def delete(self, uri: str) -> None:
        """DELETE."""
        try:
            orthanc.RestApiDelete(uri)
        except orthanc.OrthancException as error:
            raise _told(error, uri) from error


class Pacs(OrthancApi):
    """The Orthanc that the plugin runs in (:class:`plugin.domain.pacs.OwnPacs`)."""

    def __init__(self, *, series_metadata: int, max_instance_mb: int, storage: Path) -> None:
        """``series_metadata``: number of the metadata that keeps a series' outcome; ``storage``: Orthanc's
        folder for files.
        """
        super().__init__(Sdk(), series_metadata=series_metadata, max_instance_mb=max_instance_mb)
        self._storage = storage

    def store(self, dicom: bytes) -> str:
        """As for every Orthanc. On a disk that is full or almost, Orthanc is not even asked.

        Where it cannot make a folder for a file any more, Orthanc raises an exception in C++ that passes
        through Python and ends the process (seen on 1.10.1, on ext4).
        """
        self._look_for_room(len(dicom))
        return super().store(dicom)

    def _look_for_room(self, size: int) -> None:
        """Raise NoRoom where the disk of Orthanc's storage would be almost full with so many bytes more."""
        try:
            disk = os.statvfs(self._storage)
        except FileNotFoundError:  # another plugin keeps Orthanc's files
            return
        left = disk.f_bavail * disk.f_frsize - size
        nodes_left = disk.f_favail if disk.f_files else _RESERVED_NODES  # 0: as many as there is space for
        if left < _RESERVED_BYTES or nodes_left < _RESERVED_NODES:
            raise NoRoom(f"Orthanc has no room for results: the disk of {self._storage} is full")

    @staticmethod
    def identity() -> str | None:
        """What tells this Orthanc from others, kept in its index; None before :meth:`keep_identity`."""
        return str(orthanc.GetGlobalProperty(_IDENTITY_PROPERTY, "")) or None

    @staticmethod
    def keep_identity(identity: str) -> None:
        """Keep in Orthanc's index what tells it from others. Raises OSError where Orthanc cannot."""
        try:
            orthanc.SetGlobalProperty(_IDENTITY_PROPERTY, identity)
        except orthanc.OrthancException as error:
            raise OSError(f"Orthanc did not keep its identity: {error}") from error

    @staticmethod
    def emit_audit(user: str | None, action: str, status: int) -> None:
        """Tell Orthanc's audit log, which it has since 1.12.9 where a plugin keeps it, of a request."""
        emit = getattr(orthanc, "EmitAuditLog", None)
        if emit is not None:
            detail = json.dumps({"status": status}).encode()
            emit("chest-ai", user or "", orthanc.ResourceType.NONE, "", action, detail)

    @staticmethod
    def set_metric(name: str, value: float) -> None:
        """Set one of Orthanc's metrics (``/tools/metrics-prometheus``)."""
        orthanc.SetMetricsValue(name, value, orthanc.MetricsType.DEFAULT)


class OrthancLog(logging.Handler):
    """Hands Python's log records to Orthanc's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record at Orthanc's fitting level."""
        message = f"ChestAI: {self.format(record)}"
        if record.levelno >= logging.ERROR:
            orthanc.LogError(message)
        elif record.levelno >= logging.WARNING:
            orthanc.LogWarning(message)
        else:
            orthanc.LogInfo(message)


def configuration() -> dict[str, Any]:
    """Orthanc's whole configuration."""
    return dict(json.loads(orthanc.GetConfiguration()))


def extend_explorer(script: str) -> None:
    """Let Orthanc Explorer run a script of ours."""
    try:
        orthanc.ExtendOrthancExplorer(script)
    except (AttributeError, orthanc.OrthancException) as error:
        log.warning("Orthanc Explorer gets no button: %s", error)


def storage_folder(configuration: Mapping[str, Any]) -> Path:
    """The folder in which Orthanc keeps its files."""
    return Path(configuration.get("StorageDirectory") or "OrthancStorage").resolve()


def ledger_url(configuration: Mapping[str, Any]) -> str:
    """SQLAlchemy URL of the ledger's file, in the folder in which Orthanc keeps its index."""
    folder = Path(configuration.get("IndexDirectory") or storage_folder(configuration)).resolve()
    return f"sqlite:///{folder / 'chest-ai.sqlite'}"


def _told(error: Exception, uri: str) -> Exception:
    """What to raise for a call that Orthanc refused."""
    code = next(iter(error.args), None)
    return refusal(uri, code if isinstance(code, int) else None, str(error.args[-1] if error.args else error))
