"""TLS to the broker, and what keeps a connection to it from being made, in words for an administrator."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, NotAllowed

from plugin.engine_settings import CelerySettings
from plugin.settings import SettingsError

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
_UNKNOWN_ISSUERS = {2, 18, 19, 20, 21}
"""OpenSSL's codes for what is wrong with a certificate (x509_vfy.h, X509_V_ERR_...)."""

_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
"""OpenSSL's reasons where the other side does not answer in TLS at all."""


def tls(settings: CelerySettings) -> dict[str, Any] | None:
    """How py-amqp is to check the broker's certificate and to show its own; None where nothing is encrypted.

    Raises SettingsError for files that cannot be used.
    """
    address = urlsplit(settings.broker_url)
    if address.scheme != "amqps":
        return None
    options = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": address.hostname}
    if settings.ca_file:
        _check("CaFile", settings.ca_file)
        options["ca_certs"] = settings.ca_file
    if settings.certificate_file:
        _check("CertificateFile", settings.certificate_file, settings.key_file)
        options |= {"certfile": settings.certificate_file, "keyfile": settings.key_file or None}
    return options


def _check(setting: str, *files: str) -> None:
    """Load what a connection would load. Raises SettingsError."""
    named = [file for file in files if file]
    try:
        for file in named:
            Path(file).read_bytes()
        context = ssl.create_default_context()
        if setting == "CaFile":
            context.load_verify_locations(named[0])
        else:
            context.load_cert_chain(named[0], named[-1], password=lambda: "")
    except (ssl.SSLError, ValueError) as error:  # the first is an OSError, too
        told = "certificates" if setting == "CaFile" else "a certificate and its key without a password"
        raise SettingsError(f"ChestAI.Celery.{setting}: {' and '.join(named)}: not {told}") from error
    except OSError as error:
        what = f"{error.filename} cannot be read: {error.strerror}"
        raise SettingsError(f"ChestAI.Celery.{setting}: {what}") from error


def broker_trouble(error: BaseException) -> str:
    """Why the broker cannot be used, in one sentence without a full stop."""
    causes = list(_causes(error))
    return next((told for cause in causes if (told := _said(cause))), None) or (
        f"the broker cannot be used: {error or type(error).__name__}"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised for: kombu wraps what py-amqp raises."""
    while error is not None:
        yield error
        error = error.__cause__


def _said(error: BaseException) -> str | None:
    told = None
    if isinstance(error, ssl.SSLCertVerificationError):
        told = f"the broker is not trusted: {_certificate(error)}"
    elif isinstance(error, ssl.SSLError):
        told = _tls_trouble(error)
    elif isinstance(error, AccessRefused):
        told = "the broker refuses the user of ChestAI.Celery.BrokerUrl, the password, or what that user asks"
    elif isinstance(error, NotAllowed):
        told = "the broker has no such virtual host as ChestAI.Celery.BrokerUrl names, or not for this user"
    return told


def _tls_trouble(error: ssl.SSLError) -> str | None:
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return "the broker does not speak TLS on this port: amqps:// needs its TLS port, 5671 as a rule"
    if "ALERT" in reason or isinstance(error, ssl.SSLEOFError):  # whichever of the two arrives first
        return "the broker refuses this side's certificate, or asks for one (ChestAI.Celery.CertificateFile)"
    return None


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _EXPIRED:
        return "its certificate, or that of its authority, has expired"
    if error.verify_code == _NOT_YET_VALID:
        return "its certificate is not valid yet: is the clock of this machine right?"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "its certificate is for another name than ChestAI.Celery.BrokerUrl has"
    if error.verify_code in _UNKNOWN_ISSUERS:
        return "no authority of ChestAI.Celery.CaFile has signed its certificate"
    return f"its certificate is refused: {error.verify_message}"
