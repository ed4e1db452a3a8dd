"""Files for Docker Compose, Kubernetes and KubeRay: valid by their schemas, and right about this package's flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest
from paths import ROOT

from sut.commands import serve
from sut.settings import flags
from sut.settings.parser import new_parser
from sut.settings.resolve import resolve
from sut.settings.settings import RunConfig

yaml = pytest.importorskip("yaml")

CONTAINERS = ROOT / "containers"
IMAGE, PORT = "mlperf-bert-sut", 7000
COMPOSE = yaml.safe_load((CONTAINERS / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES = {
    path.name: list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for path in sorted((CONTAINERS / "kubernetes").iterdir())
}
(RAY,) = KUBERNETES["ray.yaml"]
GROUPS = (RAY["spec"]["headGroupSpec"], *RAY["spec"]["workerGroupSpecs"])
# Of KubeRay's RayCluster, ray.io/v1; what the groups have inside is Kubernetes' own.
RAY_KEYS = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP_KEYS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def run(words: list[str]) -> RunConfig:
    """The run that these words start."""
    parser = new_parser("run")
    flags.add(parser, "run")
    return resolve(*flags.split(parser.read(words), "run"))


def test_compose_is_valid() -> None:
    jsonschema, _ = pytest.importorskip("jsonschema"), pytest.importorskip("check_jsonschema")
    file = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(file.read_text(encoding="utf-8"))
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(COMPOSE)) == []


OBJECTS = [
    *(one for found in KUBERNETES.values() for one in found if one is not RAY),
    *({"apiVersion": "v1", "kind": "Pod", **group["template"]} for group in GROUPS),  # what KubeRay makes of them
]


@pytest.mark.parametrize("found", OBJECTS, ids=[one["kind"] for one in OBJECTS])
def test_kubernetes_takes_it(found: Mapping[str, Any]) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(found, "1.37", strict=True)


def test_kuberay_takes_it() -> None:
    assert (RAY["apiVersion"], RAY["kind"]) == ("ray.io/v1", "RayCluster")
    assert set(RAY["spec"]) == RAY_KEYS and RAY["spec"]["authOptions"] == {"mode": "token"}
    assert all(set(group) <= GROUP_KEYS for group in GROUPS)
    assert all(isinstance(value, str) for group in GROUPS for value in group["rayStartParams"].values())


def pod(name: str, kind: str) -> Any:
    """The specification of the pods of an object."""
    [found] = [one for one in KUBERNETES[name] if one["kind"] == kind]
    return found["spec"]["template"]["spec"]


def test_the_nodes_of_compose_are_those_that_its_run_uses() -> None:
    services = COMPOSE["services"]
    loadgen = run(services["loadgen"]["entrypoint"][3:])
    nodes = {name: one for name, one in services.items() if name != "loadgen"}
    assert loadgen.node == ",".join(f"{name}:{PORT}" for name in nodes)
    assert set(services["loadgen"]["depends_on"]) == set(nodes)
    for name, one in nodes.items():
        options = serve.parser().read(one["command"][1:])
        assert (one["hostname"], options.host, options.port) == (name, "0.0.0.0", PORT)  # noqa: S104 - in a container
        assert str(PORT) in one["healthcheck"]["test"][-1]
        assert options.token_file == loadgen.token_file
    [(secret, file)] = COMPOSE["secrets"].items()
    assert str(loadgen.token_file) == f"/run/secrets/{secret}" and file == {"file": "token"}
    assert {tuple(one["secrets"]) for one in services.values()} == {(secret,)}


def test_the_nodes_of_kubernetes_are_those_that_its_run_uses() -> None:
    service, stateful = KUBERNETES["nodes.yaml"]
    name, replicas = stateful["metadata"]["name"], stateful["spec"]["replicas"]
    node, loadgen = pod("nodes.yaml", "StatefulSet"), pod("run.yaml", "Job")
    words = run(loadgen["containers"][0]["args"])
    assert service["metadata"]["name"] == stateful["spec"]["serviceName"] == name
    assert words.node == ",".join(f"{name}-{number}.{name}:{PORT}" for number in range(replicas))
    options = serve.parser().read(node["containers"][0]["args"][1:])
    assert options.port == PORT == service["spec"]["ports"][0]["port"]
    for one, file in ((node, options.token_file), (loadgen, words.token_file)):
        [mount] = [mount for mount in one["containers"][0]["volumeMounts"] if mount["name"] == "token"]
        assert str(file) == f"{mount['mountPath']}/token"
        assert {"name": "token", "secret": {"secretName": "sut-token"}} in one["volumes"]


def test_all_have_the_same_image() -> None:
    pods = [pod("nodes.yaml", "StatefulSet"), pod("run.yaml", "Job"), *(one["template"]["spec"] for one in GROUPS)]
    assert {one["containers"][0]["image"] for one in pods} == {IMAGE}
    assert {one["image"] for one in COMPOSE["services"].values()} == {IMAGE}


@pytest.mark.parametrize("name", ["compose.yaml", *(f"kubernetes/{name}" for name in KUBERNETES)])
def test_the_commands_in_comments_name_files_that_exist(name: str) -> None:
    text = (CONTAINERS / name).read_text(encoding="utf-8")
    words = [word for line in text.splitlines() if line.startswith("#") for word in line.split()]
    files = [word for word in words if word.startswith("containers/") and word.endswith(".yaml")]
    assert files and all((ROOT / word).is_file() for word in files)
    assert f"containers/{name}" in files
