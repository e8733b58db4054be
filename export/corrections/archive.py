"""The few questions that are asked of an Orthanc over its REST API."""

from __future__ import annotations

import base64
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import pydicom
from pydicom.dataset import Dataset

_TIMEOUT = 60.0


class Archive:
    """An Orthanc by its address; ``https://user:password@host/`` where it asks for one."""

    def __init__(self, address: str) -> None:
        """Nothing is asked yet. Raises ValueError where it is no address of that kind."""
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"{address} is no http or https address")
        host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self._headers: dict[str, str] = {}
        if parts.username:
            secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"

    def find(self, level: str, **query: str) -> list[str]:
        """Orthanc's ids of what fits. Raises OSError where Orthanc does not answer."""
        return list(self._json("/tools/find", {"Level": level, "Query": query}))

    def series(self, uid: str) -> str | None:
        """Orthanc's id of a series by its UID, or None."""
        return next(iter(self.find("Series", SeriesInstanceUID=uid)), None)

    def instance(self, uid: str) -> str | None:
        """Orthanc's id of an instance by its UID, or None."""
        return next(iter(self.find("Instance", SOPInstanceUID=uid)), None)

    def instances(self, series: str) -> Sequence[str]:
        """Orthanc's ids of the instances of a series."""
        return list(self._json(f"/series/{series}")["Instances"])

    def tags(self, series: str) -> Mapping[str, str]:
        """The main tags of a series."""
        return dict(self._json(f"/series/{series}")["MainDicomTags"])

    def file(self, instance: str) -> bytes:
        """The DICOM file of an instance."""
        return self._asked(f"/instances/{instance}/file", None)

    def dataset(self, instance: str) -> Dataset:
        """An instance, read."""
        return pydicom.dcmread(io.BytesIO(self.file(instance)))

    def _json(self, path: str, body: Any = None) -> Any:
        return json.loads(self._asked(path, None if body is None else json.dumps(body).encode()))

    def _asked(self, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(self._base + path, data=body, headers=self._headers)  # noqa: S310 -- checked
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
            return bytes(answer.read())


class Images:
    """The images of a series, as the plugin's readers take them."""

    def __init__(self, archive: Archive, series: str) -> None:
        """Their ids are asked for at once, the files one by one."""
        self._archive = archive
        self.instance_ids = archive.instances(series)

    def read(self, instance_id: str) -> bytes:
        """The DICOM file of one image."""
        return self._archive.file(instance_id)
