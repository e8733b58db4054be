"""The channel of models: over a real https server what is new comes in, and what is wrong never does."""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.publish import PUBLIC, SECRET, new_key, publish, write_index
from plugin.domain.errors import Refused
from plugin.settings import SettingsError, read_settings
from plugin.updates.channel import INDEX, SIGNATURE, Channel, ChannelError, Index
from plugin.updates.shelf import Shelf
from tests.conftest import ROOT
from tests.hospital import NAME, Site, model


def test_a_new_version_runs_as_a_shadow_and_changes_nothing(site: Callable[..., Site]) -> None:
    here = site()
    here.publish("1.0.0")
    assert here.told() == {}
    here.publish("1.9.0")
    here.publish("1.10.0")
    assert here.told() == {"state": "shadow", "version": "1.10.0", "comparison": {"series": 0}}
    assert (here.version, here.updates.problem) == ("1.0.0", None)
    # After a start of Orthanc it still is one, and is not begun anew.
    since = here.updates._shelf.state.trials[NAME].since
    assert here.begin().told(NAME)["state"] == "shadow"
    assert here.updates._shelf.state.trials[NAME].since == since


def test_install_and_back_by_one_request_each_and_both_outlive_a_start(site: Callable[..., Site]) -> None:
    here = site()
    here.publish("1.1.0")
    here.publish("1.2.0")
    here.updates.check()
    assert here.updates.install(NAME) == "1.2.0"
    assert here.version == "1.2.0"
    here.begin()
    assert here.version == "1.2.0"
    # An older one only where it is asked for.
    assert here.told() == {"before": "1.0.0"}
    assert here.updates.install(NAME, "1.1.0") == "1.1.0"
    assert (here.version, here.updates.told(NAME)["before"]) == ("1.1.0", "1.2.0")
    assert here.updates.back(NAME) == "1.2.0"
    assert here.updates.back(NAME) == "1.0.0"
    assert here.version == "1.0.0"
    with pytest.raises(Refused, match="no version of slices before"):
        here.updates.back(NAME)
    # What was taken back is not offered again, but what is newer is.
    assert "state" not in here.told()
    here.publish("1.3.0")
    assert here.told()["version"] == "1.3.0"


def test_what_does_not_exist_cannot_be_installed(site: Callable[..., Site]) -> None:
    here = site()
    here.publish("1.1.0")
    with pytest.raises(Refused, match="no newer version of slices was found"):
        here.updates.install(NAME)
    with pytest.raises(Refused, match=r"the channel has no version 9\.9\.9"):
        here.updates.install(NAME, "9.9.9")


def _tampered_graph(here: Site) -> None:
    graph = here.channel / NAME / "1.1.0" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")


def _tampered_card(here: Site) -> None:
    card = here.channel / NAME / "1.1.0" / "card.json"
    card.write_text(card.read_text().replace('"threshold": 0.5', '"threshold": 0.1') + " ")


def _gone(here: Site) -> None:
    (here.channel / NAME / "1.1.0" / "model.onnx").unlink()


def _cut(here: Site) -> None:
    here.handler.cut = frozenset({"model.onnx"})  # type: ignore[attr-defined]


def _resigned(here: Site, change: Callable[[Path], None]) -> None:
    """What the publisher itself got wrong: files and digests agree."""
    folder = here.channel / NAME / "1.1.0"
    change(folder)
    index = Index.model_validate_json((here.channel / INDEX).read_bytes())
    digests = {
        part: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for part, name in (("card", "card.json"), ("graph", "model.onnx"))
    }
    listed = tuple(v.model_copy(update=digests) if v.version == "1.1.0" else v for v in index.models)
    write_index(here.channel, Index(serial=index.serial + 1, models=listed), here.folder / SECRET)


def _card(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | changes))

    return change


def _no_graph(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"no graph")
    _card(sha256=hashlib.sha256(b"no graph").hexdigest())(folder)


