"""Instances on a machine of two nodes with eight cores each: how many, of how many cores, with which batches."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from backends.base import Accelerator
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from sut.errors import UsageError
from sut.machine import topology
from sut.machine.topology import Cpu, Machine
from sut.run import instances_plan
from sut.run.instances_plan import InstancesPlan
from sut.settings.resolve import resolve

MACHINE = Machine(tuple(Cpu(number, number, number // 8) for number in range(16)), quota=None, can_pin=True)
ON_GPU: dict[str, object] = {"backend": "gpu", "precision": "fp16"}
GPU = Accelerator("a GPU", memory_bytes=80 << 30, capability=(9, 0))
LARGE, TINY = find_model("random:bert-large"), find_model("random:bert-tiny")
SCRIPT = Model("fake", None, None)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="instances share weights on Linux alone")


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "this_machine", lambda: MACHINE)


def plan(values: Mapping[str, object], model: Model = LARGE, gpus: int = 0) -> InstancesPlan:
    return instances_plan.plan(resolve(dict(values)), model, (GPU,) * gpus)


@on_linux
@pytest.mark.parametrize(
    ("values", "model", "count", "cores", "forked"),
    [
        ({"backend": "onnxruntime"}, LARGE, 4, 4, False),
        ({"backend": "onnxruntime", "scenario": "SingleStream"}, LARGE, 1, 8, False),
        ({"backend": "pytorch"}, LARGE, 16, 1, True),
        ({"backend": "pytorch", "scenario": "SingleStream"}, LARGE, 1, 8, False),
        ({"backend": "pytorch", "scenario": "Server"}, LARGE, 4, 4, True),
        ({"backend": "pytorch", "scenario": "Server"}, TINY, 16, 1, True),
        ({"backend": "pytorch", "scenario": "Server", "target_latency_ms": 1e6}, LARGE, 16, 1, True),
        ({"backend": "pytorch", "instances": 2}, LARGE, 2, 8, True),
        ({"backend": "pytorch", "cores_per_instance": 2}, LARGE, 8, 2, True),
        ({"backend": "pytorch", "executor": "spawned"}, LARGE, 4, 4, False),
        ({"backend": "pytorch", "executor": "inline"}, LARGE, 1, 8, False),
        ({"backend": "fake"}, SCRIPT, 16, 1, True),
    ],
)
def test_instances(values: dict[str, object], model: Model, count: int, cores: int, forked: bool) -> None:
    found = plan(values, model)
    assert (len(found.places), found.cores, found.forked) == (count, cores, forked)


def test_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match="--instances"):
        plan({"backend": "onnxruntime", "instances": 17})


@pytest.mark.parametrize(
    ("values", "on"),
    [({"scenario": "Offline"}, [0, 1]), ({"scenario": "SingleStream"}, [0]), ({"instances": 1}, [0])],
)
def test_gpus_have_an_instance_each_and_a_stream_has_one(values: dict[str, object], on: list[int]) -> None:
    found = plan({**ON_GPU, **values}, gpus=2)
    assert [place.gpu for place in found.places] == on


@pytest.mark.parametrize(
    ("gpus", "values", "tokens"),
    [
        (0, {}, 1536),
        (0, {"max_batch_tokens": 1000}, 1000),
        (0, {"batch_size": 2}, 1024),
        (1, {}, 32768),
        (1, {"max_batch_tokens": 1536}, 1536),
    ],
)
def test_a_batch_is_as_large_as_asked_or_as_keeps_the_device_busy(
    gpus: int, values: dict[str, object], tokens: int
) -> None:
    assert plan((ON_GPU if gpus else {}) | values, gpus=gpus).max_batch_tokens == tokens


def test_engines_read_their_settings_from_the_environment() -> None:
    assert instances_plan.environment(resolve({})) == ()
    found = dict(instances_plan.environment(resolve({"fpmath_mode": "bf16", "verbose": True})))
    assert found == {"DNNL_DEFAULT_FPMATH_MODE": "BF16", "ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}
