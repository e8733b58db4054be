"""Orthanc over HTTP, for a worker on another machine: users, TLS, and patience with a restart."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any, Self

import urllib3

from plugin.domain.errors import NotHeld
from plugin.engine_settings import OrthancAccess
from plugin.orthanc_api import OrthancApi
from plugin.transport import FULL_STORAGE, refusal

_CONNECT_SECONDS = 10.0
_LONGEST_PAUSE = 10.0

_RETRIES = 8
"""How often a request is sent again that got no answer: with the pauses, Orthanc may be away for 45 s.

Every request of the plugin may be sent twice: it stores, keeps or deletes the same a second time.
"""


_FULL = 507
"""Insufficient Storage (RFC 4918 Section 11.5): Orthanc from 1.11.2 on has reached a limit of its own."""

_NO_FOLDER = "Error while accessing the filesystem"
"""What Orthanc says where it cannot make a folder for a file, such as on a full disk."""


class Http:
    """Requests over HTTP or HTTPS (:class:`plugin.transport.Transport`). Safe from several threads."""

    def __init__(self, access: OrthancAccess) -> None:
        """``access``: where Orthanc is, as whom to ask, and whose certificates to trust.

        Raises OSError where the file of certificates cannot be read.
        """
        if access.ca_file and not Path(access.ca_file).is_file():
            raise OSError(f"ChestAI.Orthanc.CaFile: there is no file {access.ca_file}")
        self._url = access.url.rstrip("/")
        self._headers = {}
        if access.user:
            self._headers = urllib3.make_headers(basic_auth=f"{access.user}:{access.password}")
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED",
            ca_certs=access.ca_file or None,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=access.timeout_seconds),
            retries=_Patience(
                total=_RETRIES,
                redirect=0,
                status_forcelist=(502, 503, 504),
                allowed_methods=None,
                backoff_factor=0.5,
                backoff_max=_LONGEST_PAUSE,
                raise_on_status=False,
            ),
        )

    def get(self, uri: str) -> bytes:
        """GET."""
        return self._request("GET", uri)

    def post(self, uri: str, body: bytes) -> bytes:
        """POST."""
        return self._request("POST", uri, body)

    def put(self, uri: str, body: bytes) -> bytes:
        """PUT."""
        return self._request("PUT", uri, body)

    def delete(self, uri: str) -> None:
        """DELETE."""
        self._request("DELETE", uri)

    def _request(self, method: str, uri: str, body: bytes | None = None) -> bytes:
        try:
            answer = self._pool.request(method, self._url + uri, body=body, headers=self._headers)
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"Orthanc does not answer {uri}: {_reason(error)}") from error
        if answer.status == 404:
            raise NotHeld(f"Orthanc does not hold {uri}")
        if answer.status in (401, 403):
            raise OSError(f"Orthanc refuses this worker's user (ChestAI.Orthanc): {answer.status} for {uri}")
        if answer.status != 200:
            raise _refusal(uri, answer.status, answer.data)
        return answer.data


class _Patience(urllib3.Retry):
    """Waits for what a restart mends, not for a certificate that is not trusted."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        """The retries that are left. Raises MaxRetryError where there are none, or none would help."""
        if error is not None and isinstance(next(iter(error.args), None), ssl.SSLCertVerificationError):
            raise urllib3.exceptions.MaxRetryError(_pool, url or "", error) from error
        return super().increment(method, url, response, error, _pool, _stacktrace)


class RemotePacs(OrthancApi):
    """An Orthanc elsewhere (:class:`plugin.domain.pacs.Pacs`)."""

    def __init__(
        self, access: OrthancAccess, *, identity: str | None, series_metadata: int, max_instance_mb: int
    ) -> None:
        """``identity``: what tells this Orthanc from others; its REST API does not say it."""
        super().__init__(Http(access), series_metadata=series_metadata, max_instance_mb=max_instance_mb)
        self._identity = identity

    def identity(self) -> str | None:
        """What tells this Orthanc from others."""
        return self._identity


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """What went wrong, without the frames of retries around it."""
    return str(getattr(error, "reason", None) or error)


def _refusal(uri: str, status: int, body: bytes) -> Exception:
    """What to raise for an answer other than 200."""
    told = _details(body)
    words = ": ".join(str(told[key]) for key in ("OrthancError", "Details") if told.get(key))
    full = status == _FULL or _NO_FOLDER in words
    code = FULL_STORAGE if full else told.get("OrthancStatus")
    return refusal(uri, code, f"{status} {words or told.get('Message', '')}".strip())


def _details(body: bytes) -> dict[str, Any]:
    """What Orthanc tells of a refusal, where it does (HttpDescribeErrors)."""
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
