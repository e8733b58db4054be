"""Orthanc in memory: the calls of its Python module that ``plugin.pacs`` makes, over plain dictionaries.

The real :class:`plugin.pacs.Pacs` runs on it (``fake.pacs``, with the fixture ``fake``). It shows what a real
Orthanc cannot be made to do on demand: refuse a store, lose a series between two calls, answer nonsense::

    fake.before("POST", "/instances", lambda: fake.refuse(), nth=2)
    fake.before("GET", f"/instances/{instance}/file", lambda: fake.delete(series))

Ids, answers and error codes are Orthanc's (1.10.1). Metadata of any other resource than a series, attachments
and queries are not made here.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom

if TYPE_CHECKING:
    from plugin.pacs import Pacs

UNKNOWN_RESOURCE = 17
FULL_STORAGE = 19
BAD_FILE_FORMAT = 15

_LEVELS = ("patients", "studies", "series", "instances")
_NAMES = {"patients": "Patient", "studies": "Study", "series": "Series", "instances": "Instance"}
_MAIN_TAGS = {
    "patients": ("PatientID", "PatientName"),
    "studies": ("StudyInstanceUID", "StudyDate"),
    "series": ("SeriesInstanceUID", "Modality", "Manufacturer"),
    "instances": ("SOPInstanceUID", "InstanceNumber"),
}


class OrthancException(Exception):
    """What a refused call raises: ``args`` are Orthanc's error code and its words."""


@dataclass
class _Resource:
    level: str
    parent: str | None
    tags: dict[str, str]
    metadata: dict[str, bytes] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)
    stable: bool = True


@dataclass
class _Hook:
    method: str
    pattern: str
    act: Callable[[], Any]
    nth: int
    seen: int = 0


