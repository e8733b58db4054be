"""``python -m export publish``: a channel of models for hospitals, signed with the publisher's key.

``--new-key FOLDER`` writes ``publisher.pem``, which is kept secret, and ``publisher.pub.pem``, which each
site gets. ``--key publisher.pem --to CHANNEL MODEL ...`` adds today's versions of these models to a channel
and signs its list. What the channel already has stays, so that sites can go back.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from export.paths import ONNX_MODELS
from plugin.models.cards import read_card
from plugin.updates.channel import CARD, GRAPH, INDEX, SIGNATURE, Index, Version

SECRET, PUBLIC = "publisher.pem", "publisher.pub.pem"


def new_key(folder: Path) -> None:
    """Write a new pair of keys. Raises FileExistsError where there is one."""
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with os.fdopen(os.open(folder / SECRET, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    (folder / PUBLIC).write_bytes(public)


def publish(channel: Path, models: Iterable[Path], key: Path) -> Index:
    """Add the versions in these folders to a channel, and sign its list; the list.

    Raises ValueError where a version is already there with other files.
    """
    index = channel / INDEX
    known = Index.model_validate_json(index.read_bytes()) if index.exists() else None
    versions = list(known.models) if known else []
    for folder in models:
        version = _version(folder)
        same = [v for v in versions if (v.name, v.version) == (version.name, version.version)]
        if same and same != [version]:
            raise ValueError(f"{version.name} {version.version} is in the channel with other files")
        target = channel / version.name / version.version
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / CARD, target / CARD)
        shutil.copyfile(folder / GRAPH, target / GRAPH)
        if not same:
            versions.append(version)
    listed = Index(serial=known.serial + 1 if known else 1, models=tuple(versions))
    write_index(channel, listed, key)
    return listed


def write_index(channel: Path, listed: Index, key: Path) -> None:
    """Write and sign a channel's list. Raises ValueError where the key is no Ed25519 key."""
    secret = load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(secret, Ed25519PrivateKey):
        raise ValueError(f"{key} is no Ed25519 key")
    content = listed.model_dump_json(indent=1).encode()
    channel.mkdir(parents=True, exist_ok=True)
    (channel / INDEX).write_bytes(content)
    (channel / SIGNATURE).write_bytes(base64.b64encode(secret.sign(content)) + b"\n")


def _version(folder: Path) -> Version:
    card = read_card(folder)
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (CARD, GRAPH)]
    return Version(name=card.name, version=card.version, card=digests[0], graph=digests[1])


def main(arguments: Sequence[str]) -> None:
    """The command line of ``./run export publish``."""
    parser = argparse.ArgumentParser(prog="./run export publish", description=__doc__)
    parser.add_argument("model", nargs="*", help="of onnx_models")
    parser.add_argument("--new-key", type=Path, metavar="FOLDER")
    parser.add_argument("--key", type=Path)
    parser.add_argument("--to", type=Path, metavar="CHANNEL")
    given = parser.parse_args(arguments)
    if given.new_key is not None:
        new_key(given.new_key)
    elif given.key is None or given.to is None or not given.model:
        parser.error("give --new-key FOLDER, or --key, --to and the models")
    else:
        listed = publish(given.to, [ONNX_MODELS / name for name in given.model], given.key)
        print(f"{len(listed.models)} versions, serial number {listed.serial}")