WRONG_TEST = {"seed": 0, "pattern": "squares", "expected": [99.0], "tolerance": 0.01}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_tampered_graph, "model.onnx has SHA-256 .* the signed list says"),
        (_tampered_card, "card.json has SHA-256 .* the signed list says"),
        (_gone, "cannot be had: HTTP 404"),
        (_cut, "model.onnx broke off"),
        (functools.partial(_resigned, change=_no_graph), "ONNX Runtime cannot load it"),
        (functools.partial(_resigned, change=_card(self_test=WRONG_TEST)), "self-test failed"),
        (functools.partial(_resigned, change=_card(version="1.2.0")), "its card is that of slices 1.2.0"),
        (
            functools.partial(_resigned, change=_card(modality="xray")),
            "not made for what the model in use does",
        ),
        (functools.partial(_resigned, change=_card(task="classify")), "its card cannot be read"),
    ],
)
def test_a_version_that_is_not_right_is_refused_and_the_current_one_goes_on(
    site: Callable[..., Site], spoil: Callable[[Site], None], words: str
) -> None:
    here = site()
    here.publish("1.1.0")
    spoil(here)
    told = here.told()
    assert set(told) == {"refused"}
    assert re.search(words, told["refused"]), told
    assert (here.version, here.shelf, here.updates.problem) == ("1.0.0", [], None)
    with pytest.raises(Refused, match=r"1\.1\.0"):
        here.updates.install(NAME, "1.1.0")
    assert here.version == "1.0.0"


def test_a_lost_connection_is_only_for_now(site: Callable[..., Site]) -> None:
    here = site()
    here.publish("1.1.0")
    _cut(here)
    assert "broke off" in here.told()["refused"]
    here.handler.cut = frozenset()  # type: ignore[attr-defined]
    assert here.told()["state"] == "shadow"


def _other_key(here: Site) -> None:
    (here.folder / "other").mkdir()
    new_key(here.folder / "other")
    index = Index.model_validate_json((here.channel / INDEX).read_bytes())
    write_index(here.channel, index, here.folder / "other" / SECRET)


def _changed_list(here: Site) -> None:
    index = here.channel / INDEX
    index.write_text(index.read_text().replace("1.1.0", "1.1.1"))


def _no_signature(here: Site) -> None:
    (here.channel / SIGNATURE).write_bytes(base64.b64encode(b"0" * 64))


def _older_list(here: Site) -> None:
    index = Index.model_validate_json((here.channel / INDEX).read_bytes())
    here.updates.check()
    write_index(here.channel, index.model_copy(update={"serial": 1}), here.folder / SECRET)
    here.updates._shelf.keep(trials={})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_other_key, "not signed with the publisher's key"),
        (_changed_list, "not signed with the publisher's key"),
        (_no_signature, "not signed with the publisher's key"),
        (_older_list, "serial number 1, but 2 was seen before"),
        (lambda here: here.server.shutdown() or here.server.server_close(), "cannot be had"),
        (lambda here: (here.folder / PUBLIC).write_text("nothing"), "key cannot be read"),
        (lambda here: (here.channel / INDEX).unlink(), "HTTP 404"),
    ],
)
def test_a_channel_that_cannot_be_believed_is_told_and_nothing_comes_of_it(
    site: Callable[..., Site], spoil: Callable[[Site], object], words: str
) -> None:
    here = site()
    here.publish("1.0.1")
    here.publish("1.1.0")
    spoil(here)
    assert here.told() == {}
    assert words in str(here.updates.problem)
    assert here.version == "1.0.0"


def test_a_server_that_nobody_vouches_for_is_not_believed(site: Callable[..., Site]) -> None:
    here = site(ChannelAuthorities="")
    here.publish("1.1.0")
    assert here.told() == {}
    assert "certificate verify failed" in str(here.updates.problem)


