"""Orthanc's own SDK. With ``main`` the only module that imports ``orthanc``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orthanc

from plugin.domain.errors import NotHeld
from plugin.orthanc_api import OrthancApi

log = logging.getLogger(__name__)

_IDENTITY_PROPERTY = 4207
"""Number of the global property in Orthanc's index that tells this Orthanc from others."""


class Sdk:
    """Requests that never leave Orthanc's process (:class:`plugin.orthanc_api.Transport`)."""

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

    def __init__(self, *, series_metadata: int, max_instance_mb: int) -> None:
        """``series_metadata``: number of the metadata that keeps a series' outcome."""
        super().__init__(Sdk(), series_metadata=series_metadata, max_instance_mb=max_instance_mb)

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


def ledger_url(configuration: Mapping[str, Any]) -> str:
    """SQLAlchemy URL of the ledger's file, in the folder in which Orthanc keeps its index."""
    storage = configuration.get("StorageDirectory") or "OrthancStorage"
    folder = Path(configuration.get("IndexDirectory") or storage).resolve()
    return f"sqlite:///{folder / 'chest-ai.sqlite'}"


def _told(error: Exception, uri: str) -> Exception:
    """What to raise for a call that Orthanc refused (codes 17 and 24: the resource does not exist)."""
    unknown = (int(orthanc.ErrorCode.UNKNOWN_RESOURCE), int(orthanc.ErrorCode.INEXISTENT_ITEM))
    if error.args and error.args[0] in unknown:
        return NotHeld(f"Orthanc does not hold {uri}")
    return OSError(f"Orthanc could not answer {uri}: {error}")
