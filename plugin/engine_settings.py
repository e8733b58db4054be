"""The settings of the engine "celery": its broker, its limits, and how its workers reach Orthanc."""

from __future__ import annotations

from pydantic import Field

from plugin.section import Section


class CelerySettings(Section):
    """The broker of the engine ``celery``, and how long its workers may take."""

    broker_url: str = Field(
        default="amqp://guest:guest@127.0.0.1:5672//",
        description="RabbitMQ, as `amqp://user:password@host:port/vhost`; `amqps://` for TLS",
    )
    ca_file: str = Field(
        default="", description="certificates to trust the broker by; empty means the system's"
    )
    certificate_file: str = Field(
        default="",
        description="certificate to show to a broker that asks for one, a PEM file; empty: none",
    )
    key_file: str = Field(
        default="", description="its key, without a password; empty means that it is in the same file"
    )
    time_limit_seconds: int = Field(
        default=1500, ge=10, description="a reading that takes longer is stopped, and tried again"
    )
    grace_seconds: int = Field(
        default=30,
        ge=1,
        description="a worker that is told to stop gives its series back if it has not finished by then",
    )


class OrthancAccess(Section):
    """How a worker elsewhere reaches Orthanc."""

    url: str = Field(default="http://127.0.0.1:8042", description="Orthanc's REST API, as workers reach it")
    user: str = Field(default="", description="one of Orthanc's users; empty where no password is asked for")
    password: str = Field(default="", description="that user's password")
    ca_file: str = Field(default="", description="certificates to trust Orthanc by; empty means the system's")
    timeout_seconds: float = Field(default=60, ge=1, description="how long a worker waits for an answer")
