"""A channel: a folder, or an https address, with signed versions of models.

``channel.json`` lists every version with the SHA-256 of its files; ``channel.json.sig`` is the publisher's
Ed25519 signature (RFC 8032) of its very bytes, in base64. A version lies in ``<name>/<version>/``. As the
list is signed and names the digests, nothing that it does not list can come in or take another's place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Annotated

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plugin.domain.errors import first_line

INDEX, SIGNATURE = "channel.json", "channel.json.sig"
CARD, GRAPH = "card.json", "model.onnx"

_LARGEST_INDEX = 1 << 20
LARGEST_FILE = 1 << 30
_TIMEOUT = 30.0
"""Seconds without an answer after which a connection is lost."""
_CHUNK = 1 << 20

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ChannelError(Exception):
    """Why the channel, or a version in it, cannot be used, in one line."""


class Version(BaseModel):
    """A version of a model: its name, its number, the SHA-256 of its card and of its graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")
    version: str = Field(pattern=r"^\d{1,6}\.\d{1,6}\.\d{1,6}$")
    card: Digest
    graph: Digest

    @property
    def number(self) -> tuple[int, ...]:
        """What tells an older version from a newer one."""
        return number(self.version)


class Index(BaseModel):
    """What a channel has. ``serial`` grows with every list, so that an old one is not taken for a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serial: int = Field(ge=1)
    models: tuple[Version, ...] = Field(max_length=1000)


def number(version: str) -> tuple[int, ...]:
    """A version such as ``1.10.0`` so that versions compare."""
    return tuple(int(part) for part in version.split("."))


class Channel:
    """Reads a channel and believes only what its publisher's key has signed."""

    def __init__(self, address: str, *, key: Path, authorities: Path | None = None) -> None:
        """``address``: a folder or an https URL; ``key``: the publisher's public key, a PEM file;
        ``authorities``: certificates that https trusts instead of the system's, for a site of its own."""
        self._key = key
        self._open: Callable[[str], IO[bytes]] = _opener(address, authorities)

    def index(self) -> Index:
        """The signed list. Raises ChannelError."""
        content = self._read(INDEX)
        _check(content, self._read(SIGNATURE), _public(self._key))
        try:
            return Index.model_validate_json(content)
        except ValidationError as error:
            raise ChannelError(f"{INDEX} is no list of models: {error.errors()[0]['msg']}") from error

    def fetch(self, version: Version, folder: Path, progress: Callable[[], None] = lambda: None) -> None:
        """Write the files of a version into a folder that exists.

        ``progress`` is called between pieces; what it raises ends the fetching. Raises ChannelError where a
        file cannot be had or is another than the list says, OSError where it cannot be written.
        """
        for name, digest in ((CARD, version.card), (GRAPH, version.graph)):
            self._fetch(f"{version.name}/{version.version}/{name}", folder / name, digest, progress)

    def _fetch(self, path: str, target: Path, digest: str, progress: Callable[[], None]) -> None:
        seen, size = hashlib.sha256(), 0
        with closing(self._reached(path)) as source, target.open("xb") as file:
            while piece := _piece(source, path):
                size += len(piece)
                if size > LARGEST_FILE:
                    raise ChannelError(f"{path} has more than {LARGEST_FILE >> 20} MiB")
                seen.update(piece)
                file.write(piece)
                progress()
        if seen.hexdigest() != digest:
            raise ChannelError(
                f"{path} has SHA-256 {seen.hexdigest()[:12]}…, the signed list says {digest[:12]}…"
            )

    def _read(self, path: str) -> bytes:
        with closing(self._reached(path)) as source:
            content = b""
            while piece := _piece(source, path):
                content += piece
                if len(content) > _LARGEST_INDEX:
                    raise ChannelError(f"{path} has more than {_LARGEST_INDEX >> 10} KiB")
        return content

    def _reached(self, path: str) -> IO[bytes]:
        try:
            return self._open(path)
        except (OSError, http.client.HTTPException) as error:
            raise ChannelError(f"{path} cannot be had: {_why(error)}") from error


def _piece(source: IO[bytes], path: str) -> bytes:
    try:
        return source.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise ChannelError(f"{path} broke off: {_why(error)}") from error


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return first_line(reason) if isinstance(reason, Exception) else str(reason)


def _check(content: bytes, signature: bytes, key: Ed25519PublicKey) -> None:
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise ChannelError(f"{INDEX} is not signed with the publisher's key") from error


def _public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ChannelError(f"the publisher's key cannot be read: {first_line(error)}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ChannelError("the publisher's key is no Ed25519 key")
    return key


def _opener(address: str, authorities: Path | None) -> Callable[[str], IO[bytes]]:
    """What opens a file of the channel by its path."""
    if not address.startswith("https://"):
        folder = Path(address)
        return lambda path: (folder / path).open("rb")
    base = address.rstrip("/")

    def opened(path: str) -> IO[bytes]:
        try:
            context = ssl.create_default_context(cafile=authorities)
        except OSError as error:
            raise ChannelError(f"Models.ChannelAuthorities cannot be read: {first_line(error)}") from error
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Stays())
        answer: IO[bytes] = opener.open(f"{base}/{path}", timeout=_TIMEOUT)
        return _Whole(answer)  # type: ignore[return-value] # as much of a stream as is read here

    return opened


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https alone."""

    def redirect_request(self, *arguments: object, **named: object) -> urllib.request.Request | None:
        target = arguments[-1] if arguments else named.get("newurl")
        if not re.match(r"https://", str(target)):
            raise urllib.error.URLError("it is redirected to an address without https")
        return super().redirect_request(*arguments, **named)  # type: ignore[arg-type]


class _Whole:
    """An answer that ends before it has the length that it said is an error, not a shorter file."""

    def __init__(self, answer: IO[bytes]) -> None:
        length = answer.headers.get("Content-Length")  # type: ignore[attr-defined]
        self._answer = answer
        self._left = int(length) if length is not None else None

    def read(self, size: int) -> bytes:
        piece = self._answer.read(size)
        if self._left is not None:
            self._left -= len(piece)
            if not piece and self._left > 0:
                raise http.client.IncompleteRead(b"", self._left)
        return piece

    def close(self) -> None:
        self._answer.close()