class FakeOrthanc(types.ModuleType):
    """The module ``orthanc`` as Orthanc gives it to Python, over memory. See the module's docstring."""

    OrthancException = OrthancException
    MetricsType = types.SimpleNamespace(DEFAULT=0)

    def __init__(self) -> None:
        super().__init__("orthanc")
        self.overwrite_instances = False
        self.has_labels = False
        """Whether it is an Orthanc from 1.12.0 on."""
        self.storage = Path(__file__).parent
        """The folder whose disk has to have room."""
        self.metrics: dict[str, float] = {}
        self.calls: list[str] = []
        """Every call so far, as ``METHOD uri``."""
        self._resources: dict[str, _Resource] = {}
        self._files: dict[str, bytes] = {}
        self._changes: list[dict[str, Any]] = []
        self._position = 0
        self._hooks: list[_Hook] = []
        self._properties: dict[int, str] = {}

    # What a test tells it

    @property
    def pacs(self) -> Pacs:
        """The plugin's own adapter, talking to this Orthanc."""
        from plugin.pacs import Pacs

        return Pacs(series_metadata=4207, max_instance_mb=1024, storage=self.storage)

    def before(self, method: str, pattern: str, act: Callable[[], Any], *, nth: int = 1) -> None:
        """Do something before the nth call from now on whose uri matches a pattern (whole, a regex).

        What ``act`` returns, unless None, is the call's answer; what it raises comes out of the call.
        """
        self._hooks.append(_Hook(method, pattern, act, nth))

    @staticmethod
    def refuse(code: int = BAD_FILE_FORMAT, words: str = "Bad file format") -> None:
        """Raise what a refused call raises; for :meth:`before`."""
        raise OrthancException(code, words)

    def add(self, *files: bytes) -> str:
        """Store DICOM files of one series as from a modality; the series' id, stable at once."""
        series = ""
        for file in files:
            answer = self._store(file, "DicomProtocol")
            series = str(self._resources[answer["ID"]].parent)
        self._note("StableSeries", series)
        return series

    def delete(self, resource: str) -> None:
        """Delete a resource of any level with all that is in it, and its parents where they are empty."""
        for child in self._children(resource):
            self._drop(child)
        parent = self._resources[resource].parent
        self._drop(resource)
        if parent is not None and not self._children(parent):
            self.delete(parent)

    def replace(self, instance: str, file: bytes) -> None:
        """Put another file in the place of an instance's, as an overwriting store would."""
        self._files[instance] = file

    def instances(self, **tags: str) -> list[str]:
        """The instances held whose file has these values, such as ``Modality="SR"``."""
        found = []
        for instance, file in self._files.items():
            dataset = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)
            if all(str(dataset.get(keyword, "")) == value for keyword, value in tags.items()):
                found.append(instance)
        return sorted(found)

    def holds(self, resource: str) -> bool:
        """Whether the resource exists."""
        return resource in self._resources

    def file(self, instance: str) -> pydicom.Dataset:
        """The dataset of an instance."""
        return pydicom.dcmread(io.BytesIO(self._files[instance]))

    def metadata(self, series: str) -> dict[str, bytes]:
        """The metadata of a series by number, to be changed at will."""
        return self._resources[series].metadata

    # What Orthanc's module has

    def RestApiGet(self, uri: str) -> bytes:  # noqa: N802 - Orthanc's name
        """GET."""
        return self._call("GET", uri, b"")

    def RestApiPost(self, uri: str, body: bytes | str) -> bytes:  # noqa: N802
        """POST."""
        return self._call("POST", uri, body.encode() if isinstance(body, str) else body)

    def RestApiPut(self, uri: str, body: bytes | str) -> bytes:  # noqa: N802
        """PUT."""
        return self._call("PUT", uri, body.encode() if isinstance(body, str) else body)

    def RestApiDelete(self, uri: str) -> None:  # noqa: N802
        """DELETE."""
        self._call("DELETE", uri, b"")

    def SetMetricsValue(self, name: str, value: float, _kind: Any) -> None:  # noqa: N802
        """Set a metric."""
        self.metrics[name] = value

    def GetGlobalProperty(self, number: int, default: str) -> str:  # noqa: N802
        """A global property of the index."""
        return self._properties.get(number, default)

    def SetGlobalProperty(self, number: int, value: str) -> None:  # noqa: N802
        """Keep a global property in the index."""
        self._properties[number] = value

    def LogInfo(self, message: str) -> None:  # noqa: N802
        """Log nothing."""

    LogWarning = LogError = LogInfo

    # How it answers

    def _call(self, method: str, uri: str, body: bytes) -> bytes:
        self.calls.append(f"{method} {uri}")
        for hook in list(self._hooks):
            if hook.method == method and re.fullmatch(hook.pattern, uri):
                hook.seen += 1
                if hook.seen == hook.nth:
                    self._hooks.remove(hook)
                    answer = hook.act()
                    if answer is not None:
                        return bytes(answer)
        for pattern, answers in _ROUTES[method]:
            match = re.fullmatch(pattern, uri)
            if match is not None:
                answer = answers(self, body, *match.groups())
                return answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        raise OrthancException(UNKNOWN_RESOURCE, f"Unknown resource: {uri}")

    def _changes_since(self, _body: bytes, since: str, limit: str) -> dict[str, Any]:
        later = [change for change in self._changes if change["Seq"] > int(since)]
        page = later[: int(limit)]
        last = page[-1]["Seq"] if page else self._position
        return {"Changes": page, "Last": last, "Done": len(page) == len(later)}

    def _last_change(self, _body: bytes) -> dict[str, Any]:
        last = self._changes[-1:]
        return {"Changes": last, "Last": last[0]["Seq"] if last else 0, "Done": True}

    def _series_page(self, _body: bytes, since: str, limit: str) -> list[str]:
        held = [name for name, resource in self._resources.items() if resource.level == "series"]
        return held[int(since) :][: int(limit)]

    def _show(self, _body: bytes, level: str, name: str) -> dict[str, Any]:
        resource = self._of_level(level, name)
        shown: dict[str, Any] = {
            "ID": name,
            "MainDicomTags": resource.tags,
            "Type": _NAMES[level],
            "IsStable": resource.stable,
        }
        if resource.parent is not None:
            shown[f"Parent{_NAMES[self._resources[resource.parent].level]}"] = resource.parent
        if level != "instances":
            below = _LEVELS[_LEVELS.index(level) + 1]
            shown[below.capitalize()] = self._children(name)
        return shown

    def _ancestor(self, body: bytes, level: str, name: str, above: str) -> dict[str, Any]:
        resource, current = self._of_level(level, name), name
        while _NAMES[resource.level].lower() != above:
            current = str(resource.parent)
            resource = self._resources[current]
        return self._show(body, resource.level, current)

    def _sop_class(self, _body: bytes, instance: str) -> bytes:
        self._of_level("instances", instance)
        value = str(self.file(instance).get("SOPClassUID", ""))
        if not value:
            raise OrthancException(UNKNOWN_RESOURCE, "Unknown resource")
        return value.encode()

    def _metadata_names(self, _body: bytes, level: str, name: str) -> list[str]:
        resource = self._of_level(level, name)
        if level == "series":
            return list(resource.metadata)
        return ["Origin", *(["SopClassUid"] if self.file(name).get("SOPClassUID") else [])]

    def _origin(self, _body: bytes, instance: str) -> bytes:
        return self._of_level("instances", instance).metadata["Origin"]

    def _get_metadata(self, _body: bytes, series: str, number: str) -> bytes:
        kept = self._of_level("series", series).metadata
        if number not in kept:
            raise OrthancException(UNKNOWN_RESOURCE, "Unknown resource")
        return kept[number]

    def _put_metadata(self, body: bytes, series: str, number: str) -> bytes:
        self._of_level("series", series).metadata[number] = body
        return b""

    def _system(self, _body: bytes) -> dict[str, Any]:
        return {"Version": "1.12.7", "HasLabels": True} if self.has_labels else {"Version": "1.10.1"}

    def _labels(self, _body: bytes, level: str, name: str) -> list[str]:
        return sorted(self._labelled(level, name))

    def _put_label(self, _body: bytes, level: str, name: str, label: str) -> bytes:
        self._labelled(level, name).add(label)
        return b""

    def _delete_label(self, _body: bytes, level: str, name: str, label: str) -> bytes:
        self._labelled(level, name).discard(label)
        return b""

    def _labelled(self, level: str, name: str) -> set[str]:
        if not self.has_labels:
            raise OrthancException(UNKNOWN_RESOURCE, "Unknown resource")
        return self._of_level(level, name).labels

    def _md5(self, _body: bytes, instance: str) -> bytes:
        return hashlib.md5(self._file(b"", instance), usedforsecurity=False).hexdigest().encode()

    def _size(self, _body: bytes, instance: str) -> bytes:
        return str(len(self._file(b"", instance))).encode()

    def _file(self, _body: bytes, instance: str) -> bytes:
        self._of_level("instances", instance)
        return self._files[instance]

    def _simplified_tags(self, _body: bytes, instance: str) -> dict[str, str]:
        dataset = pydicom.dcmread(io.BytesIO(self._file(b"", instance)), stop_before_pixels=True)
        return {e.keyword: str(e.value) for e in dataset if e.keyword and e.VR not in ("SQ", "OB", "OW")}

    def _post_instance(self, body: bytes) -> dict[str, Any]:
        return self._store(body, "Plugins")

    def _delete_resource(self, _body: bytes, level: str, name: str) -> bytes:
        self._of_level(level, name)
        self.delete(name)
        return b""

    def _of_level(self, level: str, name: str) -> _Resource:
        resource = self._resources.get(name)
        if resource is None or resource.level != level:
            raise OrthancException(UNKNOWN_RESOURCE, "Unknown resource")
        return resource

    def _children(self, name: str) -> list[str]:
        return [child for child, resource in self._resources.items() if resource.parent == name]

    def _store(self, file: bytes, origin: str) -> dict[str, Any]:
        dataset = pydicom.dcmread(io.BytesIO(file))
        uids = [
            str(dataset.get(keyword, "")).strip()
            for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        ]
        names = [_identifier(uids[: depth + 1]) for depth in range(4)]
        known = names[-1] in self._resources
        if known and not self.overwrite_instances:
            return {"ID": names[-1], "Status": "AlreadyStored"}
        if known:
            self.delete(names[-1])
        for depth, (level, name) in enumerate(zip(_LEVELS, names, strict=True)):
            if name not in self._resources:
                tags = {keyword: str(dataset.get(keyword, "")) for keyword in _MAIN_TAGS[level]}
                parent = names[depth - 1] if depth else None
                self._resources[name] = _Resource(level=level, parent=parent, tags=tags)
                self._note(f"New{_NAMES[level]}", name)
        self._files[names[-1]] = file
        self._resources[names[-1]].metadata["Origin"] = origin.encode()
        return {"ID": names[-1], "Status": "Success"}

    def _drop(self, name: str) -> None:
        for child in self._children(name):
            self._drop(child)
        self._resources.pop(name)
        self._files.pop(name, None)
        self._changes = [change for change in self._changes if change["ID"] != name]

    def _note(self, kind: str, name: str) -> None:
        self._position += 1
        self._changes.append(
            {"Seq": self._position, "ChangeType": kind, "ID": name, "Date": "20240517T093015"}
        )


