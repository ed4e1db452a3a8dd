"""What a tuning may choose: engines, levels, what is given, and what a --set replaces."""

from __future__ import annotations

from typing import Any

import pytest

from sut.commands.sweep import grid
from sut.commands.tune.space import Candidate, Space, space
from sut.errors import UsageError
from sut.machine.topology import Cpu, Machine

EIGHT_CORES = Machine(tuple(Cpu(number, number, number // 4) for number in range(8)), None, False)  # 4 on each node
CHOSEN = {"instances": 8, "cores_per_instance": 1, "max_batch_tokens": 1536}


def of(*axes: str, machine: Machine = EIGHT_CORES, **values: Any) -> Space:
    return space([grid.axis(text) for text in axes], values, {}, machine)


def engines(found: Space) -> list[str]:
    return [" ".join(map(str, one.engine)) for one in found.engines]


def test_engines_that_need_no_built_engine_come_first() -> None:
    found = engines(of())
    assert found[0] == "onnxruntime fp32"
    assert found.index("onnxruntime int8-dynamic") < found.index("onnxruntime int8")
    assert not any("fake" in one or "replay" in one for one in found)


@pytest.mark.parametrize(
    ("axes", "values", "expected"),
    [
        ((), {"backend": "onnxruntime"}, ["onnxruntime fp32", "onnxruntime int8-dynamic", "onnxruntime int8"]),
        ((), {"backend": "onnxruntime", "precision": "int8"}, ["onnxruntime int8"]),
        (("precision=int8 fp32",), {"backend": "ONNXruntime"}, ["onnxruntime fp32", "onnxruntime int8"]),
        (("precision=int8-dynamic bf16",), {"backend": "onnxruntime"}, ["onnxruntime int8-dynamic"]),
    ],
    ids=("backend", "both", "set", "impossible"),
)
def test_what_is_given_is_kept(axes: tuple[str, ...], values: dict[str, Any], expected: list[str]) -> None:
    assert engines(of(*axes, **values)) == expected


@pytest.mark.parametrize(
    ("axes", "values", "expected"),
    [
        ((), {}, ["cores", "batches"]),
        ((), {"scenario": "Server"}, ["cores"]),
        ((), {"scenario": "SingleStream"}, ["cores"]),
        (("instances=1 2",), {}, ["batches", "instances"]),
        (("max_batch_tokens=768 1536",), {}, ["cores", "max_batch_tokens"]),
        ((), {"threads": 2, "batch_size": 8}, []),
        (("warmup_steps=2",), {}, ["cores", "batches"]),
    ],
    ids=("Offline", "Server", "SingleStream", "instances", "tokens", "given", "one value"),
)
def test_levels_of_our_own_and_of_the_user(axes: tuple[str, ...], values: dict[str, Any], expected: list[str]) -> None:
    found = of(*axes, backend="onnxruntime", **values)
    assert [level.name for level in found.levels] == expected
    assert found.is_possible(found.engines[0])


def test_cores_are_divided_evenly_and_what_a_run_chose_is_not_tried_twice() -> None:
    offline, stream = (of(backend="onnxruntime", scenario=one) for one in ("Offline", "SingleStream"))

    def plans(found: Space, chosen: dict[str, Any]) -> list[tuple[Any, Any]]:
        expanded = found.levels[0].expand(found.engines[0], chosen)
        return [(one.settings["instances"], one.settings["cores_per_instance"]) for one in expanded]

    assert plans(offline, CHOSEN) == [(4, 2), (2, 4)]
    assert plans(stream, {"instances": 1, "cores_per_instance": 4}) == [(1, 1), (1, 2)]


def test_on_gpus_more_instances_are_tried_and_larger_batches_than_a_cpus() -> None:
    found = of(backend="gpu", precision="fp16")
    chosen = {"instances": 2, "cores_per_instance": 4, "max_batch_tokens": 65_536}  # on two GPUs
    tried = [[dict(one.settings) for one in level.expand(found.engines[0], chosen)] for level in found.levels]
    gpu = {"backend": "gpu", "precision": "fp16"}
    assert tried == [[{**gpu, "instances": 4}], [{**gpu, "max_batch_tokens": n} for n in (32_768, 131_072)]]


def test_batches_follow_from_what_a_run_chose() -> None:
    found = of(backend="onnxruntime")
    expanded = found.levels[1].expand(found.engines[0], CHOSEN)
    assert [one.settings["max_batch_tokens"] for one in expanded] == [768, 3072]
    assert found.levels[1].expand(found.engines[0], {}) == []


def test_the_first_value_of_a_set_is_where_others_start() -> None:
    found = of("batch_size=4 8", backend="onnxruntime")
    assert {one.settings["batch_size"] for one in found.engines} == {4}
    assert [one.settings["batch_size"] for one in found.levels[-1].expand(found.engines[0], {"batch_size": 4})] == [8]
    assert str(found.engines[0]) == "onnxruntime fp32 batch_size=4"


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="--precision is tried by --set"):
        of("precision=fp32 int8", backend="onnxruntime", precision="fp32")
    with pytest.raises(UsageError, match="found none"):
        of(backend="onnxruntime", precision="bf16")
    assert not of(backend="onnxruntime").is_possible(Candidate.of({"backend": "onnxruntime", "precision": "bf16"}))
