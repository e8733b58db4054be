"""What Orthanc loads never raises: whatever is wrong is said on the status route."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import plugin
from tests.fake_pacs import FakeOrthanc
from tests.test_web_routes import Output

Register = Callable[..., None]


class Loading:
    """Orthanc while it loads its script: the configuration, and what the script registers."""

    def __init__(self, orthanc: FakeOrthanc) -> None:
        self.configuration: dict[str, Any] = {}
        self.errors: list[str] = []
        self.routes: dict[str, Callable[..., None]] = {}
        self.on_change: list[Callable[..., None]] = []
        changes = ("ORTHANC_STARTED", "ORTHANC_STOPPED", "STABLE_SERIES", "DELETED")
        for name, value in {
            "ChangeType": types.SimpleNamespace(**{change: change for change in changes}),
            "ResourceType": types.SimpleNamespace(SERIES="series", INSTANCE="instance"),
            "GetConfiguration": lambda: json.dumps(self.configuration),
            "LogError": self.errors.append,
            "RegisterRestCallback": self.routes.__setitem__,
            "RegisterOnChangeCallback": self.on_change.append,
        }.items():
            setattr(orthanc, name, value)

    def ask(self, uri: str, method: str = "GET") -> tuple[int, Any]:
        """The answer to a request under /ai."""
        ((pattern, callback),) = self.routes.items()
        assert pattern == "/ai(/.*)?"
        output = Output()
        callback(output, uri, method=method, headers={}, get={})
        return output.status, json.loads(output.body)


@pytest.fixture
def loading(fake: FakeOrthanc, monkeypatch: pytest.MonkeyPatch) -> Loading:
    monkeypatch.delattr(plugin, "pacs", raising=False)  # the one that another test's Orthanc belongs to
    return Loading(fake)


@pytest.fixture
def register(loading: Loading, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """``plugin.main.register`` as Orthanc would call it, with the path as it was afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "plugin.main", raising=False)
    logger = logging.getLogger("plugin")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    yield importlib.import_module("plugin.main").register
    sys.modules.pop("plugin.main", None)


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ({"ChestAI": {"Treads": 2}}, "ChestAI.Treads"),
        ({"ChestAI": {"Enabled": False}}, "Enabled"),
        ({"ChestAI": {}, "ChestAi": {}}, "both ChestAI and ChestAi"),
        ({"RemoteAccessAllowed": True}, "orthanc:orthanc"),
        ({"RemoteAccessAllowed": True, "RegisteredUsers": {"orthanc": "orthanc"}}, "published"),
        ({"RemoteAccessAllowed": True, "AuthenticationEnabled": False}, "without asking for a password"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_said(
    loading: Loading, register: Register, configuration: dict[str, Any], words: str
) -> None:
    loading.configuration = configuration
    register()
    status, answer = loading.ask("/ai/status")
    assert (status, answer["state"]) == (200, "disabled")
    assert words in answer["reason"]
    assert words in loading.errors[0]
    status, answer = loading.ask("/ai/series/x/run", "POST")
    assert status == 503
    assert words in answer["error"]
    loading.on_change[0]("ORTHANC_STARTED", None, "")
    loading.on_change[0]("ORTHANC_STOPPED", None, "")


def test_a_library_that_is_missing_is_named(
    loading: Loading, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "plugin.service", raising=False)
    for module in ("sqlalchemy", "sqlalchemy.exc"):
        monkeypatch.setitem(sys.modules, module, None)
    register()
    assert "sqlalchemy" in loading.ask("/ai/status")[1]["reason"]


@pytest.mark.parametrize(
    "allowed",
    [
        {},
        {"RemoteAccessAllowed": True, "RegisteredUsers": {"mary": "s3cret"}},
        {"RemoteAccessAllowed": True, "AuthenticationEnabled": False, "ChestAI": {"TrustedNetwork": True}},
    ],
)
def test_a_site_that_is_closed_or_trusted_is_served(
    loading: Loading, register: Register, allowed: dict[str, Any]
) -> None:
    loading.configuration = allowed
    register()
    assert loading.errors == []
    assert loading.ask("/ai/status")[1]["state"] != "disabled"


def test_a_sites_own_callback_hears_every_change(loading: Loading, register: Register) -> None:
    heard: list[tuple[Any, ...]] = []
    loading.configuration = {"ChestAI": {"Enabled": False}}
    register(lambda *change: heard.append(change))
    loading.on_change[0]("STABLE_SERIES", "series", "a")
    assert heard == [("STABLE_SERIES", "series", "a")]