def _identifier(uids: list[str]) -> str:
    digest = hashlib.sha1("|".join(uids).encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


_ID = "([0-9a-f-]{44})"
_ROUTES: dict[str, tuple[tuple[str, Callable[..., Any]], ...]] = {
    "GET": (
        (r"/changes\?since=(\d+)&limit=(\d+)", FakeOrthanc._changes_since),
        (r"/changes\?last", FakeOrthanc._last_change),
        (r"/series\?since=(\d+)&limit=(\d+)", FakeOrthanc._series_page),
        (rf"/(patients|studies|series|instances)/{_ID}", FakeOrthanc._show),
        (rf"/(studies|series|instances)/{_ID}/(patient|study|series)", FakeOrthanc._ancestor),
        (rf"/(series|instances)/{_ID}/metadata", FakeOrthanc._metadata_names),
        (rf"/instances/{_ID}/metadata/SopClassUid", FakeOrthanc._sop_class),
        (rf"/instances/{_ID}/metadata/Origin", FakeOrthanc._origin),
        (rf"/series/{_ID}/metadata/(\w+)", FakeOrthanc._get_metadata),
        (r"/system", FakeOrthanc._system),
        (rf"/(studies|series)/{_ID}/labels", FakeOrthanc._labels),
        (rf"/instances/{_ID}/attachments/dicom/md5", FakeOrthanc._md5),
        (rf"/instances/{_ID}/attachments/dicom/size", FakeOrthanc._size),
        (rf"/instances/{_ID}/file", FakeOrthanc._file),
        (rf"/instances/{_ID}/simplified-tags", FakeOrthanc._simplified_tags),
    ),
    "POST": ((r"/instances", FakeOrthanc._post_instance),),
    "PUT": (
        (rf"/series/{_ID}/metadata/(\d+)", FakeOrthanc._put_metadata),
        (rf"/(studies|series)/{_ID}/labels/([\w-]+)", FakeOrthanc._put_label),
    ),
    "DELETE": (
        (rf"/(patients|studies|series|instances)/{_ID}", FakeOrthanc._delete_resource),
        (rf"/(studies|series)/{_ID}/labels/([\w-]+)", FakeOrthanc._delete_label),
    ),
}
