"""TLS to a real RabbitMQ that asks for a certificate: who is let in, who is trusted, what is said."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.fleet.rabbitmq import RabbitServer, Tls, program
from plugin.engine_settings import CelerySettings
from plugin.settings import SettingsError
from tests.certificates import Authority, Pair

broker = pytest.importorskip(
    "plugin.remote.broker", reason="the engine celery is not installed", exc_type=ImportError
)
tls = pytest.importorskip("plugin.remote.tls", exc_type=ImportError)

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "Somebody else")


@pytest.fixture(scope="module")
def own(authority: Authority) -> Pair:
    return authority.issue("workers")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[RabbitServer]:
    script = program()
    if script is None:
        pytest.skip("RabbitMQ is not installed")
    pair = authority.issue(HOST)
    made = RabbitServer(script, Tls(authority=authority.file, certificate=pair.certificate, key=pair.key))
    made.start()
    yield made
    made.remove()


@pytest.fixture
def connect(server: RabbitServer, authority: Authority, own: Pair) -> Callable[..., dict[str, int]]:
    """Connects with these settings instead of those that are right; how many messages wait by queue."""

    def with_(**wrong: object) -> dict[str, int]:
        right = {
            "BrokerUrl": server.url,
            "CaFile": str(authority.file),
            "CertificateFile": str(own.certificate),
            "KeyFile": str(own.key),
        }
        app = broker.make_app(CelerySettings.model_validate({**right, **wrong}))
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            return dict(broker.count_ready(connection))

    return with_


def _why_not(connect: Callable[..., object], **wrong: object) -> str:
    with pytest.raises(broker.BROKER_ERRORS) as refused:
        connect(**wrong)
    return str(tls.broker_trouble(refused.value))


def test_both_sides_know_each_other(connect: Callable[..., dict[str, int]]) -> None:
    assert connect() == {"rx-jobs": 0, "ct-jobs": 0, "dead-jobs": 0}


def test_a_certificate_of_somebody_else_is_not_trusted(
    connect: Callable[..., object], stranger: Authority
) -> None:
    said = "the broker is not trusted: no authority of ChestAI.Celery.CaFile has signed its certificate"
    assert _why_not(connect, CaFile=str(stranger.file)) == said
    assert _why_not(connect, CaFile="") == said, "the system's authorities"


def test_a_certificate_for_another_name_is_not_trusted(
    connect: Callable[..., object], server: RabbitServer
) -> None:
    assert _why_not(connect, BrokerUrl=server.url.replace(HOST, "localhost")) == (
        "the broker is not trusted: its certificate is for another name than ChestAI.Celery.BrokerUrl has"
    )


def test_the_broker_lets_in_only_whom_its_authority_signed(
    connect: Callable[..., object], stranger: Authority
) -> None:
    said = "the broker refuses this side's certificate, or asks for one (ChestAI.Celery.CertificateFile)"
    assert _why_not(connect, CertificateFile="", KeyFile="") == said
    other = stranger.issue("workers")
    assert _why_not(connect, CertificateFile=str(other.certificate), KeyFile=str(other.key)) == said


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("guest:guest", "guest:wrong", "the broker refuses the user of ChestAI.Celery.BrokerUrl"),
        ("//", "//elsewhere", "the broker has no such virtual host"),
    ],
)
def test_a_wrong_password_and_a_wrong_virtual_host_are_told_apart(
    connect: Callable[..., object], server: RabbitServer, right: str, wrong: str, said: str
) -> None:
    start, _, end = server.url.rpartition(right)
    assert _why_not(connect, BrokerUrl=start + wrong + end).startswith(said)


def test_a_port_without_tls_is_said_to_be_one(connect: Callable[..., object], rabbit: RabbitServer) -> None:
    secure = rabbit.url.replace("amqp://", "amqps://")
    assert _why_not(connect, BrokerUrl=secure).startswith("the broker does not speak TLS on this port")


def test_a_key_may_be_in_the_same_file(
    connect: Callable[..., dict[str, int]], own: Pair, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    assert connect(CertificateFile=str(both), KeyFile="")


def test_files_that_cannot_be_used_are_named(tmp_path: Path, own: Pair, stranger: Authority) -> None:
    def refused(**files: object) -> str:
        settings = CelerySettings.model_validate(
            {"BrokerUrl": "amqps://rabbit/", **{key: str(file) for key, file in files.items()}}
        )
        with pytest.raises(SettingsError) as error:
            tls.tls(settings)
        return str(error.value)

    empty = tmp_path / "empty.pem"
    empty.write_text("")
    missing = refused(CaFile=tmp_path / "none.pem")
    assert (
        missing == f"ChestAI.Celery.CaFile: {tmp_path / 'none.pem'} cannot be read: No such file or directory"
    )
    assert refused(CaFile=empty) == f"ChestAI.Celery.CaFile: {empty}: not certificates"
    other = stranger.issue("workers").key
    assert "not a certificate and its key" in refused(CertificateFile=own.certificate, KeyFile=other)


def test_nothing_is_checked_where_nothing_is_encrypted() -> None:
    assert tls.tls(CelerySettings()) is None
    secure = CelerySettings.model_validate({"BrokerUrl": "amqps://u:p@rabbit.example:5671/v"})
    assert tls.tls(secure) == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbit.example"}
