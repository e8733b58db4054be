"""A hospital with a channel of models behind a real https server, for the tests of updates."""

from __future__ import annotations

import functools
import http.server
import ssl
import threading
from pathlib import Path
from typing import Any

from export.publish import PUBLIC, SECRET, new_key, publish
from plugin.models.lineup import Lineup, load_lineup
from plugin.settings import Settings, read_settings
from plugin.updates.channel import Index
from plugin.updates.updater import Updater
from tests.certificates import Authority
from tests.tiny_models import FINDINGS, LUNG, write_segmenter

SHAPE = (4, 3, 64, 96)
NAME = "slices"


def model(folder: Path, version: str, least: float = 220.0) -> Path:
    """A version of a segmenter: findings are from so many HU on."""
    bands = [(LUNG, -2000.0, -400.0), (FINDINGS, least, 3000.0)]
    return write_segmenter(folder / version, NAME, shape=SHAPE, bands=bands, version=version)


class _Handler(http.server.SimpleHTTPRequestHandler):
    """A channel's files. ``cut``: answers of these names end in the middle."""

    cut: frozenset[str] = frozenset()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.path.rsplit("/", maxsplit=1)[-1] in self.cut:
            outputfile.write(source.read(100))
            return
        super().copyfile(source, outputfile)

    def log_message(self, *_arguments: object) -> None:
        """The tests' output is no place for it."""


class Site:
    """A hospital: its models, its keys, a channel behind https, and the updates of its plugin."""

    def __init__(self, folder: Path, **choice: Any) -> None:
        self.folder = folder
        self.models, self.channel = folder / "models", folder / "channel"
        model(folder, "1.0.0")
        self.models.mkdir()
        (folder / "1.0.0" / NAME).rename(self.models / NAME)
        self.channel.mkdir()
        new_key(folder)
        authority = Authority(folder / "tls")
        pair = authority.issue("127.0.0.1")
        handler = type("Handler", (_Handler,), {})
        self.handler = handler
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=str(self.channel))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.choice = {
            "Xray": [],
            "CtReject": "",
            "CtAxial": [],
            "CtSagittal": [],
            "CtSegmentation": NAME,
            "Channel": f"https://127.0.0.1:{self.server.server_port}/",
            "ChannelKey": str(folder / PUBLIC),
            "ChannelAuthorities": str(authority.file),
            "ChannelFolder": str(folder / "shelf"),
            "ShadowSeries": 3,
        } | choice
        self.lineup = Lineup()
        self.updates = self.begin()

    @property
    def settings(self) -> Settings:
        section = {"ModelsFolder": str(self.models), "Models": self.choice, "Provider": "cpu", "Niceness": 0}
        return read_settings({"ChestAI": section})

    def begin(self) -> Updater:
        """As Orthanc's start does it."""

        def exchange() -> None:
            self.lineup = load_lineup(self.settings, updates.installed)

        updates = Updater(self.settings, lineup=lambda: self.lineup, exchange=exchange, busy=lambda: False)
        exchange()
        return updates

    def publish(self, version: str, least: float = 220.0) -> Index:
        """Put a version into the channel."""
        folder = self.folder / version / NAME
        made = folder if folder.is_dir() else model(self.folder, version, least)
        return publish(self.channel, [made], self.folder / SECRET)

    def told(self) -> dict[str, Any]:
        self.updates.check()
        return self.updates.told(NAME) or {}

    @property
    def version(self) -> str:
        """The version in use."""
        (used,) = self.lineup.models
        return used.card.version

    @property
    def shelf(self) -> list[str]:
        """What lies on the shelf."""
        return sorted(path.name for path in (self.folder / "shelf").glob("*/*"))
