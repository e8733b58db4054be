"""Orthanc's REST API as a worker uses it: the same answers as the SDK's, users, TLS, and patience."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demo.server import ORTHANC
from plugin.domain.errors import NoRoom, NotHeld, TooLarge
from plugin.domain.kinds import State
from plugin.domain.outcome import Outcome
from plugin.engine_settings import OrthancAccess
from plugin.orthanc_api import OrthancApi
from tests.conftest import Pacs
from tests.dicom_factory import as_file, ct_series
from tests.fake_pacs import FakeOrthanc

http = pytest.importorskip("plugin.remote.http", reason="Celery is not installed", exc_type=ImportError)

NOBODY = "00000000-00000000-00000000-00000000-00000000"


class TlsProxy:
    """TLS in front of a plain server, as a site's reverse proxy speaks it."""

    def __init__(self, certificate: Path, port: int) -> None:
        """``port``: the plain server's, on loopback."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))

        class Forward(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with (
                    contextlib.suppress(OSError),
                    context.wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection(("127.0.0.1", port)) as plain,
                ):
                    threading.Thread(target=_pump, args=(plain, client), daemon=True).start()
                    _pump(client, plain)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward)
        self._server.daemon_threads = True
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, beside its key."""
    folder = tmp_path_factory.mktemp("tls")
    options = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    key, own = folder / "key.pem", folder / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-keyout", str(key), "-out", str(own)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return own


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """A running Orthanc without the plugin that asks for a password."""
    if not Path(ORTHANC).exists():
        pytest.skip("Orthanc is not installed")
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"worker": "secret"}, "Plugins": []}
    pacs = Pacs(tmp_path_factory.mktemp("pacs"), orthanc=users)
    pacs.start()
    yield pacs
    pacs.kill()


@pytest.fixture(scope="module")
def url(server: Pacs, certificate: Path) -> Iterator[str]:
    """That Orthanc over TLS."""
    proxy = TlsProxy(certificate, server.http_port)
    yield proxy.url
    proxy.close()


def _remote(url: str, certificate: Path, **options: object) -> OrthancApi:
    section = {"Url": url, "User": "worker", "Password": "secret"}
    access = OrthancAccess.model_validate({**section, "CaFile": str(certificate), **options})
    return http.RemotePacs(access, identity="site", series_metadata=4207, max_instance_mb=1)


def test_the_same_answers_as_inside_orthanc(url: str, certificate: Path, fake: FakeOrthanc) -> None:
    """What the SDK answers is what Orthanc's REST API answers, call for call."""
    files = [as_file(slice_) for slice_ in ct_series()]
    series = fake.add(*files)
    inside, remote = fake.pacs, _remote(url, certificate)
    stored = [remote.store(file) for file in files]
    assert sorted(stored) == sorted(inside.series(series).instances)
    here, there = inside.series(series), remote.series(series)
    assert (there.study, there.series_uid, there.modality) == (here.study, here.series_uid, here.modality)
    assert set(there.instances) == set(here.instances)
    assert remote.content(there) == inside.content(here)
    assert remote.read_instance(stored[0]) == files[0]
    assert remote.source(there).read(stored[1]) == files[1]
    assert remote.tags(stored[0])["Modality"] == "CT"
    assert [sibling.series for sibling in remote.siblings(there)] == [series]
    assert not remote.is_copy(series)
    assert remote.identity() == "site"
    assert remote.outcome(series) is None
    outcome = Outcome(state=State.DONE, series=series, content="c", recipe="r")
    remote.keep_outcome(series, outcome)
    assert remote.outcome(series) == outcome
    assert remote.other_outcomes(series) == []
    assert remote.store(files[0]) == stored[0], "the same again is the same"
    for instance in stored:
        remote.delete_instance(instance)
        remote.delete_instance(instance)
    assert not remote.has_series(series)


def test_what_is_not_there_and_what_is_too_large(url: str, certificate: Path) -> None:
    remote = _remote(url, certificate)
    with pytest.raises(NotHeld):
        remote.series(NOBODY)
    with pytest.raises(OSError, match="did not store a result"):
        remote.store(b"no DICOM")
    with pytest.raises(NotHeld):
        remote.keep_outcome(NOBODY, Outcome(state=State.DONE))
    large = ct_series()[0]
    large.add_new(0x00091001, "OB", bytes(2 << 20))
    instance = remote.store(as_file(large))
    with pytest.raises(TooLarge, match="the limit is 1 MiB"):
        remote.read_instance(instance)
    remote.delete_instance(instance)


def test_a_wrong_password_and_a_stranger_are_told_apart(url: str, certificate: Path) -> None:
    with pytest.raises(OSError, match="refuses this worker's user") as refused:
        _remote(url, certificate, Password="wrong").series(NOBODY)
    assert "wrong" not in str(refused.value)
    with pytest.raises(OSError, match="does not answer") as stranger:
        _remote(url, certificate, CaFile="").series(NOBODY)
    assert "certificate" in str(stranger.value).lower()
    with pytest.raises(OSError, match="there is no file"):
        _remote(url, certificate, CaFile="/nowhere.pem")


def test_a_restart_is_waited_for(server: Pacs, url: str, certificate: Path) -> None:
    remote = _remote(url, certificate)
    file = as_file(ct_series()[0])
    server.stop()
    starter = threading.Timer(1.5, server.start)
    starter.start()
    try:
        instance = remote.store(file)
    finally:
        starter.join()
    assert remote.read_instance(instance) == file


@pytest.fixture
def answering() -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """A server that answers every request with the first of these, a status and a body; its URL."""
    answers: list[tuple[int, bytes]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "told"),
    [
        # As Orthanc 1.10.1 answers: a full tmpfs, a full ext4, a full disk of the index, MaximumStorageSize.
        (500, {"OrthancError": "Cannot write to file", "OrthancStatus": 14}),
        (
            500,
            {
                "Details": "Error while accessing the filesystem: /var/lib/orthanc/db/5d",
                "OrthancError": "Internal error",
                "OrthancStatus": -1,
            },
        ),
        (500, {"OrthancError": "SQLite: Cannot run a cached statement", "OrthancStatus": 1009}),
        (500, {"OrthancError": "The file storage is full", "OrthancStatus": 19}),
        # As its source has it from 1.11.2 on, with MaximumStorageMode "Reject"; without HttpDescribeErrors.
        (507, None),
    ],
)
def test_an_orthanc_without_room_is_known_by_its_answer(
    answering: tuple[str, list[tuple[int, bytes]]], status: int, told: dict[str, object] | None
) -> None:
    url, answers = answering
    remote = _remote(url, Path(), CaFile="")
    answers.append((status, b"" if told is None else json.dumps(told).encode()))
    with pytest.raises(NoRoom, match=str(told["OrthancError"]) if told else "507"):
        remote.store(b"a file")
    answers[0] = (400, b'{"OrthancError": "Bad file format", "OrthancStatus": 15}')
    with pytest.raises(OSError, match="Bad file format") as refused:
        remote.store(b"a file")
    assert not isinstance(refused.value, NoRoom)
