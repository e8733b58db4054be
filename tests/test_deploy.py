"""The files in deploy/: valid by the schemas of Kubernetes and Compose, and true to the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from demo.fleet.simulation import Scaling
from demo.server import ROOT
from plugin.domain.kinds import Modality
from plugin.settings import Settings, read_settings

kubernetes_validate = pytest.importorskip("kubernetes_validate")
compose_pydantic = pytest.importorskip("compose_pydantic")
broker = pytest.importorskip("plugin.remote.broker", reason="Celery is not installed", exc_type=ImportError)

DEPLOY = ROOT / "deploy"
BASE, GPU = DEPLOY / "kubernetes" / "base", DEPLOY / "kubernetes" / "gpu"
KUBERNETES = "1.33"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Named(_Strict):
    name: str


class _RabbitMetadata(_Strict):
    """https://keda.sh/docs/2.17/scalers/rabbitmq-queue; every value is a string."""

    protocol: str
    queueName: str  # noqa: N815 - KEDA's name
    mode: str
    value: str


class _Trigger(_Strict):
    type: str
    metadata: _RabbitMetadata
    authenticationRef: _Named  # noqa: N815


class _Metadata(_Named):
    namespace: str = ""
    """What kustomize writes into it."""


class _ScaleDown(_Strict):
    stabilizationWindowSeconds: int  # noqa: N815


class _Behavior(_Strict):
    scaleDown: _ScaleDown  # noqa: N815


class _Autoscaler(_Strict):
    behavior: _Behavior


class _Advanced(_Strict):
    horizontalPodAutoscalerConfig: _Autoscaler  # noqa: N815


class _ScaledSpec(_Strict):
    """https://keda.sh/docs/2.17/reference/scaledobject-spec, as far as it is used."""

    scaleTargetRef: _Named  # noqa: N815
    minReplicaCount: int  # noqa: N815
    maxReplicaCount: int  # noqa: N815
    advanced: _Advanced
    triggers: list[_Trigger]


class _SecretTarget(_Strict):
    parameter: str
    name: str
    key: str


class _AuthenticationSpec(_Strict):
    secretTargetRef: list[_SecretTarget]  # noqa: N815


class _ScaledObject(_Strict):
    apiVersion: str  # noqa: N815
    kind: str
    metadata: _Metadata
    spec: _ScaledSpec


class _TriggerAuthentication(_Strict):
    apiVersion: str  # noqa: N815
    kind: str
    metadata: _Metadata
    spec: _AuthenticationSpec


KEDA = {"ScaledObject": _ScaledObject, "TriggerAuthentication": _TriggerAuthentication}


def _documents(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.yaml"))
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return [document for document in found if document["kind"] != "Kustomization"]


def _kustomization(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "kustomization.yaml").read_text()))


def _of(kind: str, name: str) -> dict[str, Any]:
    return next(d for d in _documents(BASE) if (d["kind"], d["metadata"]["name"]) == (kind, name))


def _settings() -> Settings:
    text = (BASE / "chest-ai.json").read_text()
    for name, value in _secrets().items():
        text = text.replace(f"${{{name}}}", value)
    assert "${" not in text, "a variable is in no secret"
    return read_settings(json.loads(text))


