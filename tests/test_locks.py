"""The lock files hold what the requirements name, every package at one version, with hashes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

LOCKS = sorted(path.relative_to(ROOT) for path in ROOT.glob("*/requirements*.txt"))


def _name(requirement: str) -> str:
    """A requirement's package, as package indexes spell it (PEP 503)."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _requirements(path: Path) -> dict[str, str]:
    """Package to requirement in a requirements.in, with those of the files that it names."""
    found: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            found |= _requirements(path.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found[_name(line)] = line
    return found


def _locked(path: Path) -> dict[str, str]:
    """Package to version in a lock file. Fails the test where a package has no hash."""
    found: dict[str, str] = {}
    text = re.sub(r"^ *#.*\n", "", path.read_text(), flags=re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        pinned, *hashes = entry.split(" \\\n")
        name, _, version = pinned.partition(" ;")[0].partition("==")
        assert version, f"{path}: {pinned} is not one version"
        assert hashes, f"{path}: {name} has no hash"
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}\s*", line) for line in hashes), name
        found[_name(name)] = version.strip()
    return found


def test_there_is_a_lock_for_each_environment() -> None:
    plugin = [f"plugin/requirements-{name}" for name in ("cpu", "gpu", "worker")]
    names = ["demo/requirements", "export/requirements", *plugin, "tests/requirements"]
    assert [str(path.with_suffix("")) for path in LOCKS] == names


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_the_lock_is_of_todays_requirements(lock: Path) -> None:
    """``./run lock`` has been called since a requirements.in was changed."""
    locked = _locked(ROOT / lock)
    wanted = _requirements((ROOT / lock).with_suffix(".in"))
    assert set(wanted) <= set(locked)
    for name, requirement in wanted.items():
        if "==" in requirement:
            assert requirement.split("==")[1] == locked[name], name


def test_no_package_has_two_versions() -> None:
    """The environments stand on each other: .venv-dev on .venv, with the demo's and the tests' packages."""
    versions: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in _locked(ROOT / lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_image_gets_the_locks_of_the_plugin_and_nothing_of_the_demo() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert {"plugin/requirements-cpu.txt", "plugin/requirements-gpu.txt"} <= set(copied)
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert {source.split("/")[0] for source in copied} <= let_in
    assert "demo" not in let_in
