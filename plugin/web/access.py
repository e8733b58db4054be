"""Who may ask: what Orthanc's configuration lets in, and which requests of browsers are another site's."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PUBLISHED_PASSWORDS = {("orthanc", "orthanc"), ("alice", "alicePassword"), ("alice", "orthanctest")}
"""Users that Orthanc makes by itself, or that its samples show: everybody knows them."""


def asks_for_passwords(configuration: Mapping[str, Any]) -> bool:
    """Whether Orthanc asks every client for a password.

    Where ``AuthenticationEnabled`` is not set, Orthanc (since 1.5.8) does so with remote access only.
    """
    remote = bool(configuration.get("RemoteAccessAllowed", False))
    return bool(configuration.get("AuthenticationEnabled", remote))


def why_unprotected(configuration: Mapping[str, Any]) -> str | None:
    """Why anybody in the network gets into Orthanc; None where only this machine or its users do.

    With remote access and authentication but no ``RegisteredUsers`` Orthanc 1.5.8 to 1.12.11 lets in
    ``orthanc`` with the password ``orthanc``; up to 1.12.8 also where ``RegisteredUsers`` is empty.
    """
    if not configuration.get("RemoteAccessAllowed", False):
        return None
    if not asks_for_passwords(configuration):
        return "Orthanc answers remote hosts without asking for a password: set AuthenticationEnabled"
    users = configuration.get("RegisteredUsers") or {}
    if not users:
        return (
            "Orthanc answers remote hosts and no user is registered, so that everybody may be orthanc:orthanc"
        )
    known = [name for name, password in users.items() if (name, password) in PUBLISHED_PASSWORDS]
    if known:
        return f"Orthanc answers remote hosts and the password of {', '.join(known)} is the published one"
    empty = [name for name, password in users.items() if not password]
    if empty:
        return f"Orthanc answers remote hosts and the password of {', '.join(empty)} is empty"
    return None


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Keeps out what a page of another site makes a browser ask, which sits where the user sits.

    ``any_host``: requests may name any host, for a password is asked of all. Otherwise a name that
    somebody else's DNS can point here is refused, or a page under that name would be one of our own
    (DNS rebinding). ``hosts``: names that the site answers to, lower case, without a port.
    """

    any_host: bool
    hosts: Collection[str] = ()

    def refusal(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Why a request is refused; None where it is let in. ``headers`` by name in lower case."""
        host = headers.get("host", "")
        if not (self.any_host or self._is_ours(host)):
            return (
                f"Orthanc is not known as {_name(host)}: the setting AllowedHosts names what it is known as"
            )
        if method != "GET" and self._is_foreign(host, headers):
            page = headers.get("origin", "another site")
            return f"a page of {page} may not ask for this: the setting AllowedHosts names whose pages may"
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether no foreign DNS can have led here: an address, a bare name, this machine's own, or set."""
        name = _name(host)
        if "." not in name or name.endswith(".localhost"):
            return True  # also without a host: Orthanc's own plugins ask so
        return _is_address(name) or name == socket.gethostname().lower() or name in self.hosts

    def _is_foreign(self, host: str, headers: Mapping[str, str]) -> bool:
        """Whether a browser asks for a page of another origin (Fetch Standard, Sec-Fetch-Site and Origin).

        Programs other than browsers send neither header. Browsers leave out Sec-Fetch-Site where the
        connection is no secure one; then the origin must be the host that is asked.
        """
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site in ("same-origin", "none") or (origin is None and site is None):
            return False
        asking = urlsplit(origin or "")
        if asking.netloc and _name(asking.netloc) in self.hosts:
            return False
        return site is not None or asking.netloc.lower() != host.lower()


def _name(host: str) -> str:
    """The name or address in a Host header, in lower case: without port, brackets and final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