def _secrets() -> dict[str, str]:
    lines = (DEPLOY / "secrets.example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _validate(document: dict[str, Any]) -> None:
    if document["kind"] in KEDA:
        assert document["apiVersion"] == "keda.sh/v1alpha1"
        KEDA[document["kind"]].model_validate(document)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("document", _documents(BASE), ids=lambda d: f"{d['kind']}-{d['metadata']['name']}")
def test_every_manifest_is_valid(document: dict[str, Any]) -> None:
    _validate(document)


def test_the_validator_finds_what_is_wrong() -> None:
    document = _of("Deployment", "worker-ct")
    document["spec"]["template"]["spec"]["containers"][0]["ressources"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_kustomize_finds_every_file() -> None:
    base = _kustomization(BASE)
    written = {file.name for file in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(base["resources"]) == written
    for generator in base["configMapGenerator"]:
        assert all((BASE / file).is_file() for file in generator["files"])
    gpu = _kustomization(GPU)
    assert gpu["resources"] == ["../base"]
    for patch in gpu["patches"]:
        target = yaml.safe_load((GPU / patch["path"]).read_text())
        assert _of(target["kind"], target["metadata"]["name"])
        assert target["metadata"]["namespace"] == base["namespace"]


Build = Callable[[Path], dict[tuple[str, str], dict[str, Any]]]


@pytest.fixture(scope="module")
def build() -> Build:
    """Kustomize itself: what it makes of a folder, by kind and name. Skips where it is not installed."""
    command = ["kustomize", "build"]
    if shutil.which("kustomize") is None:
        command = ["kubectl", "kustomize"]
        told = ""
        if shutil.which("kubectl") is not None:
            asked = ["kubectl", "version", "--client", "--output=json"]
            told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        version = re.search(r'"kustomizeVersion": "v(\d+)', told)
        if version is None or int(version[1]) < 4:
            pytest.skip("neither kustomize nor a kubectl with kustomize 4 or later is installed")

    def with_(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
        built = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=True).stdout
        return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(built)}

    return with_


def _pods(built: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    sets = {name: one for (kind, name), one in built.items() if kind in ("Deployment", "StatefulSet")}
    return {name: one["spec"]["template"]["spec"] for name, one in sets.items()}


def _images(built: dict[tuple[str, str], dict[str, Any]]) -> dict[str, str]:
    return {name: pod["containers"][0]["image"] for name, pod in _pods(built).items()}


OURS = {"orthanc", "worker-rx", "worker-ct"}


@pytest.mark.parametrize("folder", [BASE, GPU], ids=lambda folder: folder.name)
def test_kustomize_builds_what_is_valid_and_fits_together(build: Build, folder: Path) -> None:
    built = build(folder)
    (settings,) = (name for kind, name in built if kind == "ConfigMap")
    assert settings != "chest-ai", "a change of the settings would restart nothing"
    for document in built.values():
        _validate(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "chest-ai"
    for name in OURS:
        pod = _pods(built)[name]
        assert [v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v] == [settings]
        assert pod["securityContext"]["runAsNonRoot"]
    gpus = {name: pod["containers"][0]["resources"]["limits"] for name, pod in _pods(built).items()}
    wanted = {"worker-ct"} if folder == GPU else set()
    assert {name for name, limits in gpus.items() if "nvidia.com/gpu" in limits} == wanted
    expected = {name: f"orthanc-chest-ai:celery{'-gpu' if name in wanted else ''}" for name in OURS}
    assert {name: image for name, image in _images(built).items() if name in OURS} == expected


def test_a_registry_s_name_reaches_every_image_of_the_plugin(build: Build, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "kubernetes", tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("*/kustomization.yaml"):
        read = yaml.safe_load(file.read_text())
        for image in read["images"]:
            image["newName"] = "registry.example.org/orthanc-chest-ai"
        file.write_text(yaml.safe_dump(read))
    images = _images(build(tmp_path / "gpu"))
    registry = "registry.example.org/orthanc-chest-ai"
    assert {name: images[name] for name in OURS} == {
        "orthanc": f"{registry}:celery",
        "worker-rx": f"{registry}:celery",
        "worker-ct": f"{registry}:celery-gpu",
    }


@pytest.mark.parametrize(
    ("name", "modality", "threshold"), [("worker-ct", Modality.CT, "4"), ("worker-rx", Modality.XRAY, "20")]
)
def test_keda_scales_by_the_queue_that_the_workers_read(
    name: str, modality: Modality, threshold: str
) -> None:
    scaled = _ScaledObject.model_validate(_of("ScaledObject", name))
    (trigger,) = scaled.spec.triggers
    queue = broker.QUEUES[modality]
    assert (trigger.metadata.queueName, trigger.metadata.value) == (queue, threshold)
    assert (scaled.spec.minReplicaCount, scaled.spec.scaleTargetRef.name) == (1, name)
    window = scaled.spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown
    assert window.stabilizationWindowSeconds == Scaling().cooldown, "the simulation has another rule"
    (container,) = _of("Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--queues", queue]
    assert "replicas" not in _of("Deployment", name)["spec"], "KEDA and a rollout would fight for the number"


def test_a_worker_has_the_time_to_give_back() -> None:
    grace = _settings().celery.grace_seconds
    for name in ("worker-ct", "worker-rx"):
        pod = _of("Deployment", name)["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= grace + 30
        budget = _of("PodDisruptionBudget", name)["spec"]
        assert budget["selector"] == _of("Deployment", name)["spec"]["selector"]


def test_a_process_gets_no_password_that_it_does_not_need() -> None:
    asked = {}
    for kind, name in (("StatefulSet", "orthanc"), ("Deployment", "worker-ct"), ("Deployment", "worker-rx")):
        (container,) = _of(kind, name)["spec"]["template"]["spec"]["containers"]
        assert "envFrom" not in container
        variables = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
        assert {one["name"] for one in variables} == {"chest-ai"}
        asked[name] = {one["key"] for one in variables}
    workers = {"LEDGER_URL", "BROKER_URL", "ORTHANC_WORKER_PASSWORD"}
    assert asked == {
        "worker-ct": workers,
        "worker-rx": workers,
        "orthanc": workers | {"ORTHANC_ADMIN_PASSWORD"},
    }
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name, keys in asked.items():
        assert {key for key in services[name]["environment"] if key in _secrets()} == keys


def test_a_probe_waits_for_a_busy_processor() -> None:
    for name in ("worker-ct", "worker-rx"):
        (container,) = _of("Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]["timeoutSeconds"] >= 10


def test_every_container_has_probes_and_limits() -> None:
    for document in _documents(BASE):
        if document["kind"] not in ("Deployment", "StatefulSet"):
            continue
        for container in document["spec"]["template"]["spec"]["containers"]:
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]
            assert "livenessProbe" in container


def test_secrets_are_referred_to_and_not_written_down() -> None:
    text = "\n".join(file.read_text() for file in BASE.glob("*.yaml"))
    for key in re.findall(r"key: (\w+)", text):
        assert key in _secrets()
    for value in _secrets().values():
        assert value not in text
        assert value not in (DEPLOY / "compose.yaml").read_text()


def test_the_shared_configuration_is_one_that_the_plugin_takes() -> None:
    settings = _settings()
    assert settings.engine == "celery"
    assert settings.orthanc.user in json.loads((BASE / "chest-ai.json").read_text())["RegisteredUsers"]


def test_compose_is_valid_and_says_the_same() -> None:
    read = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = read["services"]
    compose_pydantic.ComposeSpecification.model_validate(
        {key: value for key, value in read.items() if not key.startswith("x-")}
    )
    for name, modality in (("worker-ct", Modality.CT), ("worker-rx", Modality.XRAY)):
        (container,) = _of("Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert services[name]["command"] == container["args"]
        assert services[name]["command"][1] == broker.QUEUES[modality]
        assert services[name]["entrypoint"] == container["command"]
    asked = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert asked == set(_secrets())


def test_compose_itself_takes_it() -> None:
    """Docker Compose's own reading: merges, variables and the schema of its version. Needs no Docker."""
    program = ROOT / ".cache" / "compose" / "bin" / "docker-compose"
    if not program.exists():
        pytest.skip(f"Docker Compose is not installed at {program} (./run test)")
    files = ["--file", str(DEPLOY / "compose.yaml"), "--env-file", str(DEPLOY / "secrets.example.env")]

    def config(*options: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), *options, "config", "--format", "json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    told = config(*files)
    assert told.returncode == 0, told.stderr
    assert not told.stderr, "it warns"
    services = json.loads(told.stdout)["services"]
    assert set(services) == {*OURS, "postgres", "rabbitmq"}
    for name in ("worker-ct", "worker-rx"):
        worker = services[name]
        assert worker["stop_grace_period"] == "1m30s"
        assert worker["healthcheck"]["test"][1].count("$$") == 1, "the shell's own variables"
        assert set(worker["depends_on"]) == {"orthanc", "rabbitmq"}
    assert config(*files[:2]).returncode != 0, "without passwords nothing starts"
