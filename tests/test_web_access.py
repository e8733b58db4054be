"""Whom Orthanc's configuration lets in, and which requests of a browser are another site's."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from plugin.web.access import Guard, asks_for_passwords, why_unprotected

REMOTE = {"RemoteAccessAllowed": True}
OWN = {"RegisteredUsers": {"mary": "s3cret"}}


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"AuthenticationEnabled": False},
        {"RegisteredUsers": {"orthanc": "orthanc"}},
        REMOTE | OWN,
        REMOTE | OWN | {"AuthenticationEnabled": True},
    ],
)
def test_only_this_machine_or_its_users(configuration: dict[str, Any]) -> None:
    assert why_unprotected(configuration) is None


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        (REMOTE | OWN | {"AuthenticationEnabled": False}, "without asking for a password"),
        (REMOTE, "no user is registered"),
        (REMOTE | {"AuthenticationEnabled": True}, "no user is registered"),
        (REMOTE | {"RegisteredUsers": {}}, "no user is registered"),
        (
            REMOTE | {"RegisteredUsers": {"mary": "s3cret", "orthanc": "orthanc"}},
            "password of orthanc is the",
        ),
        (REMOTE | {"RegisteredUsers": {"alice": "alicePassword"}}, "password of alice is the published"),
        (REMOTE | {"RegisteredUsers": {"mary": ""}}, "password of mary is empty"),
    ],
)
def test_anybody_gets_in(configuration: dict[str, Any], words: str) -> None:
    why = why_unprotected(configuration)
    assert why is not None
    assert words in why
    assert "s3cret" not in why


def test_orthanc_asks_for_passwords_where_it_is_told_to_or_is_remote() -> None:
    assert not asks_for_passwords({})
    assert asks_for_passwords(REMOTE)
    assert asks_for_passwords({"AuthenticationEnabled": True})
    assert not asks_for_passwords(REMOTE | {"AuthenticationEnabled": False})


OPEN = Guard(any_host=False, hosts={"pacs.example.org"})
PASSWORDS = Guard(any_host=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8042",
        "[::1]:8042",
        "192.168.1.9",
        "localhost:8042",
        "LOCALHOST",
        "ai.localhost:8042",
        "orthanc:8042",
        "pacs.example.org",
        "PACS.example.org.:443",
        "",
    ],
)
def test_hosts_that_no_foreign_name_server_speaks_for(host: str) -> None:
    for method in ("GET", "POST"):
        assert OPEN.refusal(method, {"host": host}) is None


@pytest.mark.parametrize("host", ["evil.example.com:8042", "127.0.0.1.nip.io", "localhost.evil.com", "1.2.3"])
def test_a_name_that_may_be_anybodys_is_refused(host: str) -> None:
    """DNS rebinding: its page would be of the same origin as the answers."""
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    for method in ("GET", "POST"):
        refusal = OPEN.refusal(method, headers)
        assert refusal is not None
        assert "AllowedHosts" in refusal
    # Its browser has no password for that name.
    assert PASSWORDS.refusal("POST", headers) is None


def test_the_machines_own_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Pacs1.Hospital.example")
    assert OPEN.refusal("GET", {"host": "pacs1.hospital.example:8042"}) is None


@pytest.mark.parametrize("guard", [OPEN, PASSWORDS])
@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, scripts, monitoring
        {"user-agent": "curl/8.0"},
        {"origin": "http://127.0.0.1:8042"},
        {"origin": "http://127.0.0.1:8042", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_programs_and_orthancs_own_pages_may_ask(guard: Guard, headers: dict[str, str]) -> None:
    assert guard.refusal("POST", {"host": "127.0.0.1:8042", **headers}) is None


@pytest.mark.parametrize("guard", [OPEN, PASSWORDS])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "https://evil.example.com", "sec-fetch-site": "cross-site"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:9000", "sec-fetch-site": "same-site"},
        {"origin": "http://127.0.0.1:9000"},
        {"origin": "https://pacs.example.org.evil.com"},
        {"origin": "https://evil.com#pacs.example.org"},
    ],
)
def test_another_sites_page_may_not_change_anything(guard: Guard, headers: dict[str, str]) -> None:
    asked = {"host": "127.0.0.1:8042", **headers}
    refusal = guard.refusal("POST", asked)
    assert refusal is not None
    assert "AllowedHosts" in refusal
    # It may ask for what it cannot read: its browser keeps the answer from it.
    assert guard.refusal("GET", asked) is None


def test_behind_a_proxy_the_browsers_name_for_it_is_allowed() -> None:
    by_proxy = {"host": "orthanc:8042", "origin": "https://pacs.example.org"}
    assert OPEN.refusal("POST", by_proxy) is None
    assert OPEN.refusal("POST", by_proxy | {"sec-fetch-site": "same-site"}) is None
    kept_host = {"host": "pacs.example.org", "origin": "https://pacs.example.org"}
    assert PASSWORDS.refusal("POST", kept_host) is None
    secure = {"host": "orthanc:8042", "origin": "https://any.org", "sec-fetch-site": "same-origin"}
    assert PASSWORDS.refusal("POST", secure) is None