def test_a_folder_is_a_channel_too(site: Callable[..., Site], tmp_path: Path) -> None:
    here = site(Channel=str(tmp_path / "channel"))
    here.publish("1.1.0")
    assert here.told()["version"] == "1.1.0"


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"Channel": "http://example.org", "ChannelKey": "k", "ChannelFolder": "f"}, "https://"),
        ({"Channel": "/a"}, "ChannelKey and ChannelFolder"),
    ],
)
def test_a_channel_needs_https_a_key_and_a_folder(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings({"ChestAI": {"Models": choice}})


def test_a_full_disk_leaves_nothing_behind(site: Callable[..., Site], monkeypatch: Any) -> None:
    here = site()
    here.publish("1.1.0")

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("plugin.updates.shelf._to_disk", full)
        assert here.told() == {}
        assert "No space left" in str(here.updates.problem)
        assert here.shelf == []
    assert here.told()["state"] == "shadow"
    with monkeypatch.context() as patched:
        patched.setattr("plugin.updates.shelf._to_disk", full)
        with pytest.raises(Refused, match="No space left"):
            here.updates.install(NAME)
        assert here.version == "1.0.0"
    assert here.updates.told(NAME)["state"] == "shadow"


KILLED = """
import os, signal, sys
from pathlib import Path
from plugin.updates import shelf as module
from plugin.updates.channel import Channel
channel, key, folder, where = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
shelf = module.Shelf(Path(folder))
channel = Channel(channel, key=Path(key))
(version,) = (v for v in channel.index().models if v.version == "1.2.0")
shelf.take(channel, version, die if where == "fetching" else lambda: None)
if where == "installing":
    module._to_disk = die
shelf.install("slices", "1.2.0")
"""


@pytest.mark.parametrize("where", ["fetching", "installing"])
def test_killed_in_the_middle_of_an_installation(site: Callable[..., Site], where: str) -> None:
    here = site()
    here.publish("1.1.0")
    here.publish("1.2.0")
    here.updates.install(NAME, "1.1.0")
    arguments = [str(here.channel), str(here.folder / PUBLIC), str(here.folder / "shelf"), where]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    here.updates = here.begin()
    assert here.version == "1.1.0"
    assert not list((here.folder / "shelf").glob(f"{NAME}/*.part"))
    assert here.told()["version"] == "1.2.0"
    assert here.updates.install(NAME) == "1.2.0"


def test_an_installed_version_that_is_spoiled_on_disk_gives_way_to_the_shipped_one(
    site: Callable[..., Site],
) -> None:
    here = site()
    here.publish("1.1.0")
    here.updates.install(NAME, "1.1.0")
    (here.folder / "shelf" / NAME / "1.1.0" / "model.onnx").write_bytes(b"")
    here.begin()
    assert here.version == "1.0.0"
    assert "has SHA-256" in here.lineup.problems[0]
    (here.folder / "shelf" / NAME / "1.1.0" / "card.json").unlink()
    here.begin()
    assert here.version == "1.0.0"
    assert "installed from the channel" in here.lineup.problems[0]
    (here.folder / "shelf" / "state.json").write_text("{")
    assert Shelf(here.folder / "shelf").installed == {}


def test_the_publisher_keeps_what_was_published(site: Callable[..., Site]) -> None:
    here = site()
    assert here.publish("1.1.0").serial == 1
    listed = here.publish("1.2.0")
    assert (listed.serial, [v.version for v in listed.models]) == (2, ["1.1.0", "1.2.0"])
    changed = model(here.folder / "other", "1.1.0", least=500.0)
    with pytest.raises(ValueError, match="with other files"):
        publish(here.channel, [changed], here.folder / SECRET)
    with pytest.raises(FileExistsError):
        new_key(here.folder)
    assert (here.folder / SECRET).stat().st_mode & 0o077 == 0
    with pytest.raises(ChannelError, match="cannot be read"):
        Channel(str(here.channel), key=here.folder / SECRET).index()
